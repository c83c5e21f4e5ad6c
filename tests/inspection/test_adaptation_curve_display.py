"""The picture shows what the curve holds, one learner or several."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.utils import Bunch

import skmeta
from skmeta import AdaptationCurveDisplay, EmpiricalBayesRegressor, adaptation_curve
from skmeta.metrics._interval import mean_over_tasks

TASKS = skmeta.make_linear_tasks(12, 8, 2, noise=0.3, random_state=0)
GIVEN = {"groups": TASKS.groups, "shots": (1, 2, 5), "n_splits": 2, "random_state": 0}
LEARNERS = {"mixed effects": EmpiricalBayesRegressor(), "pooled": Ridge()}


@pytest.fixture(scope="module")
def curves():
    return {
        name: adaptation_curve(learner, TASKS.data, TASKS.target, **GIVEN)
        for name, learner in LEARNERS.items()
    }


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_lines_and_bands_are_means_and_intervals_over_tasks(curves):
    display = AdaptationCurveDisplay.from_estimator(LEARNERS, TASKS.data, TASKS.target, **GIVEN)
    assert legend(display) == list(LEARNERS)
    assert display.figure_ is display.ax_.figure
    for line, band, curve in zip(
        display.lines_, display.fill_between_, curves.values(), strict=True
    ):
        mean, half_width = mean_over_tasks(curve.scores)
        assert_array_equal(line.get_xdata(), [1, 2, 5])
        assert_array_equal(line.get_ydata(), mean)
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.max() == pytest.approx((mean + half_width).max())
        assert heights.min() == pytest.approx((mean - half_width).min())
    assert display.ax_.get_ylabel() == "Negative root mean squared error"


def test_learners_meet_the_same_tasks_even_without_a_seed():
    display = AdaptationCurveDisplay.from_estimator(
        {"a": Ridge(), "b": Ridge()}, TASKS.data, TASKS.target, **{**GIVEN, "random_state": None}
    )
    assert_array_equal(*display.scores)


def test_repeated_calls_share_axes(curves):
    one = AdaptationCurveDisplay.from_estimator(Ridge(), TASKS.data, TASKS.target, **GIVEN)
    two = AdaptationCurveDisplay.from_curves({"EB": curves["mixed effects"]}, ax=one.ax_)
    assert legend(two) == ["Ridge", "EB"]
    assert two.figure_ is one.figure_
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("interval_style", ["fill_between", "errorbar", None])
def test_negated_scores_are_errors(curves, interval_style):
    display = AdaptationCurveDisplay.from_curves(
        curves, negate_score=True, interval_style=interval_style
    )
    assert display.ax_.get_ylabel() == "Root mean squared error"
    lines = display.lines_ or [bar.lines[0] for bar in display.errorbar_]
    for line, curve in zip(lines, curves.values(), strict=True):
        assert_allclose(line.get_ydata(), -curve.scores.mean(axis=1))
    assert bool(display.errorbar_) == (interval_style == "errorbar")
    assert bool(display.fill_between_) == (interval_style == "fill_between")


def test_short_names_of_keywords_replace_defaults(curves):
    display = AdaptationCurveDisplay.from_curves(
        curves, line_kw={"c": "red", "ls": ":"}, fill_between_kw={"lw": 2, "color": "blue"}
    )
    assert {line.get_color() for line in display.lines_} == {"red"}
    assert {line.get_linestyle() for line in display.lines_} == {":"}
    assert all(band.get_linewidth() == [2] for band in display.fill_between_)


@pytest.mark.parametrize(("shots", "scale"), [((1, 2, 5), "linear"), ((1, 2, 5, 20), "log")])
def test_every_number_of_shots_is_a_tick(shots, scale):
    curve = Bunch(shots=np.array(shots), scores=np.ones((len(shots), 3)), scoring="r2")
    display = AdaptationCurveDisplay.from_curves({"a": curve})
    assert display.ax_.get_xscale() == scale
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == list(map(str, shots))


@pytest.mark.parametrize(
    ("scoring", "negate", "label"),
    [
        ("r2", False, "R2"),
        ("r2", True, "Negative r2"),
        ("neg_log_loss", True, "Log loss"),
        (len, False, "Len"),
        (None, False, "Score"),
        (None, True, "Negative score"),
    ],
)
def test_axis_is_named_by_the_scorer(scoring, negate, label):
    display = AdaptationCurveDisplay(
        shots=[1], scores=[np.ones(1)], half_widths=[np.ones(1)], names=["a"], scoring=scoring
    )
    assert display.plot(negate_score=negate).ax_.get_ylabel() == label
    assert display.plot(score_name="Error (years)").ax_.get_ylabel() == "Error (years)"


def test_what_cannot_be_drawn_is_said(curves):
    with pytest.raises(ValueError, match="interval_style='std' must be"):
        AdaptationCurveDisplay.from_curves(curves, interval_style="std")
    with pytest.raises(ValueError, match="curves is empty"):
        AdaptationCurveDisplay.from_curves({})
    other = Bunch(**{**curves["pooled"], "scoring": "r2"})
    with pytest.raises(ValueError, match=r"curve of 'b' has shots \[1, 2, 5\] and scoring 'r2'"):
        AdaptationCurveDisplay.from_curves({"a": curves["pooled"], "b": other})


def test_without_matplotlib_the_error_says_what_to_install(curves, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: AdaptationCurveDisplay.from_curves(curves),
        lambda: AdaptationCurveDisplay.from_estimator(Ridge(), TASKS.data, TASKS.target),
    ):
        with pytest.raises(ImportError, match=r'matplotlib with `pip install "skmeta\[plot\]"`'):
            draw()
