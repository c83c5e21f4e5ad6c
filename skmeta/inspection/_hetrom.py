"""A picture of which tasks HeTRoM trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from skmeta.base._adapt import last_fitted_step
from skmeta.inspection._plotting import check_matplotlib, panels_from

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["HeTRoMDisplay"]

Array = NDArray[np.float64]

_COLORS = {"kept": "C0", "hard": "C3", "easy": "C2"}
_NAMED = 8  # of the suspect tasks


class HeTRoMDisplay:
    """Visualization of the tasks that `HeTRoM` kept and dropped.

    Three panels: the losses of the training tasks after training, with the tasks that were mostly
    dropped in colour; the thresholds over training; and how often each task was kept in the second
    half of training, by its loss. Tasks in the corner of the last panel, of high loss and rarely
    kept, are those to look at in the data; its title names the first of them. Use
    :meth:`from_estimator` to create one. All parameters are stored as attributes.

    Parameters
    ----------
    tasks : ndarray of shape (n_tasks,)
        Labels of the training tasks.
    losses : ndarray of shape (n_tasks,)
        Their losses after training.
    selection : ndarray of shape (n_epochs, n_tasks)
        The share of draws in which a task was kept, NaN where it was not drawn.
    thresholds : ndarray of shape (n_epochs, 2)
        Lower and upper threshold of kept scores.
    suspects : structured ndarray
        As `HeTRoM.suspect_tasks_`.
    n_updates : ndarray of shape (n_epochs,)
        The number of meta-updates behind each epoch.

    Attributes
    ----------
    axes_ : ndarray of 3 matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        The figure that contains them.

    See Also
    --------
    TaskErrorDisplay : Errors of tasks, of any learner.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(30, 20, random_state=0)
    >>> model = skmeta.HeTRoM(skmeta.RidgeHeadRegressor(max_iter=50, random_state=0))
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> display = skmeta.HeTRoMDisplay.from_estimator(model)
    >>> len(display.axes_)
    3
    >>> plt.close()
    """

    axes_: NDArray[Any]
    figure_: Figure | SubFigure

    def __init__(
        self,
        *,
        tasks: NDArray[Any],
        losses: Array,
        selection: Array,
        thresholds: Array,
        suspects: NDArray[Any],
        n_updates: NDArray[Any],
    ) -> None:
        self.tasks = tasks
        self.losses = losses
        self.selection = selection
        self.thresholds = thresholds
        self.suspects = suspects
        self.n_updates = n_updates

    def plot(self, ax: NDArray[Any] | None = None) -> Self:
        """Plot visualization.

        Parameters
        ----------
        ax : array-like of 3 matplotlib Axes, default=None
            Panels to draw on; None makes a new figure.

        Returns
        -------
        display : HeTRoMDisplay
            This display.
        """
        check_matplotlib("HeTRoMDisplay.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            ax = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")[1]
        self.axes_ = panels_from(self, ax, 3)
        self.figure_ = self.axes_[0].figure
        kinds = self._kinds()
        log = bool((self.losses[~np.isnan(self.losses)] > 0).all())
        self._plot_losses(self.axes_[0], kinds, log)
        self._plot_thresholds(self.axes_[1], log)
        self._plot_selection(self.axes_[2], kinds, log)
        return self

    def _kinds(self) -> NDArray[Any]:
        reasons = dict(zip(self.suspects["task"], self.suspects["reason"], strict=True))
        return np.array([reasons.get(task, "kept") for task in self.tasks.tolist()])

    def _plot_losses(self, ax: Axes, kinds: NDArray[Any], log: bool) -> None:
        there = ~np.isnan(self.losses)
        values = self.losses[there]
        edges: Any = 30
        if log and len(values):
            edges = np.geomspace(values.min(), values.max() * (1 + 1e-9), 31)
            ax.set_xscale("log")
        named = {kind: self.losses[there & (kinds == kind)] for kind in _COLORS}
        found = {kind: part for kind, part in named.items() if len(part)}
        labels = {"kept": "mostly kept", "hard": "dropped as hard", "easy": "dropped as easy"}
        ax.hist(
            list(found.values()),
            bins=edges,
            stacked=True,
            color=[_COLORS[kind] for kind in found],
            label=[f"{labels[kind]} ({len(part)})" for kind, part in found.items()],
        )
        ax.set(xlabel="Loss after training", ylabel="Tasks")
        ax.margins(y=0.35)  # room for the legend
        ax.legend(loc="upper center")

    def _plot_thresholds(self, ax: Axes, log: bool) -> None:
        for column, color, label in ((1, "C3", "hardest kept"), (0, "C2", "easiest kept")):
            values = self.thresholds[:, column]
            finite = np.isfinite(values) & (values > 0 if log else True)
            if finite.any():
                ax.plot(self.n_updates[finite], values[finite], color=color, label=label)
        if log and ax.lines:
            ax.set_yscale("log")
        ax.set(xlabel="Meta-updates", ylabel="Threshold of scores")
        if ax.lines:
            ax.legend()

    def _plot_selection(self, ax: Axes, kinds: NDArray[Any], log: bool) -> None:
        late = self.selection[len(self.selection) // 2 :]
        drawn = ~np.isnan(late)
        kept = np.where(drawn, late, 0).sum(axis=0) / np.maximum(drawn.sum(axis=0), 1)
        there = drawn.any(axis=0) & ~np.isnan(self.losses)
        for kind, color in _COLORS.items():
            some = there & (kinds == kind)
            ax.scatter(self.losses[some], kept[some], s=18, color=color, alpha=0.6, linewidths=0)
        if len(self.suspects):
            names = ", ".join(str(task) for task in self.suspects["task"][:_NAMED])
            more = ", ..." if len(self.suspects) > _NAMED else ""
            ax.set_title(f"Suspects: {names}{more}", fontsize="small")
        if log:
            ax.set_xscale("log")
        ax.set(
            xlabel="Loss after training",
            ylabel="Share of draws in which it was kept",
            ylim=(-0.05, 1.05),
        )

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: NDArray[Any] | None = None) -> Self:
        """Draw what a fitted `HeTRoM` made of its tasks.

        Parameters
        ----------
        estimator : estimator
            A fitted `HeTRoM`, or a meta-transformer around one; or a `Pipeline` or a search that
            ends in one. It must not be adapted, for then it knows other tasks.
        ax : array-like of 3 matplotlib Axes, default=None
            Panels to draw on; None makes a new figure.

        Returns
        -------
        display : HeTRoMDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator has no record of selected tasks.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        model = last_fitted_step(estimator)
        selection = getattr(model, "task_selection_", None)
        if selection is None or selection.shape[1] != len(model.tasks_):
            raise ValueError(
                f"This {type(model).__name__} has no record of its tasks; give a fitted HeTRoM "
                "that was not adapted."
            )
        counts = [row["train_batch_count"] for row in model.net_.history]
        return cls(
            tasks=model.tasks_,
            losses=model.task_losses_,
            selection=selection,
            thresholds=model.thresholds_,
            suspects=model.suspect_tasks_,
            n_updates=np.cumsum(counts),
        ).plot(ax)
