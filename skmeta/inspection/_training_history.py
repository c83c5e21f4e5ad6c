"""A picture of how a meta-learner was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from skmeta.base._adapt import last_fitted_step
from skmeta.inspection._plotting import axes_for, check_matplotlib, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

__all__ = ["TrainingHistoryDisplay"]

Kwargs = dict[str, Any]


class TrainingHistoryDisplay:
    """Visualization of the meta-loss over the meta-updates of a fit.

    A loss that still falls at the end asks for more updates (`max_iter`) or a larger `lr`; one
    that jumps about asks for a smaller `lr` or more tasks per update (`meta_batch_size`). The
    meta-loss is that of training tasks: whether tasks never seen get better, `adaptation_curve`
    tells, or the loss on tasks held out by `validation_fraction`, which is drawn beside it.
    Of a `HeTRoM` it shows too which share of the drawn tasks counted, 1 while it warms up: a loss
    that falls where this share does fell because tasks were dropped.

    Use :meth:`from_estimator` to create one. All parameters are stored as attributes.

    Parameters
    ----------
    n_updates : ndarray of shape (n_points,)
        The number of meta-updates behind each point.
    train_loss : ndarray of shape (n_points,)
        Mean meta-loss since the point before, in the units of the learner's loss.
    valid_loss : ndarray of shape (n_points,) or None, default=None
        Loss on tasks that are not trained on; NaN where none was recorded.
    kept : ndarray of shape (n_points,) or None, default=None
        The share of the drawn tasks that counted, since the point before.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The training curve, and the validation curve if there is one.
    kept_line_ : matplotlib Line2D or None
        The share of tasks that counted.
    kept_ax_ : matplotlib Axes or None
        The axes with that share, on the right of the others.
    ax_ : matplotlib Axes
        The axes with the curves.
    figure_ : matplotlib Figure
        The figure that contains them.

    See Also
    --------
    AdaptationCurveDisplay : What training has achieved on tasks never seen.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(20, 20, random_state=0)
    >>> model = skmeta.RidgeHeadRegressor(max_iter=50, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> display = skmeta.TrainingHistoryDisplay.from_estimator(model)
    >>> int(display.n_updates[-1])
    50
    >>> plt.close()
    """

    lines_: list[Line2D]
    kept_line_: Line2D | None
    kept_ax_: Axes | None
    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self,
        *,
        n_updates: NDArray[Any],
        train_loss: NDArray[Any],
        valid_loss: NDArray[Any] | None = None,
        kept: NDArray[Any] | None = None,
    ) -> None:
        self.n_updates = n_updates
        self.train_loss = train_loss
        self.valid_loss = valid_loss
        self.kept = kept

    def plot(self, ax: Axes | None = None, *, line_kw: Kwargs | None = None) -> Self:
        """Plot visualization.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        line_kw : dict, default=None
            Keywords for matplotlib's ``plot``.

        Returns
        -------
        display : TrainingHistoryDisplay
            This display.
        """
        ax = axes_for(self, ax)
        from matplotlib.lines import Line2D

        curves = {"training tasks": self.train_loss}
        if self.valid_loss is not None:
            curves["validation tasks"] = self.valid_loss
        self.lines_ = [
            ax.plot(self.n_updates, loss, **style(Line2D, {"label": label}, line_kw))[0]
            for label, loss in curves.items()
        ]
        values = np.concatenate(list(curves.values()))
        if 0 < 10 * np.nanmin(values) < np.nanmax(values):  # the last updates would look all flat
            ax.set_yscale("log")
        ax.set(xlabel="Meta-updates", ylabel="Meta-loss")
        self.kept_line_ = self.kept_ax_ = None
        if self.kept is not None:
            self.kept_ax_ = ax.twinx()
            self.kept_ax_.set(ylabel="Share of drawn tasks that count", ylim=(0, 1.05))
            (self.kept_line_,) = self.kept_ax_.plot(
                self.n_updates, self.kept, color="0.5", linestyle=":", label="share that counts"
            )
            ax.legend(handles=[*ax.lines, self.kept_line_], loc="lower left")
        else:
            ax.legend()
        return self

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Axes | None = None, line_kw: Kwargs | None = None
    ) -> Self:
        """Draw the history of a fitted learner.

        Parameters
        ----------
        estimator : estimator
            A fitted meta-learner with a network, or a meta-transformer around one; or a `Pipeline`
            or a search that ends in one.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        line_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : TrainingHistoryDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator has no history: it is not fitted, or trains no network.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        learner = last_fitted_step(estimator)
        history = getattr(getattr(learner, "net_", None), "history", None)
        if not history:
            raise ValueError(
                f"This {type(learner).__name__} has no training history; give a fitted learner "
                "that trains a network with max_iter above 0."
            )
        rows = list(history)
        losses = [row.get("valid_loss", np.nan) for row in rows]
        return cls(
            n_updates=np.cumsum([row["train_batch_count"] for row in rows]),
            train_loss=np.array([row["train_loss"] for row in rows]),
            valid_loss=None if np.isnan(losses).all() else np.array(losses),
            kept=_share_kept(getattr(learner, "task_selection_", None)),
        ).plot(ax, line_kw=line_kw)


def _share_kept(selection: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Average over the tasks that an epoch drew; NaN where it drew none."""
    if selection is None:
        return None
    drawn = ~np.isnan(selection)
    count = drawn.sum(axis=1)
    total = np.where(drawn, selection, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
