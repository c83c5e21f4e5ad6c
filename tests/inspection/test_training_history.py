"""The picture shows the history that skorch keeps."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

import skmeta
from skmeta import (
    EmpiricalBayesRegressor,
    EpisodicKFold,
    HeTRoM,
    RidgeHeadRegressor,
    Shared,
    TrainingHistoryDisplay,
)

TASKS = skmeta.make_linear_tasks(10, 10, 2, random_state=0)
ROWS = np.column_stack([TASKS.groups, TASKS.data])
QUICK = {"hidden_layer_sizes": (4,), "random_state": 0, "task_column": 0}


def fitted(**given):
    return RidgeHeadRegressor(**{"max_iter": 7, **QUICK, **given}).fit(ROWS, TASKS.target)


class Validate(Callback):
    """Records a validation loss every other epoch."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) % 2:
            net.history.record("valid_loss", 1.0)


def test_loss_against_meta_updates():
    model = fitted(max_iter=250)
    display = TrainingHistoryDisplay.from_estimator(model)
    (line,) = display.lines_
    assert line.get_xdata()[-1] == model.n_iter_ == 250
    assert (np.diff(line.get_xdata()) > 0).all()
    assert_allclose(line.get_ydata(), model.net_.history[:, "train_loss"])
    assert line.get_ydata()[-1] < line.get_ydata()[0]
    assert display.valid_loss is None


def test_validation_loss_where_it_was_recorded():
    display = TrainingHistoryDisplay.from_estimator(fitted(callbacks=[("valid", Validate())]))
    assert [line.get_label() for line in display.lines_] == ["training tasks", "validation tasks"]
    assert_array_equal(display.lines_[1].get_ydata(), [1, np.nan, 1, np.nan, 1, np.nan, 1])


@pytest.mark.parametrize("guidance", [None, "lognormal"])
def test_the_share_of_tasks_that_count(guidance):
    learner = RidgeHeadRegressor(max_iter=60, meta_batch_size=10, **QUICK)
    model = HeTRoM(learner, drop_hardest=0.3, warm_up=0.5, guidance=guidance)
    display = TrainingHistoryDisplay.from_estimator(model.fit(ROWS, TASKS.target))
    assert_array_equal(display.kept_line_.get_xdata(), display.lines_[0].get_xdata())
    share = display.kept_line_.get_ydata()
    warm = display.n_updates <= 30
    assert (share[warm] == 1).all()
    if guidance is None:
        assert_allclose(share[~warm], 0.7)
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["training tasks", "share that counts"]
    assert display.kept_ax_.figure is display.figure_
    assert TrainingHistoryDisplay.from_estimator(model.estimator_).kept_line_ is None


def test_pipelines_and_searches_and_shared_axes():
    pipe = make_pipeline(
        Shared(StandardScaler(), task_column=0), RidgeHeadRegressor(max_iter=7, **QUICK)
    )
    search = GridSearchCV(pipe, {}, cv=EpisodicKFold(2, 2, task_column=0))
    search.fit(ROWS, TASKS.target)
    one = TrainingHistoryDisplay.from_estimator(search, line_kw={"label": "search"})
    two = TrainingHistoryDisplay.from_estimator(
        search.best_estimator_, ax=one.ax_, line_kw={"label": "pipeline", "ls": ":"}
    )
    assert two.figure_ is one.figure_
    legend = [text.get_text() for text in two.ax_.get_legend().get_texts()]
    assert legend == ["search", "pipeline"]
    assert_array_equal(one.train_loss, two.train_loss)


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([1.0, 0.5], "linear"), ([1.0, 0.01], "log"), ([1.0, 0.01, -1.0], "linear")],
)
def test_a_loss_that_falls_by_orders_gets_a_log_axis(losses, scale):
    display = TrainingHistoryDisplay(n_updates=np.arange(len(losses)), train_loss=np.array(losses))
    assert display.plot().ax_.get_yscale() == scale


@pytest.mark.parametrize(
    "estimator",
    [RidgeHeadRegressor(), EmpiricalBayesRegressor(task_column=0).fit(ROWS, TASKS.target)],
    ids=str,
)
def test_without_a_history_it_is_said(estimator):
    with pytest.raises(ValueError, match=f"{type(estimator).__name__} has no training history"):
        TrainingHistoryDisplay.from_estimator(estimator)
