"""Callbacks of scikit-learn see a fit, its epochs, and what was learned by then."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import (
    CAMELRegressor,
    EmpiricalBayesRegressor,
    EpisodicKFold,
    GoodEmbeddingClassifier,
    HeTRoM,
    MultiHeadRegressor,
    PerTask,
    RidgeHeadRegressor,
    Shared,
)

pytest.importorskip("sklearn.callback")

TASKS = skmeta.make_linear_tasks(12, 10, 2, random_state=0)
ROWS = np.column_stack([TASKS.groups, TASKS.data])
NET = {"hidden_layer_sizes": (4,), "max_iter": 6, "random_state": 0, "task_column": 0}
RIDGE = RidgeHeadRegressor(n_shots=3, **NET)


class Recorder:
    """Notes what it is told; asks for an end after some epochs."""

    def __init__(self, stop_after=None, predict=False):
        self.told = []
        self.max_propagation_depth = None
        self.stop_after = stop_after
        self.predict = predict
        self.predictions = []

    def setup(self, estimator, context):
        self.told.append("setup")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.told.append(("begin", type(estimator).__name__, context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.told.append(("end", type(estimator).__name__, context.task_name))
        if context.task_name == "epoch" and self.predict:
            self.predictions.append(fitted_estimator.predict(X))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def count(self, *what):
        return self.told.count(what)


def fit_with(estimator, recorder):
    return clone(estimator).set_callbacks(recorder).fit(ROWS, TASKS.target)


def test_a_fit_and_its_epochs():
    recorder = Recorder()
    model = fit_with(RIDGE, recorder)
    name = "RidgeHeadRegressor"
    epoch = [("begin", name, "epoch"), ("end", name, "epoch")]
    fit = [("begin", name, "fit"), *6 * epoch, ("end", name, "fit")]
    assert recorder.told == ["setup", *fit, "teardown"]
    left = set(vars(model)) - set(vars(clone(RIDGE).fit(ROWS, TASKS.target)))
    assert left == {"_skl_callbacks"}  # which scikit-learn keeps for the next fit


def test_the_model_is_that_without_callbacks():
    expected = clone(RIDGE).fit(ROWS, TASKS.target)
    model = fit_with(RIDGE, Recorder())
    assert_array_equal(model.predict(ROWS), expected.predict(ROWS))
    model.set_callbacks()
    assert len(pickle.dumps(model)) == len(pickle.dumps(expected))


@pytest.mark.parametrize(
    "learner",
    [
        RIDGE,
        MultiHeadRegressor(**NET),
        CAMELRegressor(n_parameters=1, penalty=0.5, **NET),
    ],
    ids=lambda x: type(x).__name__,
)
def test_callbacks_can_use_what_was_learned_by_then(learner):
    recorder = Recorder(predict=True)
    model = fit_with(learner, recorder)
    assert_array_equal(recorder.predictions[-1], model.predict(ROWS))
    after_two = clone(learner).set_params(max_iter=2).fit(ROWS, TASKS.target)
    assert_array_equal(recorder.predictions[1], after_two.predict(ROWS))


def test_a_callback_can_stop_the_training():
    assert fit_with(RIDGE, Recorder(stop_after=3)).n_iter_ == 3


def test_a_fit_that_fails_is_torn_down():
    recorder = Recorder()
    with pytest.raises(ValueError, match="No task is large enough"):
        fit_with(clone(RIDGE).set_params(n_shots=50), recorder)
    assert recorder.told[-1] == "teardown"


def test_every_distillation_is_a_part_of_the_fit():
    y = (TASKS.target > 0).astype(int)
    recorder = Recorder()
    learner = GoodEmbeddingClassifier(n_distillations=2, **NET)
    learner.set_callbacks(recorder).fit(ROWS, y)
    assert recorder.count("end", "GoodEmbeddingClassifier", "epoch") == 18


def test_they_reach_learners_in_wrappers_pipelines_and_searches():
    """Without a warning of scikit-learn's that some part takes no callbacks."""
    pipe = make_pipeline(
        Shared(StandardScaler(), task_column=0), PerTask(StandardScaler(), task_column=0),
        HeTRoM(clone(RIDGE)),
    )  # fmt: skip
    recorder = Recorder()
    cv = EpisodicKFold(2, 3, task_column=0, random_state=0)
    search = GridSearchCV(pipe, {"hetrom__drop_hardest": [0.1, 0.3]}, cv=cv)
    search.set_callbacks(recorder).fit(ROWS, TASKS.target)
    fits = 2 * 2 + 1
    assert recorder.count("end", "RidgeHeadRegressor", "epoch") == 6 * fits
    assert recorder.count("begin", "HeTRoM", "fit-RidgeHeadRegressor") == 0  # it is the fit
    assert recorder.count("begin", "RidgeHeadRegressor", "fit") == fits
    assert recorder.count("end", "Shared", "fit") == recorder.count("end", "PerTask", "fit") == fits


def test_learners_without_epochs_are_one_task():
    recorder = Recorder()
    fit_with(EmpiricalBayesRegressor(task_column=0), recorder)
    name = "EmpiricalBayesRegressor"
    assert recorder.told == ["setup", ("begin", name, "fit"), ("end", name, "fit"), "teardown"]


def test_files_do_not_hold_callbacks(tmp_path):
    pytest.importorskip("safetensors")
    model = fit_with(RIDGE, Recorder())
    skmeta.save(model, tmp_path / "model.safetensors")
    again = skmeta.load(tmp_path / "model.safetensors")
    assert_array_equal(again.predict(ROWS), model.predict(ROWS))
    assert not hasattr(again, "_skl_callbacks")


def test_progress_bars(capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    fit_with(HeTRoM(RIDGE), ProgressBar())
    assert "RidgeHeadRegressor - fit" in capsys.readouterr().out


@pytest.mark.parametrize("column", [True, False], ids=["column", "groups"])
def test_a_score_after_each_epoch(column):
    from sklearn.callback import ScoringMonitor

    X, given = (ROWS, {}) if column else (TASKS.data, {"groups": TASKS.groups})
    scorer = skmeta.task_scorer("r2", task_column=0 if column else None)
    monitor = ScoringMonitor(scoring={"r2": scorer})
    learner = clone(RIDGE).set_params(task_column=0 if column else None)
    clone(learner).set_callbacks(monitor).fit(X, TASKS.target, **given)
    found = [row["r2"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    expected = []
    for n_epochs in range(1, 7):
        model = clone(learner).set_params(max_iter=n_epochs).fit(X, TASKS.target, **given)
        expected.append(scorer(model, X, TASKS.target, **given))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
