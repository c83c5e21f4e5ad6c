"""A picture of the error of each task."""

from __future__ import annotations

from collections.abc import Hashable
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils.validation import check_scalar

from skmeta.inspection._by_task import (
    Metric,
    as_metric,
    by_routing,
    errors_by_task,
    is_score,
    metric_label,
    task_table,
)
from skmeta.inspection._plotting import axes_for, check_matplotlib, style
from skmeta.inspection._task_points import name_points, scale_rows
from skmeta.tasks import TaskTable, as_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from matplotlib.text import Annotation

__all__ = ["TaskErrorDisplay"]

Kwargs = dict[str, Any]


class TaskErrorDisplay:
    """Visualization of the error of each task against its number of rows.

    A mean over tasks hides the tasks that a model fails. Errors of tasks with few rows scatter by
    chance, so that the points form a funnel around the error over all rows; a task far outside it
    that has many rows is one to look into, and the worst are named. Preferably, the rows are not
    those that the model was fitted or adapted to.

    Use :meth:`from_estimator` or :meth:`from_predictions` to create one.
    All parameters are stored as attributes.

    Parameters
    ----------
    errors : ndarray of shape (n_tasks,)
        The error of each task, or the score.
    n_rows : ndarray of shape (n_tasks,)
        How many rows it was computed from.
    tasks : ndarray of shape (n_tasks,)
        Labels of the tasks.
    overall : float
        The error over all rows.
    error_name : str, default="Error"
        The label of the y-axis.
    greater_is_better : bool, default=False
        Whether these are scores, of which the lowest are the worst.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        The tasks.
    line_ : matplotlib Line2D
        The error over all rows.
    texts_ : list of matplotlib Annotation
        The names of the worst tasks, the worst first.
    ax_ : matplotlib Axes
        The axes with the tasks.
    figure_ : matplotlib Figure
        The figure that contains them.

    See Also
    --------
    TaskMapDisplay : Tells whether tasks with large errors are alike.
    describe_tasks : Finds what is wrong with tasks themselves.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(50, (5, 40), 3, noise=0.3, random_state=0)
    >>> X, y, groups = tasks.data, tasks.target, tasks.groups
    >>> model = skmeta.EmpiricalBayesRegressor().fit(X[::2], y[::2], groups=groups[::2])
    >>> display = skmeta.TaskErrorDisplay.from_estimator(
    ...     model, X[1::2], y[1::2], groups=groups[1::2]
    ... )
    >>> display.ax_.get_ylabel()
    'Root mean squared error'
    >>> plt.close()
    """

    scatter_: PathCollection
    line_: Line2D
    texts_: list[Annotation]
    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self,
        *,
        errors: NDArray[Any],
        n_rows: NDArray[Any],
        tasks: NDArray[Any],
        overall: float,
        error_name: str = "Error",
        greater_is_better: bool = False,
    ) -> None:
        self.errors = errors
        self.n_rows = n_rows
        self.tasks = tasks
        self.overall = overall
        self.error_name = error_name
        self.greater_is_better = greater_is_better

    def plot(
        self,
        ax: Axes | None = None,
        *,
        n_named: int = 5,
        scatter_kw: Kwargs | None = None,
        line_kw: Kwargs | None = None,
        text_kw: Kwargs | None = None,
    ) -> Self:
        """Plot visualization.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        n_named : int, default=5
            How many of the worst tasks to name.
        scatter_kw, line_kw, text_kw : dict, default=None
            Keywords for matplotlib's ``scatter``, ``axhline`` and ``annotate``.

        Returns
        -------
        display : TaskErrorDisplay
            This display.
        """
        check_scalar(n_named, "n_named", Integral, min_val=0)
        ax = axes_for(self, ax)
        from matplotlib.collections import PathCollection
        from matplotlib.lines import Line2D
        from matplotlib.text import Text

        points = style(PathCollection, {"alpha": 0.6}, scatter_kw)
        line = style(Line2D, {"color": "black", "linestyle": "--", "alpha": 0.7}, line_kw)
        text = style(Text, {"fontsize": "small"}, text_kw)
        self.scatter_ = ax.scatter(self.n_rows, self.errors, **points)
        self.line_ = ax.axhline(self.overall, label="over all rows", **line)
        scale_rows(ax, self.n_rows)
        ax.set(xlabel="Rows of the task", ylabel=self.error_name)
        self.texts_ = name_points(
            ax,
            self.n_rows,
            self.errors,
            self.tasks,
            n_named,
            text,
            lowest=self.greater_is_better,
        )
        ax.legend()
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        task_column: Hashable | None = None,
        metric: Metric | str | None = None,
        n_named: int = 5,
        ax: Axes | None = None,
        scatter_kw: Kwargs | None = None,
        line_kw: Kwargs | None = None,
        text_kw: Kwargs | None = None,
    ) -> Self:
        """Predict rows of many tasks, and draw the error of each task.

        Parameters
        ----------
        estimator : estimator
            Fitted, or adapted to the tasks of the rows.
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,)
            True targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row, if no column holds it; passed on if the estimator requests it.
        task_column : str or int, default=None
            The column of X that holds the tasks.
        metric : str or callable, default=None
            An error or a score ``metric(y_true, y_pred)`` of scikit-learn, such as
            `mean_absolute_error`, or the name of a scorer, such as "r2"; "neg_mean_absolute_error"
            is drawn as an error. None is `root_mean_squared_error` for a regressor, and
            `zero_one_loss`, the error rate, for a classifier. It is a score if true targets for
            predictions give more; then the tasks of the lowest are the worst.
        n_named, ax, scatter_kw, line_kw, text_kw : object
            See :meth:`plot`.

        Returns
        -------
        display : TaskErrorDisplay
            The display, drawn.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        return cls._draw(
            task_table(X, groups, task_column),
            y,
            by_routing(estimator, "predict", X, groups),
            as_metric(metric, is_classifier(estimator)),
            ax=ax,
            n_named=n_named,
            scatter_kw=scatter_kw,
            line_kw=line_kw,
            text_kw=text_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        groups: Any,
        *,
        metric: Metric | str | None = None,
        n_named: int = 5,
        ax: Axes | None = None,
        scatter_kw: Kwargs | None = None,
        line_kw: Kwargs | None = None,
        text_kw: Kwargs | None = None,
    ) -> Self:
        """Draw the error of each task from predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True targets.
        y_pred : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, as `metric` takes them.
        groups : array-like of shape (n_samples,)
            The task of each row.
        metric : str or callable, default=None
            As in :meth:`from_estimator`; None is `root_mean_squared_error` where `y_true` is of
            numbers, and `zero_one_loss`, the error rate, where it is of strings or booleans.
        n_named, ax, scatter_kw, line_kw, text_kw : object
            See :meth:`plot`.

        Returns
        -------
        display : TaskErrorDisplay
            The display, drawn.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        return cls._draw(
            TaskTable.from_labels(as_labels(groups)),
            y_true,
            y_pred,
            as_metric(metric, np.asarray(y_true).dtype.kind not in "iuf"),
            ax=ax,
            n_named=n_named,
            scatter_kw=scatter_kw,
            line_kw=line_kw,
            text_kw=text_kw,
        )

    @classmethod
    def _draw(cls, table: TaskTable, y_true: Any, y_pred: Any, metric: Metric, **plot: Any) -> Self:
        errors = errors_by_task(metric, y_true, y_pred, table)
        return cls(
            errors=errors,
            n_rows=table.sizes,
            tasks=table.labels,
            overall=float(metric(y_true, y_pred)),
            error_name=metric_label(metric),
            greater_is_better=is_score(metric, y_true, y_pred),
        ).plot(**plot)
