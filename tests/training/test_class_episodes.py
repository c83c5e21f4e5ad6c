"""Ways to draw the classes of an episode, for each classifier: new tasks are learned."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

import skmeta
from skmeta import MAMLClassifier, MultiHeadClassifier, RidgeHeadClassifier

SHORT = {"max_iter": 150, "hidden_layer_sizes": (16,), "lr": 1e-2, "random_state": 0}
LEARNERS = [
    MAMLClassifier(inner_lr=0.3, n_shots=6, **SHORT),
    RidgeHeadClassifier(n_shots=6, **SHORT),
    MultiHeadClassifier(**SHORT),
]
LEARNER = pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: type(x).__name__)
N_ROWS, N_SUPPORT = 18, 9


@pytest.fixture(scope="module")
def shared():
    """Two collections of one distribution; all tasks have the classes 0 and 1."""
    mean = [0, 3, 0, 0, 0]
    return [
        skmeta.make_classification_tasks(60, N_ROWS, 4, prior_mean=mean, random_state=seed)
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def own():
    """Likewise; each task has three of thirty classes, which take turns."""
    prior = {"prior_mean": np.zeros(4), "prior_covariance": 9 * np.eye(4)}
    return [
        skmeta.make_classification_tasks(
            60, N_ROWS, 4, shared_labels=False, n_classes=30, n_ways=3, random_state=seed, **prior
        )
        for seed in (0, 1)
    ]


def accuracy(learner, collections, **params):
    train, new = collections
    by_class = "n_way" in params or params.get("stratify")
    if by_class and not isinstance(learner, MultiHeadClassifier):
        params["n_shots"] = 2
    model = clone(learner).set_params(**params)
    model.fit(train.data, train.target, groups=train.groups)
    shown = np.arange(len(new.data)) % N_ROWS < N_SUPPORT
    adapted = model.adapt(new.data[shown], new.target[shown], groups=new.groups[shown])
    return adapted.score(new.data[~shown], new.target[~shown], groups=new.groups[~shown])


@LEARNER
@pytest.mark.parametrize("params", [
    {}, {"stratify": True}, {"label_sets": "own"}, {"n_way": 2},
], ids=str)  # fmt: skip
def test_tasks_of_a_shared_label_set(learner, shared, params):
    assert accuracy(learner, shared, **params) > 0.58


@LEARNER
@pytest.mark.parametrize("params", [{}, {"stratify": True}, {"n_way": 3}], ids=str)
def test_tasks_with_label_sets_of_their_own(learner, own, params):
    assert accuracy(learner, own, **params) > 0.7


@pytest.mark.parametrize("learner", LEARNERS[1:], ids=lambda x: type(x).__name__)
def test_more_classes_in_use_than_in_training(learner, own):
    assert accuracy(learner, own, n_way=2) > 0.7


@LEARNER
def test_a_classifier_without_tasks_learns_from_the_classes_themselves(learner):
    """The classic protocol: no task anywhere, episodes of some classes, new classes in use."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(60), 12)
    X = (3 * rng.normal(size=(60, 4)))[label] + rng.normal(size=(len(label), 4))
    old = label < 30
    params = {} if isinstance(learner, MultiHeadClassifier) else {"n_shots": 4}
    model = clone(learner).set_params(n_way=3, **params).fit(X[old], label[old])
    new, task = ~old, label // 3  # ten tasks of three classes
    support = new & (np.arange(len(X)) % 12 < 4)
    adapted = model.adapt(X[support], label[support], groups=task[support])
    assert adapted.classes_.tolist() == list(range(30, 60))
    query = new & ~support
    assert adapted.score(X[query], label[query], groups=task[query]) > 0.55
