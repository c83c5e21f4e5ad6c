"""Embeddings of tasks: closed forms, a plain loop over tasks, and what they do not depend on."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import skmeta
from skmeta import TaskEmbedding

KINDS = ["fisher", "gradient", "head"]
SHORT = {"hidden_layer_sizes": (6, 5), "max_iter": 20, "random_state": 0}
SIZES = (1, 2, 3, 5, 8, 8, 13, 40)


def embedding(kind="fisher", **more):
    return TaskEmbedding(kind, **{**SHORT, **more})


@pytest.fixture(scope="module")
def rows():
    """Rows of ragged tasks in mixed order, with labels whose order is not that of their sizes."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(rng.permutation(len(SIZES)) * 3, SIZES))
    X = rng.normal(size=(len(groups), 4))
    return X, X[:, 0] * groups + rng.normal(size=len(groups)), groups


def as_classes(y):
    return np.array(["low", "middle", "high"])[np.searchsorted(np.quantile(y, [0.3, 0.7]), y)]


def linear_probe(X, y, groups, **options):
    """Return the embedding of a linear network, and what its formula needs, in units of `fit`."""
    module = nn.Linear(X.shape[1], 1).double()
    model = TaskEmbedding(module=module, max_iter=0, **options)
    E = model.fit_transform(X, y, groups=groups)
    scaled = (y - y.mean()) / y.std()
    weight, bias = (p.detach().numpy() for p in module.parameters())
    residual = X @ weight[0] + bias - scaled
    gradients = 2 * residual[:, None] * np.column_stack([X, np.ones(len(X))])
    return E, [gradients[groups == task] for task in np.unique(groups)], model


def test_fisher_of_a_linear_probe_is_the_mean_of_squared_residual_times_feature(rows):
    E, gradients, model = linear_probe(*rows)
    np.testing.assert_allclose(E, [(g**2).mean(axis=0) for g in gradients], rtol=1e-10)
    assert model.blocks_ == (4, 1)


def test_fisher_of_a_batch_is_the_square_of_the_mean(rows):
    E, gradients, _ = linear_probe(*rows, per_sample=False)
    np.testing.assert_allclose(E, [g.mean(axis=0) ** 2 for g in gradients], rtol=1e-8)


def test_gradient_of_a_linear_probe_is_the_mean_residual_times_feature(rows):
    E, gradients, model = linear_probe(*rows, embedding="gradient")
    np.testing.assert_allclose(E, [g.mean(axis=0) for g in gradients], rtol=1e-8, atol=1e-12)
    assert model.blocks_ is None


def test_head_of_given_features_is_scikit_learns_ridge(rows):
    X, y, groups = rows
    model = TaskEmbedding("head", module=nn.Linear(4, 1).double(), alpha=0.4, max_iter=0)
    E = model.fit_transform(X, y, groups=groups)
    scaled = (y - y.mean()) / y.std()
    for row, task in zip(E, model.tasks_, strict=True):
        of_task = groups == task
        ridge = Ridge(alpha=0.4 * of_task.sum(), fit_intercept=False)
        ridge.fit(np.column_stack([X, np.ones(len(X))])[of_task], scaled[of_task])
        np.testing.assert_allclose(row, ridge.coef_, rtol=1e-7, atol=1e-12)


class Residual(nn.Module):
    """A network that is no chain of linear layers."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.inner = nn.Linear(n_features_in, n_features_in)
        self.norm = nn.LayerNorm(n_features_in)
        self.out = nn.Linear(n_features_in, n_outputs)

    def forward(self, X):
        return self.out(self.norm(X + torch.tanh(self.inner(X))))


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("module", [None, Residual])
@pytest.mark.parametrize("per_sample", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_tasks_at_once_are_a_plain_loop_over_tasks(rows, kind, per_sample, module, classes):
    X, y, groups = rows
    y = as_classes(y) if classes else y
    model = embedding(kind, per_sample=per_sample, module=module).fit(X, y, groups=groups)
    E = model.transform(X, y, groups=groups)
    assert E.dtype == np.float64
    assert E.shape[0] == len(SIZES)
    if classes and kind == "head":
        return  # a task alone that shows one class is fitted in the space of other classes
    for row, task in zip(E, model.tasks_, strict=True):
        alone = model.transform(X[groups == task], y[groups == task])
        np.testing.assert_allclose(alone, row[None], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_order_of_rows_and_names_of_tasks_do_not_matter(rows, kind, classes):
    X, y, groups = rows
    y = as_classes(y) if classes else y
    E = embedding(kind).fit_transform(X, y, groups=groups)
    mixed = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_array_equal(
        embedding(kind).fit_transform(X[mixed], y[mixed], groups=groups[mixed]), E
    )
    names = np.array([f"task {50 - group}" for group in groups])  # sorted the other way round
    model = embedding(kind)
    np.testing.assert_array_equal(model.fit_transform(X, y, groups=names), E[::-1])
    assert model.tasks_.tolist() == sorted(set(names))


@pytest.mark.parametrize("kind", [*KINDS, StandardScaler()])
def test_a_task_that_is_there_twice_has_the_same_embedding_twice(rows, kind):
    X, y, groups = rows
    again = groups == 9
    twice = (
        np.concatenate([X, X[again]]),
        np.concatenate([y, y[again]]),
        np.concatenate([groups, np.full(again.sum(), 100)]),
    )
    model = embedding(kind)
    E = model.fit_transform(twice[0], twice[1], groups=twice[2])
    of_task = dict(zip(model.tasks_.tolist(), E, strict=True))
    np.testing.assert_allclose(of_task[100], of_task[9], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [*KINDS, PCA(2)])
def test_the_task_may_be_a_column(rows, kind):
    X, y, groups = rows
    E = embedding(kind).fit_transform(X, y, groups=groups)
    array = np.column_stack([X[:, :2], groups, X[:, 2:]])
    frame = pd.DataFrame(X, columns=list("abcd")).assign(school=groups)
    for given, column in ((array, 2), (frame, "school")):
        model = embedding(kind, task_column=column)
        np.testing.assert_allclose(model.fit_transform(given, y), E, rtol=1e-12, atol=1e-14)
        assert model.n_features_in_ == 5
    assert model.feature_names_in_.tolist() == [*"abcd", "school"]
    pipe = make_pipeline(embedding(kind, task_column="school"), KMeans(2, random_state=0, n_init=1))
    assert pipe.fit_predict(frame, y).shape == (len(SIZES),)


def test_groups_are_routed(rows):
    X, y, groups = rows
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), embedding("head"))
        E = pipe.fit_transform(X, y, groups=groups)
    expected = embedding("head").fit_transform(StandardScaler().fit_transform(X), y, groups=groups)
    np.testing.assert_array_equal(E, expected)


@pytest.mark.parametrize("kind", [*KINDS, PCA(2)])
def test_new_tasks_are_embedded_by_the_fitted_probe(rows, kind):
    X, y, groups = rows
    old = groups > 6
    model = embedding(kind).fit(X[old], y[old], groups=groups[old])
    before = model.transform(X[old], y[old], groups=groups[old])
    E = model.transform(X, y, groups=groups)
    np.testing.assert_allclose(E[np.unique(groups) > 6], before, rtol=1e-10, atol=1e-12)
    assert model.tasks_.tolist() == np.unique(groups[old]).tolist()


@pytest.mark.parametrize("groups", [None, ["a"] * 20])
@pytest.mark.parametrize("kind", [*KINDS, PCA(2)])
def test_without_tasks_there_is_one_row(kind, groups):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    model = embedding(kind)
    assert len(model.fit_transform(X, y, groups=groups)) == len(model.tasks_) == 1


def test_labels_of_any_kind_are_sorted():
    X = np.arange(8.0)[:, None]
    groups = [("b", 1), 3, "x", ("a", 2), 2, "y", ("a", 1), 10]
    model = TaskEmbedding(StandardScaler(with_mean=False, with_std=False))
    E = model.fit_transform(X, groups=groups)
    assert model.tasks_.tolist() == [10, 2, 3, "x", "y", ("a", 1), ("a", 2), ("b", 1)]
    np.testing.assert_array_equal(E[:, 0], [7, 4, 1, 2, 5, 6, 3, 0])


def test_a_transformer_gives_the_mean_of_its_rows(rows):
    X, y, groups = rows
    levels = np.floor(X[:, :1])
    for transformer, data in (
        (PCA(2), X),
        (SelectKBest(k=2), X),  # learns from y
        (OneHotEncoder(), levels),  # gives a sparse matrix
        (StandardScaler().set_output(transform="pandas"), X),
    ):
        F = clone(transformer).fit(data, as_classes(y)).transform(data)
        F = F.toarray() if hasattr(F, "toarray") else np.asarray(F)
        E = TaskEmbedding(transformer).fit_transform(data, as_classes(y), groups=groups)
        expected = [F[groups == task].mean(axis=0) for task in np.unique(groups)]
        np.testing.assert_allclose(E, expected, atol=1e-12)


def test_a_learner_is_given_the_tasks(rows):
    X, y, groups = rows
    learner = skmeta.MultiHeadRegressor(max_iter=5, hidden_layer_sizes=(4,), random_state=0)
    model = TaskEmbedding(learner)
    E = model.fit_transform(X, y, groups=groups)
    assert len(model.probe_.tasks_) == len(SIZES)
    F = clone(learner).fit(X, y, groups=groups).transform(X)
    np.testing.assert_allclose(E[0], F[groups == model.tasks_[0]].mean(axis=0), atol=1e-12)
    frozen = TaskEmbedding(FrozenEstimator(model.probe_)).fit(X, groups=groups)
    np.testing.assert_array_equal(frozen.transform(X, groups=groups), E)


def test_label_sets_of_their_own_are_numbered_in_each_task():
    tasks = skmeta.make_classification_tasks(
        20, 12, 3, shared_labels=False, n_classes=20, n_ways=3, random_state=0
    )
    model = embedding(label_sets="own").fit(tasks.data, tasks.target, groups=tasks.groups)
    assert model.probe_.net_.module_.network[-1].out_features == 3
    E = model.transform(tasks.data, tasks.target, groups=tasks.groups)
    renamed = tasks.target * 2 + 1  # classes never seen, in the same order
    np.testing.assert_array_equal(model.transform(tasks.data, renamed, groups=tasks.groups), E)


@pytest.mark.parametrize(
    ("y", "target_type", "n_outputs"),
    [
        (np.arange(40) % 3, "auto", 3),
        (np.arange(40) % 3, "multiclass", 3),
        (np.arange(40) % 3, "continuous", 1),
        (np.arange(40) % 2 > 0, "auto", 2),
        (np.array(["a", "b"] * 20), "auto", 2),
        (np.arange(40) / 7, "auto", 1),
        (np.arange(80).reshape(40, 2) % 3, "auto", 2),
        (np.arange(80).reshape(40, 2) / 7, "auto", 2),
    ],
)
def test_the_kind_of_target_decides_what_the_probe_is(y, target_type, n_outputs):
    X = np.random.default_rng(0).normal(size=(40, 2))
    model = embedding(target_type=target_type).fit(X, y, groups=np.arange(40) % 4)
    assert model.probe_.net_.module_.network[-1].out_features == n_outputs
    assert hasattr(model.probe_, "classes_") == (np.ndim(y) == 1 and n_outputs > 1)


def test_frozen_weights_are_left_out(rows):
    X, y, groups = rows
    module = skmeta.MLP(4, 1, hidden_layer_sizes=(3,)).double()
    module[0].requires_grad_(False)
    model = embedding(module=module)
    assert model.fit_transform(X, y, groups=groups).shape == (len(SIZES), 4)
    assert model.blocks_ == (3, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_bits_and_pickles_keep_them(rows, kind):
    X, y, groups = rows
    model = embedding(kind, random_state=3).fit(X, y, groups=groups)
    E = model.transform(X, y, groups=groups)
    again = clone(model).fit(X, y, groups=groups)
    restored = pickle.loads(pickle.dumps(model))
    for other in (again, restored):
        np.testing.assert_array_equal(other.transform(X, y, groups=groups), E)
    other = clone(model).set_params(random_state=4).fit_transform(X, y, groups=groups)
    assert (other != E).any()
    state = torch.random.get_rng_state()
    clone(model).fit(X, y, groups=groups)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_parameters_of_a_transformer_can_be_set(rows):
    model = TaskEmbedding(PCA(2)).set_params(embedding__n_components=3, task_column=0)
    assert model.get_params()["embedding__n_components"] == 3
    assert clone(model).embedding.n_components == 3


def test_single_precision_stays(rows):
    X, y, groups = rows
    model = embedding().fit(X.astype(np.float32), y, groups=groups)
    E = model.transform(X.astype(np.float32), y, groups=groups)
    assert E.dtype == np.float32


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"embedding": "hessian"}, "embedding='hessian'"),
        ({"embedding": Ridge()}, "transform"),
        ({"alpha": 0}, "alpha"),
        ({"target_type": "numbers"}, "target_type"),
        ({"label_sets": "some", "target_type": "multiclass"}, "label_sets"),
        ({"task_column": 0}, "groups"),
        ({"module": nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 1))}, "BatchNorm1d"),
        ({"module": nn.Linear(4, 7)}, "7 output"),
    ],
)
def test_wrong_parameters_are_named(rows, wrong, message):
    X, y, groups = rows
    y = as_classes(y) if "target_type" in wrong else y
    model = embedding(**wrong) if "embedding" not in wrong else TaskEmbedding(**wrong)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, groups=groups)
    assert not hasattr(model, "tasks_")


def test_a_probe_needs_targets(rows):
    X, y, groups = rows
    with pytest.raises(ValueError, match="requires y"):
        embedding().fit(X, groups=groups)
    with pytest.raises(ValueError, match="requires y"):
        embedding().fit(X, y, groups=groups).transform(X, groups=groups)


_NO_TARGETS = "transform of a probe needs the targets of the tasks, and the check passes none"
_ROW_PER_TASK = "there is one row for each task, and the check wants one for each sample"
_PASSING_NO_TARGETS = (
    "check_estimators_dtypes",
    "check_dtype_object",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_transformer_preserve_dtypes",
    "check_dict_unchanged",
    "check_fit_idempotent",
)
_WANTING_ROWS = (
    "check_transformer_general",
    "check_transformer_data_not_an_array",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
)


def _expected_failures(estimator):
    expected = dict.fromkeys(_WANTING_ROWS, _ROW_PER_TASK)
    if isinstance(estimator.embedding, str):
        return {**expected, **dict.fromkeys(_PASSING_NO_TARGETS, _NO_TARGETS)}
    return {**expected, "check_transformer_n_iter": "a transformer of its own may not iterate"}


@parametrize_with_checks(
    [embedding(), embedding("head", target_type="continuous"), TaskEmbedding(StandardScaler())],
    expected_failed_checks=_expected_failures,
)
def test_passes_the_other_checks_of_scikit_learn(estimator, check):
    check(estimator)
