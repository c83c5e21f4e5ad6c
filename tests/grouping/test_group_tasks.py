"""Groups of tasks: like ones, unlike ones, any."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

import skmeta
from skmeta import TaskEmbedding, group_tasks, task_dissimilarity

WAYS = ["mixed", "dissimilar", "similar", "random"]


def families(n_tasks=60, n_families=2, seed=0, n_rows=30):
    """Return rows of tasks whose families see different features, and the family of each task."""
    rng = np.random.default_rng(seed)
    family = rng.permutation(np.arange(n_tasks) % n_families)
    own = np.arange(2 * n_families) // 2 == np.arange(n_families)[:, None]
    X = (3 + rng.normal(size=(n_tasks, n_rows, 2 * n_families))) * own[family][:, None]
    y = np.sin(X).sum(axis=2) * rng.normal(size=(n_tasks, 1)) + 0.3 * rng.normal(
        size=(n_tasks, n_rows)
    )
    groups = np.repeat(np.arange(n_tasks), n_rows)
    return X.reshape(len(groups), -1), y.ravel(), groups, family


def dissimilarities(X, y, groups, embedding="fisher", n_landmarks=1000):
    model = TaskEmbedding(embedding, hidden_layer_sizes=(16,), max_iter=100, random_state=0)
    E = model.fit_transform(X, y, groups=groups)
    return task_dissimilarity(E, model.blocks_, n_landmarks=n_landmarks)


def shares(groups, family):
    """Return the share of each family in each group."""
    counts = np.array(
        [np.bincount(family[groups == g], minlength=family.max() + 1) for g in np.unique(groups)]
    )
    return counts / counts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_families", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_families_are_separated_or_mixed(seed, n_families):
    X, y, groups, family = families(60, n_families, seed)
    D = dissimilarities(X, y, groups)
    like = group_tasks(D, n_families, how="similar", random_state=0)
    assert adjusted_rand_score(family, like) == 1
    mixed = group_tasks(D, n_families, how="mixed", random_state=0)
    assert shares(mixed, family).min() >= 1 / n_families - 0.1
    for how in ("dissimilar", "random"):
        unlike = group_tasks(D, n_families, how=how, random_state=0)
        assert adjusted_rand_score(family, unlike) < 0.3


@pytest.mark.parametrize("n_families", [2, 3, 4])
def test_auto_finds_the_number_of_families(n_families):
    X, y, groups, family = families(80, n_families)
    D = dissimilarities(X, y, groups)
    for how in WAYS:
        assert len(np.unique(group_tasks(D, "auto", how=how, random_state=0))) == n_families
    like = group_tasks(D, "auto", how="similar", random_state=0)
    assert adjusted_rand_score(family, like) == 1


@pytest.mark.parametrize("how", ["similar", "dissimilar"])
def test_it_is_scikit_learns_spectral_clustering(how):
    affinity = three_blocks()
    D = affinity if how == "dissimilar" else 1 - affinity - np.eye(45)
    reference = SpectralClustering(3, affinity="precomputed", random_state=0)
    found = group_tasks(D, 3, how=how, random_state=0)
    assert adjusted_rand_score(reference.fit_predict(affinity), found) == 1
    assert adjusted_rand_score(np.arange(45) % 3, found) == 1


def three_blocks():
    """Return affinities with three clear clusters, and a diagonal of 0."""
    kind = np.arange(45) % 3
    noise = np.random.default_rng(0).uniform(0, 0.1, size=(45, 45))
    return (np.where(kind[:, None] == kind, 0.7, 0.2) + noise + noise.T) * (1 - np.eye(45))


@pytest.mark.parametrize("how", ["similar", "dissimilar"])
def test_order_of_tasks_does_not_matter_where_groups_are_clear(how):
    D = three_blocks() if how == "dissimilar" else 1 - three_blocks() - np.eye(45)
    mixed = np.random.default_rng(0).permutation(len(D))
    groups = group_tasks(D, 3, how=how, random_state=0)
    again = group_tasks(D[np.ix_(mixed, mixed)], 3, how=how, random_state=0)
    assert adjusted_rand_score(groups[mixed], again) == 1


def test_by_landmarks_families_come_out_as_by_all_pairs():
    X, y, groups, family = families(200, n_rows=20)
    D = dissimilarities(X, y, groups, n_landmarks=40)
    assert D.shape == (200, 40)
    for n_groups in (2, "auto"):
        like = group_tasks(D, n_groups, how="similar", random_state=0)
        assert adjusted_rand_score(family, like) == 1
    mixed = group_tasks(D, 2, random_state=0)
    np.testing.assert_array_equal(shares(mixed, family), 0.5)


@pytest.mark.parametrize("how", ["similar", "dissimilar"])
def test_landmarks_have_the_groups_of_landmarks_alone(how):
    D = dissimilarities(*families(50)[:3])
    landmarks = np.linspace(0, 49, 20).astype(int)
    groups = group_tasks(D[:, landmarks], 3, how=how, random_state=0)
    alone = group_tasks(D[np.ix_(landmarks, landmarks)], 3, how=how, random_state=0)
    np.testing.assert_array_equal(groups[landmarks], alone)
    others = np.setdiff1d(np.arange(50), landmarks)
    np.testing.assert_array_equal(groups[others], alone[D[:, landmarks].argmin(axis=1)][others])


@pytest.mark.parametrize("how", ["mixed", "random"])
def test_mixed_and_random_groups_are_even(how):
    D = dissimilarities(*families(23)[:3])
    sizes = np.bincount(group_tasks(D, 4, how=how, random_state=0))
    assert sorted(sizes) == [5, 6, 6, 6]


@pytest.mark.parametrize("how", WAYS)
def test_equal_seeds_give_equal_groups(how):
    D = dissimilarities(*families(30)[:3])
    groups = group_tasks(D, 4, how=how, random_state=0)
    np.testing.assert_array_equal(group_tasks(D, 4, how=how, random_state=0), groups)
    assert groups.dtype == np.int64
    assert groups.shape == (30,)
    assert set(groups) == {0, 1, 2, 3}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("n_tasks", [1, 2, 3])
def test_few_tasks(n_tasks, how):
    D = 0.5 * (1 - np.eye(n_tasks))
    assert set(group_tasks(D, 1, how=how)) == {0}
    assert len(set(group_tasks(D, n_tasks, how=how, random_state=0))) == n_tasks


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("how", WAYS)
def test_tasks_that_are_all_alike_or_all_unlike_can_be_grouped(how, value):
    groups = group_tasks(value * (1 - np.eye(12)), 3, how=how, random_state=0)
    assert groups.shape == (12,)


@pytest.mark.parametrize(
    ("D", "options", "message"),
    [
        (np.zeros((4, 4)), {"how": "even"}, "how='even'"),
        (np.zeros((4, 4)), {"n_groups": 5}, "n_groups"),
        (np.zeros((4, 4)), {"n_groups": 0}, "n_groups"),
        (np.zeros((2, 2)), {"n_groups": "auto"}, "auto"),
        (np.zeros((4, 5)), {}, r"\(4, 5\)"),
        (np.full((4, 4), 1.5), {}, "between 0 and 1"),
        (np.full((4, 4), np.nan), {}, "NaN"),
        (np.triu(np.ones((4, 4)), 1), {}, "symmetric"),
    ],
)
def test_wrong_input_is_named(D, options, message):
    with pytest.raises(ValueError, match=message):
        group_tasks(D, **{"n_groups": 2, **options})


def test_the_whole_way_from_rows_to_groups():
    tasks = skmeta.make_sinusoid_tasks(12, 10, random_state=0)
    for embedding in ("fisher", "gradient", "head"):
        D = dissimilarities(tasks.data, tasks.target, tasks.groups, embedding)
        assert set(group_tasks(D, 3, random_state=0)) <= {0, 1, 2}
