"""Held-out tasks are not trained on, and what does best on them is kept."""

from __future__ import annotations

import numpy as np
import pytest
from _instances import INSTANCES
from numpy.testing import assert_array_equal
from scipy.stats import norm
from sklearn.base import clone, is_classifier
from skorch.callbacks import Callback, EarlyStopping

import skmeta
from skmeta import (
    BayesianHeadRegressor,
    CAMELRegressor,
    GoodEmbeddingClassifier,
    HeTRoM,
    MAMLClassifier,
    MAMLRegressor,
    MultiHeadClassifier,
    MultiHeadRegressor,
    PrototypicalClassifier,
    RidgeHeadRegressor,
    TaskGrouping,
    TaskInterpolation,
    TrainingHistoryDisplay,
)
from skmeta.base import _episodic
from skmeta.multitask import _multi_head

NET = {"hidden_layer_sizes": (8,), "max_iter": 8, "meta_batch_size": 4, "lr": 0.02}
VALID = {**NET, "random_state": 0, "validation_fraction": 0.3}
SHORT = {**VALID, "max_iter": 4}
TASKS = skmeta.make_linear_tasks(20, 10, 3, noise=0.3, random_state=0)
CLASSES = skmeta.make_classification_tasks(20, 12, random_state=0)
GLYPHS = np.random.default_rng(0).normal(size=(96, 4)), np.repeat(np.arange(12), 8)
RIDGE = RidgeHeadRegressor(n_shots=3, **VALID)
LEARNERS = [
    RIDGE,
    MAMLRegressor(n_shots=3, n_adapt_steps=3, chunk_size=2, **VALID),
    MultiHeadRegressor(**VALID),
    CAMELRegressor(n_parameters=2, penalty=0.5, **VALID),
    BayesianHeadRegressor(n_shots=(0, 4), **VALID),
    MAMLClassifier(n_shots=3, stratify=True, **VALID),
    PrototypicalClassifier(n_way=2, n_shots=2, **VALID),
    MultiHeadClassifier(**SHORT),
    GoodEmbeddingClassifier(n_distillations=1, **SHORT),
]
LEARNER = pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: type(x).__name__)


def tasks_for(learner):
    return CLASSES if is_classifier(learner) else TASKS


def fitted(learner, tasks=None, **params):
    tasks = tasks or tasks_for(learner)
    model = clone(learner).set_params(**params)
    return model.fit(tasks.data, tasks.target, groups=tasks.groups)


def fraction_of(learner):
    """Return the parameter of the learner at the bottom, if it has it."""
    names = [n for n in learner.get_params() if n.endswith("validation_fraction")]
    return min((n for n in names if "embedding" not in n), key=len, default=None)


def losses(model, which="valid_loss"):
    return np.array([row[which] for row in model.net_.history])


class Drawn(Callback):
    """Notes the rows and classes of meta-batches, a row by its first feature."""

    def initialize(self):
        self.rows, self.classes = set(), set()
        return self

    def on_batch_end(self, net, batch, **kwargs):
        for X, mask in (batch.support_X, batch.support_mask), (batch.query_X, batch.query_mask):
            self.rows |= set(X[mask > 0][:, 0].tolist())
        if batch.classes is not None:
            self.classes |= set(batch.classes.flatten().tolist())


@pytest.fixture
def validation(monkeypatch):
    """Return the list into which the episodes of each fit come."""
    kept = []

    class Kept(_episodic.Validation):
        def __init__(self, *args):
            super().__init__(*args)
            kept.append(self)

    monkeypatch.setattr(_episodic, "Validation", Kept)
    return kept


def loss_in_use(model, support, query):
    """Adapt to each episode and predict its query, by the public methods."""
    to, of = support.owners, query.owners
    if is_classifier(model):
        lines = []
        for task in range(len(query.sizes)):
            y = model.classes_[support.y[to == task]]
            new = model.adapt(support.X[to == task], y)
            proba = new.predict_proba(query.X[of == task])
            true = np.searchsorted(new.classes_, model.classes_[query.y[of == task]])
            lines.append(-np.log(proba[np.arange(len(true)), true]).mean())
        return np.mean(lines)
    many = model.adapt(support.X, support.y[:, 0], groups=to)
    if isinstance(model, BayesianHeadRegressor):
        mean, std = many.predict(query.X, groups=of, return_std=True)
        rows = -norm.logpdf(query.y[:, 0], mean, std) - np.log(model._y_scale)
    else:
        rows = ((many.predict(query.X, groups=of) - query.y[:, 0]) / model._y_scale) ** 2
    return np.mean([rows[of == task].mean() for task in range(len(query.sizes))])


@pytest.mark.filterwarnings("ignore::skmeta.UnseenTaskWarning")  # episodes of no shots
@pytest.mark.parametrize(
    "learner",
    [
        *LEARNERS,
        HeTRoM(RIDGE, drop_hardest=0.3),
        HeTRoM(MultiHeadRegressor(**VALID)),
        TaskGrouping(LEARNERS[1], n_groups=2, embedding="head", random_state=0),
        TaskInterpolation(RIDGE, layers="hidden"),
    ],
    ids=lambda x: f"{type(x).__name__}-{type(getattr(x, 'estimator', None)).__name__}",
)
def test_the_loss_is_that_of_adapting_and_predicting_and_the_best_epoch_is_kept(
    learner, validation, monkeypatch
):
    monkeypatch.setattr(_multi_head, "_QUICK_STEPS", _multi_head.EM_STEPS)
    model = fitted(learner)
    found, last = losses(model).min(), validation[-1]
    expected = loss_in_use(getattr(model, "estimator_", model), last.support, last.query)
    assert found == pytest.approx(expected, rel=1e-6)
    assert sorted(model.tasks_) == sorted(set(tasks_for(model).groups))


@pytest.mark.parametrize(
    "learner",
    [learner for learner in INSTANCES if fraction_of(learner)],
    ids=lambda learner: type(learner).__name__,
)
def test_every_learner_that_trains_a_network_validates(learner):
    name = fraction_of(learner)
    given = {name: 0.3, name.replace("validation_fraction", "max_iter"): 2}
    model = fitted(learner, **given)
    assert np.isfinite(losses(model)).all()
    assert len(model.validation_tasks_) == 6


@LEARNER
def test_held_out_tasks_are_not_trained_on(learner):
    drawn = Drawn()
    model = fitted(learner, callbacks=[drawn])
    assert len(model.validation_tasks_) == 6
    tasks = tasks_for(learner)
    held_out = np.isin(tasks.groups, model.validation_tasks_)
    assert drawn.rows
    assert drawn.rows <= set(tasks.data[~held_out, 0])


@LEARNER
def test_to_validate_changes_nothing_of_the_training(learner, monkeypatch):
    seen = losses(fitted(learner, n_iter_no_change=100), "train_loss")
    for cls in type(learner).__mro__:
        if "_validate" in vars(cls):
            monkeypatch.setattr(cls, "_validate", lambda self, data: 1.0)
    assert_array_equal(losses(fitted(learner, n_iter_no_change=100), "train_loss"), seen)


def noise(n_tasks=12):
    """Tasks without anything to learn, to which a network overfits."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(n_tasks), 8)
    X, y = random.normal(size=(len(groups), 4)), random.normal(size=len(groups))
    return type(TASKS)(data=X, target=y, groups=groups)


@pytest.mark.parametrize("patience", [3, 6])
def test_it_stops_where_held_out_tasks_do_not_get_better(patience):
    model = fitted(RIDGE, noise(), max_iter=100, lr=0.05, n_iter_no_change=patience)
    found = losses(model)
    assert model.n_iter_ == len(found) == found.argmin() + 1 + patience < 100


def test_without_held_out_tasks_it_does_not_stop():
    model = fitted(RIDGE, noise(), max_iter=100, lr=0.05, validation_fraction=None)
    assert model.n_iter_ == 100
    assert len(model.validation_tasks_) == 0
    assert "valid_loss" not in model.net_.history[-1]
    assert fitted(RIDGE, max_iter=0).n_iter_ == 0


@pytest.mark.parametrize("learner", [RIDGE, MultiHeadClassifier(**SHORT)], ids=["ridge", "heads"])
def test_neither_labels_nor_the_order_of_rows_matter(learner):
    tasks = tasks_for(learner)
    model = fitted(learner)
    order = np.random.default_rng(1).permutation(len(tasks.data))
    names = np.array([f"task {19 - task}" for task in range(20)])
    other = clone(learner).fit(
        tasks.data[order], tasks.target[order], groups=names[tasks.groups][order]
    )
    assert_array_equal(losses(other), losses(model))
    assert_array_equal(other.validation_tasks_, names[model.validation_tasks_])
    assert_array_equal(
        other.predict(tasks.data, groups=names[tasks.groups]),
        model.predict(tasks.data, groups=tasks.groups),
    )


def test_tasks_held_out_by_name():
    drawn = Drawn()
    model = fitted(RIDGE, validation_fraction=[3, 7], callbacks=[drawn], max_iter=40)
    assert sorted(model.validation_tasks_) == [3, 7]
    assert drawn.rows == set(TASKS.data[~np.isin(TASKS.groups, [3, 7]), 0])


@pytest.mark.parametrize("wanted", [0.4, [1, 2, 5, 8]])
def test_classes_are_held_out_where_they_make_the_tasks(wanted):
    drawn = Drawn()
    learner = PrototypicalClassifier(n_way=3, n_shots=2, callbacks=[drawn], **VALID)
    model = learner.set_params(validation_fraction=wanted).fit(*GLYPHS)
    assert len(losses(model)) == len(model.net_.history)
    held_out = set(model.validation_tasks_)
    assert held_out == set(wanted) if isinstance(wanted, list) else len(held_out) == 5
    assert drawn.classes == set(range(12)) - held_out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"validation_fraction": 0.0}, "validation_fraction == 0.0, must be > 0"),
        ({"validation_fraction": 1.0}, "validation_fraction == 1.0, must be < 1"),
        ({"validation_fraction": True}, "validation_fraction"),
        ({"validation_fraction": 0.99}, "holds out 20 of the 20 task"),
        ({"validation_fraction": [1, "town"]}, r"do not have: \['town'\]"),
        ({"validation_fraction": []}, "holds out 0 of the 20 task"),
        ({"n_iter_no_change": 0}, "n_iter_no_change"),
    ],
)
def test_what_cannot_be_held_out_is_said(wrong, said):
    with pytest.raises(ValueError, match=said):
        fitted(RIDGE, **wrong)


def test_too_few_tasks_or_classes_are_said():
    with pytest.raises(ValueError, match="holds out 1 of the 1 task"):
        clone(RIDGE).fit(TASKS.data, TASKS.target)
    learner = PrototypicalClassifier(n_way=5, n_shots=2, **VALID)
    with pytest.raises(ValueError, match=r"holds out 4 of the 12 classes .* at least 5"):
        clone(learner).fit(*GLYPHS)
    with pytest.raises(ValueError, match="and trains on 3"):
        clone(learner).set_params(validation_fraction=0.7).fit(*GLYPHS)


def test_callbacks_and_pictures_find_the_loss():
    stop = EarlyStopping("valid_loss", patience=2, sink=lambda _: None)
    model = fitted(RIDGE, noise(), max_iter=100, lr=0.05, callbacks=[stop])
    assert len(losses(model)) == losses(model).argmin() + 3
    display = TrainingHistoryDisplay.from_estimator(model)
    assert [line.get_label() for line in display.lines_] == ["training tasks", "validation tasks"]
    assert_array_equal(display.valid_loss, losses(model))


def test_tasks_held_out_have_no_loss_in_a_hetrom():
    model = fitted(HeTRoM(RIDGE))
    unknown = model.tasks_[np.isnan(model.task_losses_)]
    assert set(unknown) == set(model.validation_tasks_)
