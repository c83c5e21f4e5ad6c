"""A picture of how tasks differ: in how much, in what, and which of them the most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from skmeta.inspection._fitted_tasks import FittedTasks
from skmeta.inspection._plotting import check_matplotlib, panels_from
from skmeta.inspection._task_points import name_points, scale_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["TaskVariationDisplay"]

Array = NDArray[np.float64]

_PARTS = {
    "shared by all tasks": "C0",
    "level of the task": "C1",
    "slopes of the task": "C3",
    "noise": "0.8",
}
_LEAST_LABELLED = 0.05  # of the variance: there is no room for the number of less
_NORMAL_95 = 1.96


class TaskVariationDisplay:
    """Visualization of how tasks differ, as a fitted model sees it.

    Up to three panels. The first divides the variance into what all tasks share, what tasks
    differ in, and noise. The second shows for each feature what one standard deviation of it adds
    to y: the mean over tasks as a point, and where 95 % of the tasks lie as a line; a line across
    zero is a feature that adds in some tasks and subtracts in others. In the third each point is
    a task: the further right, the further its predictions are from those of the prior; the
    higher, the less its coefficients are like those of other tasks. Learners without an estimated
    prior have the third alone, with predictions against numbers of rows. Use
    :meth:`from_estimator` to create one. All parameters are stored as attributes.

    Parameters
    ----------
    found : FittedTasks
        What the model says of its tasks, as arrays; `explain_tasks` has it as tables.

    Attributes
    ----------
    axes_ : dict of str to matplotlib Axes
        The panels: those of "variance", "features" and "tasks" that there are.
    figure_ : matplotlib Figure
        The figure that contains them.

    See Also
    --------
    explain_tasks : The numbers, and what they mean.
    TaskErrorDisplay : Which tasks a model fails.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import skmeta
    >>> data = skmeta.load_gapminder()
    >>> model = skmeta.EmpiricalBayesRegressor().fit(data.data, data.target, groups=data.groups)
    >>> display = skmeta.TaskVariationDisplay.from_estimator(model, data.feature_names)
    >>> list(display.axes_)
    ['variance', 'features', 'tasks']
    >>> plt.close()
    """

    axes_: dict[str, Axes]
    figure_: Figure | SubFigure

    def __init__(self, *, found: FittedTasks) -> None:
        self.found = found

    def plot(
        self,
        ax: Any = None,
        *,
        output: int = 0,
        n_features: int = 12,
        n_named: int = 4,
    ) -> Self:
        """Plot visualization.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of them, default=None
            Panels to draw on, as many as there are, in the order of `axes_`; None makes a new
            figure.
        output : int, default=0
            Which output the features are shown for, if there are several.
        n_features : int, default=12
            At most this many features, those that vary most.
        n_named : int, default=4
            How many tasks to name, those that are farthest.

        Returns
        -------
        display : TaskVariationDisplay
            This display.

        Raises
        ------
        ValueError
            If `ax` does not have as many axes as there are panels.
        """
        check_matplotlib("TaskVariationDisplay.plot")
        import matplotlib.pyplot as plt

        found = self.found
        names = ["tasks"] if found.features is None else ["features", "tasks"]
        mosaic: list[Any] = [names]
        heights = [4.0]
        if found.components is not None:
            mosaic, heights = (
                [["variance"] * len(names), names],
                [0.6 + 0.3 * len(found.outputs), 4.0],
            )
        if ax is None:
            self.axes_ = plt.subplot_mosaic(
                mosaic,
                figsize=(5.0 * len(names), 0.8 + sum(heights)),
                height_ratios=heights,
                layout="constrained",
            )[1]
        else:
            parts = list(dict.fromkeys(part for row in mosaic for part in row))
            self.axes_ = dict(zip(parts, panels_from(self, ax, len(parts)), strict=True))
        self.figure_ = self.axes_["tasks"].figure
        if found.components is not None:
            self._plot_variance(self.axes_["variance"], found.components)
        if found.effects is not None and found.spreads is not None:
            effects, spreads = found.effects[output], found.spreads[output]
            self._plot_features(self.axes_["features"], effects, spreads, output, n_features)
        self._plot_tasks(self.axes_["tasks"], n_named)
        return self

    def _plot_variance(self, ax: Axes, components: Array) -> None:
        shares = components / np.maximum(components.sum(axis=1), np.finfo(float).tiny)[:, None]
        left = np.zeros(len(shares))
        names = [str(name) for name in self.found.outputs]
        for (name, color), share in zip(_PARTS.items(), shares.T, strict=True):
            texts = [f"{part:.0%}" if part > _LEAST_LABELLED else "" for part in share]
            bars = ax.barh(names, share, left=left, color=color, label=name)
            ax.bar_label(bars, texts, label_type="center", color="black")
            left += share
        ax.set(xlim=(0, 1), xlabel="Share of the variance")
        ax.xaxis.set_major_formatter("{x:.0%}")
        ax.invert_yaxis()
        if len(names) == 1:
            ax.set_yticks([])
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)

    def _plot_features(
        self, ax: Axes, effects: Array, spreads: Array, output: int, n_features: int
    ) -> None:
        most = np.argsort(-spreads, kind="stable")[:n_features]
        names = self.found.features
        assert names is not None
        ax.axvline(0, color="0.6", linewidth=1)
        ax.errorbar(
            effects[most],
            np.arange(len(most)),
            xerr=_NORMAL_95 * spreads[most],
            fmt="o",
            color="C3",
            ecolor="C3",
            elinewidth=3,
            alpha=0.7,
        )
        ax.set_yticks(np.arange(len(most)), [str(names[feature]) for feature in most])
        ax.set_ylim(len(most) - 0.5, -0.5)
        several = f" ({self.found.outputs[output]})" if len(self.found.outputs) > 1 else ""
        unit = "the logit" if self.found.classification else "y"
        ax.set(
            xlabel=f"What one sd of the feature adds to {unit}{several}",
            title="Effects: mean, and 95 % of the tasks",
        )

    def _plot_tasks(self, ax: Axes, n_named: int) -> None:
        found = self.found
        y, label = found.moved, f"Predictions moved, {found.unit}"
        if found.learned is not None:
            expected = np.sqrt(found.learned)
            y = np.divide(y, expected, out=np.zeros_like(y), where=expected > 0)
            label = "Distance from the prior / expected"
            line = ax.axhline(1, color="black", linestyle="--", alpha=0.7)
            ax.legend([line], ["tasks like the others"])
        x, unit = found.n_rows.astype(np.float64), "Known rows of the task"
        if found.learned is None or found.shift is None:
            scale_rows(ax, found.n_rows)
        else:
            x, unit = found.shift, "Predictions moved, in the units of y"
            if found.classification:
                unit = "Predictions moved, in probability"
        ax.scatter(x, y, alpha=0.6, linewidths=0, color="C0")
        ax.set_ylim(bottom=0)
        ax.set(xlabel=unit, ylabel=label, title="Tasks")
        # Names are placed by where points come to lie.
        ax.figure.canvas.figure.draw_without_rendering()
        name_points(ax, x, y, found.tasks, n_named, {"fontsize": "small"})

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        feature_names: Sequence[str] | None = None,
        *,
        ax: Any = None,
        output: int = 0,
        n_features: int = 12,
        n_named: int = 4,
    ) -> Self:
        """Draw what a fitted model says of its tasks.

        Parameters
        ----------
        estimator : estimator
            Fitted, or adapted to the tasks to show; as `explain_tasks` takes it.
        feature_names : sequence of str, default=None
            Names of the features, without the task column. None takes those seen in fit, or makes
            some up.
        ax, output, n_features, n_named : object
            See :meth:`plot`.

        Returns
        -------
        display : TaskVariationDisplay
            The display, drawn.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        found = FittedTasks.of(estimator, feature_names)
        return cls(found=found).plot(ax, output=output, n_features=n_features, n_named=n_named)
