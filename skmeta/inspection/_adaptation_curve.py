"""A picture of scores against the number of known rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from skmeta.inspection._plotting import axes_for, check_matplotlib, score_label, style
from skmeta.metrics._interval import mean_over_tasks
from skmeta.model_selection import adaptation_curve
from skmeta.model_selection._curve import as_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

__all__ = ["AdaptationCurveDisplay"]

Kwargs = dict[str, Any]


class AdaptationCurveDisplay:
    """Adaptation curve visualization: scores on tasks never seen, by the rows known of them.

    It is the picture to look at first: where the curve of a meta-learner lies above that of a
    pooled model, tasks differ and a few rows say how; where it flattens, more labelled rows of a
    new task are worth little. Use :meth:`from_estimator` to create one, for one learner or for
    several side by side, or :meth:`from_curves` and :meth:`from_comparison` from what is computed
    already.
    All parameters are stored as attributes.

    Parameters
    ----------
    shots : ndarray of shape (n_shots,)
        Numbers of known rows.
    scores : ndarray of shape (n_learners, n_shots)
        Mean scores over tasks.
    half_widths : ndarray of shape (n_learners, n_shots)
        Of the 95 % intervals over tasks.
    names : list of str
        What to call the learners in the legend.
    scoring : str or callable, default=None
        The scorer, which names the axis.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curve of each learner; empty where error bars are drawn.
    fill_between_ : list of matplotlib PolyCollection
        The interval of each learner; empty unless bands are drawn.
    errorbar_ : list of matplotlib ErrorbarContainer
        Curve and interval of each learner; empty unless error bars are drawn.
    ax_ : matplotlib Axes
        The axes with the curves.
    figure_ : matplotlib Figure
        The figure that contains them.

    See Also
    --------
    adaptation_curve : Computes the scores.
    compare_learners : A table of several learners and baselines.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.linear_model import Ridge
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(40, 12, 3, random_state=0)
    >>> display = skmeta.AdaptationCurveDisplay.from_estimator(
    ...     {"mixed effects": skmeta.EmpiricalBayesRegressor(), "pooled": Ridge()},
    ...     tasks.data,
    ...     tasks.target,
    ...     groups=tasks.groups,
    ...     random_state=0,
    ... )
    >>> display.ax_.get_xlabel()
    'Known rows of a new task (shots)'
    >>> plt.close()
    """

    lines_: list[Line2D]
    fill_between_: list[PolyCollection]
    errorbar_: list[ErrorbarContainer]
    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self,
        *,
        shots: NDArray[Any],
        scores: NDArray[Any],
        half_widths: NDArray[Any],
        names: Sequence[str],
        scoring: str | Callable[..., float] | None = None,
    ) -> None:
        self.shots = shots
        self.scores = scores
        self.half_widths = half_widths
        self.names = names
        self.scoring = scoring

    def plot(
        self,
        ax: Axes | None = None,
        *,
        negate_score: bool = False,
        score_name: str | None = None,
        interval_style: str | None = "fill_between",
        line_kw: Kwargs | None = None,
        fill_between_kw: Kwargs | None = None,
        errorbar_kw: Kwargs | None = None,
    ) -> Self:
        """Plot visualization.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, those of another display for instance; None makes a new figure.
        negate_score : bool, default=False
            Whether to reverse the sign of the scores, to show errors of ``neg_*`` scorers as
            positive numbers.
        score_name : str, default=None
            The label of the y-axis; None infers it from the scorer.
        interval_style : {"fill_between", "errorbar"} or None, default="fill_between"
            Draw the 95 % intervals over tasks as bands, as error bars, or not at all.
        line_kw, fill_between_kw, errorbar_kw : dict, default=None
            Keywords for matplotlib's ``plot``, ``fill_between`` and ``errorbar``.

        Returns
        -------
        display : AdaptationCurveDisplay
            This display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `interval_style` is none of these.
        """
        if interval_style not in ("fill_between", "errorbar", None):
            raise ValueError(
                f"interval_style={interval_style!r} must be 'fill_between', 'errorbar' or None."
            )
        ax = axes_for(self, ax)
        from matplotlib.collections import PolyCollection
        from matplotlib.lines import Line2D

        lines = style(Line2D, {"marker": "o"}, line_kw)
        bands = style(PolyCollection, {"alpha": 0.15, "linewidth": 0}, fill_between_kw)
        bars = style(Line2D, {"marker": "o", "capsize": 3}, errorbar_kw)
        self.lines_, self.fill_between_, self.errorbar_ = [], [], []
        for name, scores, half in zip(self.names, self.scores, self.half_widths, strict=True):
            mean = -scores if negate_score else scores
            if interval_style == "errorbar":
                self.errorbar_.append(ax.errorbar(self.shots, mean, half, label=name, **bars))
                continue
            (line,) = ax.plot(self.shots, mean, label=name, **lines)
            self.lines_.append(line)
            if interval_style == "fill_between":
                band = {"color": line.get_color(), **bands}
                self.fill_between_.append(
                    ax.fill_between(self.shots, mean - half, mean + half, **band)
                )
        self._label(ax, score_label(score_name, self.scoring, negate_score))
        return self

    def _label(self, ax: Axes, ylabel: str) -> None:
        from matplotlib.ticker import NullLocator

        gaps = np.diff(self.shots)
        if len(gaps) and gaps.max() > 5 * gaps.min():  # scikit-learn's rule for its curves
            ax.set_xscale("log")
            ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticks(self.shots, [str(number) for number in self.shots])
        ax.set(xlabel="Known rows of a new task (shots)", ylabel=ylabel)
        ax.legend()

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        task_column: Hashable | None = None,
        shots: int | Sequence[int] = (1, 2, 5, 10),
        n_splits: int = 5,
        n_repeats: int = 1,
        support: str = "random",
        stratify: bool = False,
        scoring: str | Callable[..., float] | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        error_score: float | str = np.nan,
        name: str | None = None,
        ax: Axes | None = None,
        negate_score: bool = False,
        score_name: str | None = None,
        interval_style: str | None = "fill_between",
        line_kw: Kwargs | None = None,
        fill_between_kw: Kwargs | None = None,
        errorbar_kw: Kwargs | None = None,
    ) -> Self:
        """Compute the curves of one or several learners, and draw them.

        Parameters
        ----------
        estimator : estimator or dict of str to estimator
            What `adaptation_curve` takes; or several of them under their names, which meet the
            same tasks, shots and test rows.
        X : array-like or data frame of shape (n_samples, n_features)
            The rows of all tasks, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row, if no column holds it.
        task_column : str or int, default=None
            The column of X that holds the tasks.
        shots, n_splits, n_repeats, support, stratify, scoring : object
            See `adaptation_curve`.
        random_state, n_jobs, error_score : object
            See `adaptation_curve`.
        name : str, default=None
            What to call a single estimator; None takes the name of its class.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        negate_score, score_name, interval_style : object
            See :meth:`plot`.
        line_kw, fill_between_kw, errorbar_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : AdaptationCurveDisplay
            The display, drawn.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        learners = estimator
        if not isinstance(learners, Mapping):
            learners = {type(estimator).__name__ if name is None else name: estimator}
        seed = as_seed(random_state)  # all learners meet the same tasks
        curves = {
            label: adaptation_curve(
                learner,
                X,
                y,
                groups=groups,
                task_column=task_column,
                shots=shots,
                n_splits=n_splits,
                n_repeats=n_repeats,
                support=support,
                stratify=stratify,
                scoring=scoring,
                random_state=seed,
                n_jobs=n_jobs,
                error_score=error_score,
            )
            for label, learner in learners.items()
        }
        return cls.from_curves(
            curves,
            ax=ax,
            negate_score=negate_score,
            score_name=score_name,
            interval_style=interval_style,
            line_kw=line_kw,
            fill_between_kw=fill_between_kw,
            errorbar_kw=errorbar_kw,
        )

    @classmethod
    def from_curves(
        cls,
        curves: Mapping[str, Any],
        *,
        ax: Axes | None = None,
        negate_score: bool = False,
        score_name: str | None = None,
        interval_style: str | None = "fill_between",
        line_kw: Kwargs | None = None,
        fill_between_kw: Kwargs | None = None,
        errorbar_kw: Kwargs | None = None,
    ) -> Self:
        """Draw curves that `adaptation_curve` has computed.

        Parameters
        ----------
        curves : dict of str to Bunch
            For each name, what `adaptation_curve` returned; all for the same shots.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        negate_score, score_name, interval_style : object
            See :meth:`plot`.
        line_kw, fill_between_kw, errorbar_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : AdaptationCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are no curves, or they are of different shots or scorers.
        """
        check_matplotlib(f"{cls.__name__}.from_curves")
        first = next(iter(curves.values()), None)
        if first is None:
            raise ValueError("curves is empty; give at least one, as {name: curve}.")
        for name, curve in curves.items():
            if not np.array_equal(curve.shots, first.shots) or curve.scoring != first.scoring:
                raise ValueError(
                    f"The curve of {name!r} has shots {curve.shots.tolist()} and scoring "
                    f"{curve.scoring!r}, but the first one has {first.shots.tolist()} and "
                    f"{first.scoring!r}; draw them in one figure only if these agree."
                )
        means, half_widths = zip(
            *(mean_over_tasks(curve.scores) for curve in curves.values()), strict=True
        )
        display = cls(
            shots=first.shots,
            scores=np.stack(means),
            half_widths=np.stack(half_widths),
            names=list(curves),
            scoring=first.scoring,
        )
        return display.plot(
            ax,
            negate_score=negate_score,
            score_name=score_name,
            interval_style=interval_style,
            line_kw=line_kw,
            fill_between_kw=fill_between_kw,
            errorbar_kw=errorbar_kw,
        )

    @classmethod
    def from_comparison(
        cls,
        table: Any,
        *,
        ax: Axes | None = None,
        negate_score: bool = False,
        score_name: str | None = None,
        interval_style: str | None = "fill_between",
        line_kw: Kwargs | None = None,
        fill_between_kw: Kwargs | None = None,
        errorbar_kw: Kwargs | None = None,
    ) -> Self:
        """Draw the table that `compare_learners` returns, or the rows of some learners of it.

        Parameters
        ----------
        table : data frame
            With the columns "learner", "shots", "score" and "high", its rows in any order. Learners
            are drawn in the order in which they first appear.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        negate_score, score_name, interval_style : object
            See :meth:`plot`.
        line_kw, fill_between_kw, errorbar_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : AdaptationCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If a column is missing, or the table has not one row for each learner and number of
            shots.
        """
        check_matplotlib(f"{cls.__name__}.from_comparison")
        shots, names, scores, high = _unstack(table)
        display = cls(shots=shots, scores=scores, half_widths=high - scores, names=names)
        return display.plot(
            ax,
            negate_score=negate_score,
            score_name=score_name,
            interval_style=interval_style,
            line_kw=line_kw,
            fill_between_kw=fill_between_kw,
            errorbar_kw=errorbar_kw,
        )


def _unstack(table: Any) -> tuple[NDArray[Any], list[str], NDArray[Any], NDArray[Any]]:
    """Return shots, learners, and for each learner and number of shots score and upper end."""
    frame = nw.from_native(table, eager_only=True)
    missing = {"learner", "shots", "score", "high"} - set(frame.columns)
    if missing or frame.is_empty():
        what = f"has no column {sorted(missing)}" if missing else "has no rows"
        raise ValueError(f"table {what}; give one that compare_learners returned.")
    names = frame.get_column("learner").unique(maintain_order=True).to_list()
    learners = frame.get_column("learner").to_list()
    shots, columns = np.unique(frame.get_column("shots").to_numpy(), return_inverse=True)
    cells = np.array([names.index(name) for name in learners]) * len(shots) + columns
    if not np.array_equal(np.sort(cells), np.arange(len(names) * len(shots))):
        found = np.bincount(cells, minlength=len(names) * len(shots))
        cell = int(np.flatnonzero(found != 1)[0])
        raise ValueError(
            f"table has {found[cell]} rows of learner {names[cell // len(shots)]!r} with "
            f"{shots[cell % len(shots)]} shots; it needs one for each learner and number of shots."
        )
    order = np.argsort(cells)
    scores, high = (
        frame.get_column(name).to_numpy()[order].reshape(len(names), len(shots))
        for name in ("score", "high")
    )
    return shots, names, scores, high
