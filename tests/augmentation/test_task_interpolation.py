"""Any learner, trained on tasks in between the given ones."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from _deep import weights
from sklearn.base import clone, is_regressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from torch import nn

import skmeta
from skmeta import (
    ANILRegressor,
    CAVIARegressor,
    DeepKernelClassifier,
    EpisodicKFold,
    HeTRoM,
    MAMLClassifier,
    MAMLRegressor,
    MatchingClassifier,
    PrototypicalClassifier,
    ReptileRegressor,
    RidgeHeadClassifier,
    RidgeHeadRegressor,
    SVMHeadClassifier,
    TaskGrouping,
    TaskInterpolation,
)

SHORT = {
    "hidden_layer_sizes": (8,), "max_iter": 12, "meta_batch_size": 5, "random_state": 0,
    "n_shots": (1, 4),
}  # fmt: skip
REGRESSORS = [
    MAMLRegressor(**SHORT),
    ANILRegressor(**SHORT),
    CAVIARegressor(**SHORT),
    ReptileRegressor(**SHORT),
    RidgeHeadRegressor(**SHORT),
]
CLASSIFIERS = [
    MAMLClassifier(**SHORT),
    DeepKernelClassifier(**SHORT),
    MatchingClassifier(**SHORT),
    PrototypicalClassifier(**SHORT),
    RidgeHeadClassifier(**SHORT),
    SVMHeadClassifier(**SHORT),
]
LEARNER = pytest.mark.parametrize(
    "learner", REGRESSORS + CLASSIFIERS, ids=lambda x: type(x).__name__
)
LABELS = pytest.mark.parametrize(
    "params",
    [{}, {"label_sets": "own"}, {"label_sets": "own", "stratify": True}, {"n_way": 2}],
    ids=str,
)


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(20, 10, 3, noise=0.2, random_state=0)


def fitted(model, tasks):
    y = tasks.target if is_regressor(model) else classes(model, tasks)
    return clone(model).fit(tasks.data, y, groups=tasks.groups)


def classes(model, tasks):
    """Return two classes, or two or four of their own for each task, as the learner has it."""
    learner = model
    while hasattr(learner, "estimator"):
        learner = learner.estimator
    if learner.label_sets == "auto" and learner.n_way is None:
        return np.where(tasks.target > 0, "yes", "no")
    n_ways = np.where(tasks.groups % 2, 4, 2)
    return 10 * tasks.groups + np.arange(len(tasks.groups)) % n_ways


@LEARNER
def test_without_mixing_it_is_the_learner_to_the_bit(learner, tasks):
    model, plain = fitted(TaskInterpolation(learner, alpha=0), tasks), fitted(learner, tasks)
    assert torch.equal(weights(model), weights(plain))
    rows = tasks.data, tasks.groups
    np.testing.assert_array_equal(model.predict(*rows), plain.predict(*rows))


@LABELS
def test_without_mixing_classes_it_is_the_learner_to_the_bit(params, tasks):
    learner = clone(CLASSIFIERS[3]).set_params(**params)
    model = fitted(TaskInterpolation(learner, alpha=0), tasks)
    assert torch.equal(weights(model), weights(fitted(learner, tasks)))
    mixed = fitted(TaskInterpolation(learner), tasks)
    assert not torch.allclose(weights(model), weights(mixed), rtol=1e-4)


@LEARNER
def test_hidden_layers_without_mixing_are_those_of_the_learner(learner, tasks):
    model = fitted(TaskInterpolation(learner, alpha=0, layers="hidden"), tasks)
    torch.testing.assert_close(weights(model), weights(fitted(learner, tasks)))


@LEARNER
def test_mixing_changes_the_learner(learner, tasks):
    ends = [
        weights(fitted(model, tasks))
        for model in (
            learner,
            TaskInterpolation(learner),
            TaskInterpolation(learner, alpha=0.2),
            TaskInterpolation(learner, layers="hidden"),
        )
    ]
    for at, one in enumerate(ends):
        assert not any(torch.allclose(one, other, rtol=1e-4) for other in ends[:at])


@pytest.mark.parametrize("layers", ["input", "hidden"])
@LABELS
def test_any_labels_and_layers(params, layers, tasks):
    learner = clone(CLASSIFIERS[0]).set_params(**params)
    model = fitted(TaskInterpolation(learner, layers=layers), tasks)
    adapted = model.adapt(tasks.data[:8], classes(model, tasks)[:8])
    np.testing.assert_allclose(adapted.predict_proba(tasks.data[8:]).sum(axis=1), 1)


@pytest.mark.parametrize("layers", ["input", "hidden"])
def test_draws_are_those_of_the_learner(layers, tasks):
    model = TaskInterpolation(REGRESSORS[0], layers=layers)
    one, same = fitted(model, tasks), fitted(model, tasks)
    assert torch.equal(weights(one), weights(same))
    other = clone(model).set_params(estimator__random_state=1)
    assert not torch.allclose(weights(one), weights(fitted(other, tasks)))


def test_the_order_of_rows_and_the_names_of_tasks_do_not_matter(tasks):
    model = TaskInterpolation(REGRESSORS[0])
    order = np.random.default_rng(0).permutation(len(tasks.data))
    names = np.array([f"task {chr(122 - g)}" for g in range(20)])
    other = clone(model).fit(
        tasks.data[order], tasks.target[order], groups=names[tasks.groups][order]
    )
    assert torch.equal(weights(fitted(model, tasks)), weights(other))


@pytest.mark.parametrize("layers", ["input", "hidden"])
def test_it_nests_with_the_others_in_any_order(layers, tasks):
    def grouped(model):
        return TaskGrouping(model, n_groups=2, embedding="head", random_state=0)

    def mixed(model):
        return TaskInterpolation(model, layers=layers)

    learner = REGRESSORS[0]
    ends = [
        weights(fitted(model, tasks))
        for model in (
            HeTRoM(grouped(mixed(learner))),
            mixed(HeTRoM(grouped(learner))),
            grouped(mixed(HeTRoM(learner))),
        )
    ]
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def test_two_passes_and_chunks_see_the_same_mixtures(tasks):
    model = HeTRoM(TaskInterpolation(REGRESSORS[0], layers="hidden"), drop_hardest=0.4)
    ends = [
        weights(fitted(clone(model).set_params(**params), tasks))
        for params in (
            {"two_passes": False},
            {"two_passes": True},
            {"estimator__estimator__chunk_size": 2},
        )
    ]
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(ends[2], ends[0], rtol=1e-8, atol=1e-10)


@pytest.mark.usefixtures("traced")
def test_compiled_training_sees_the_same_mixtures(tasks):
    plain = fitted(TaskInterpolation(REGRESSORS[0]), tasks)
    traced = fitted(TaskInterpolation(clone(REGRESSORS[0]).set_params(compile=True)), tasks)
    assert traced.net_.compiled_ is not None
    torch.testing.assert_close(weights(traced), weights(plain), rtol=1e-7, atol=1e-9)


def test_compiling_hidden_mixtures_is_refused_with_a_warning(tasks):
    learner = clone(REGRESSORS[0]).set_params(compile=True)
    with pytest.warns(RuntimeWarning, match="network changes with each update"):
        fitted(TaskInterpolation(learner, layers="hidden"), tasks)


def test_it_keeps_what_the_learner_can_do(tasks):
    model = fitted(TaskInterpolation(REGRESSORS[4], layers="hidden"), tasks)
    adapted = model.adapt(tasks.data[:5], tasks.target[:5])
    again = pickle.loads(pickle.dumps(adapted))
    np.testing.assert_array_equal(again.predict(tasks.data), adapted.predict(tasks.data))
    assert model.transform(tasks.data[:3]).shape == (3, 8)
    assert not hasattr(model, "predict_proba")


def test_it_goes_where_scikit_learns_estimators_go(tasks):
    rows = np.column_stack([tasks.groups, tasks.data])
    model = TaskInterpolation(clone(REGRESSORS[0]).set_params(task_column=0))
    search = GridSearchCV(
        model,
        {"alpha": [0.0, 2.0], "layers": ["input", "hidden"], "estimator__inner_lr": [0.01, 0.1]},
        cv=EpisodicKFold(2, n_shots=3, task_column=0, random_state=0),
        error_score="raise",
    ).fit(rows, tasks.target)
    assert skmeta.adapt(search, rows[:5], tasks.target[:5]).predict(rows[5:7]).shape == (2,)


def test_a_body_that_is_no_sequence_can_mix_inputs_alone(tasks):
    class Body(nn.Module):
        def __init__(self, n_features_in):
            super().__init__()
            self.linear = nn.Linear(n_features_in, 4)

        def forward(self, X):
            return self.linear(X).tanh()

    learner = clone(REGRESSORS[4]).set_params(module=Body)
    fitted(TaskInterpolation(learner), tasks)
    with pytest.raises(ValueError, match=r"plain torch.nn.Sequential.*got Body"):
        fitted(TaskInterpolation(learner, layers="hidden"), tasks)


@pytest.mark.parametrize(
    "name",
    ["MultiHeadRegressor", "MultiHeadClassifier", "GoodEmbeddingRegressor", "CAMELRegressor"],
)
def test_learners_that_keep_training_tasks_are_refused(name, tasks):
    learner = getattr(skmeta, name)(hidden_layer_sizes=(8,), max_iter=2)
    model = TaskInterpolation(learner)
    with pytest.raises(ValueError, match="keeps a head for each"):
        fitted(model, tasks)
    assert not hasattr(model, "estimator_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": -1.0}, "alpha"),
        ({"layers": "last"}, "layers='last' must be"),
        ({"estimator": TaskInterpolation(REGRESSORS[4])}, "has no effect"),
    ],
    ids=str,
)
def test_errors(params, message, tasks):
    model = TaskInterpolation(REGRESSORS[4]).set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert not hasattr(model, "estimator_")


def test_it_needs_a_learner_with_an_outer_loop(tasks):
    with pytest.raises(TypeError, match="trained on meta-batches"):
        fitted(TaskInterpolation(Ridge()), tasks)
