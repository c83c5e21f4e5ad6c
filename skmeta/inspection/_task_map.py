"""A picture of which tasks are alike."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length

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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure

__all__ = ["TaskMapDisplay"]

Kwargs = dict[str, Any]


class TaskMapDisplay:
    """Visualization of tasks as points of a plane, like tasks close, coloured by error.

    It tells whether tasks that a model fails are alike: a corner of dark points is a kind of task
    that the model does not know, dark points everywhere are noise.

    Use :meth:`from_embedding` to create one from any description of tasks by numbers, such as the
    coefficients of a model of each, or :meth:`from_estimator` from what a transformer makes of
    their rows. All parameters are stored as attributes.

    Parameters
    ----------
    positions : ndarray of shape (n_tasks, 2)
        The first two principal components of the description.
    errors : ndarray of shape (n_tasks,) or None
        What colours the points.
    explained : ndarray of shape (2,)
        The shares of the variance between tasks that the components hold.
    error_name : str, default="Error"
        The label of the colours.
    greater_is_better : bool, default=False
        Whether these are scores, of which the lowest are dark.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        The tasks.
    colorbar_ : matplotlib Colorbar or None
        The scale of the errors.
    ax_ : matplotlib Axes
        The axes with the tasks.
    figure_ : matplotlib Figure
        The figure that contains them.

    See Also
    --------
    TaskErrorDisplay : Names the tasks with the largest errors.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> import skmeta
    >>> rng = np.random.default_rng(0)
    >>> display = skmeta.TaskMapDisplay.from_embedding(
    ...     rng.normal(size=(30, 4)), errors=rng.random(30)
    ... )
    >>> display.positions.shape
    (30, 2)
    >>> plt.close()
    """

    scatter_: PathCollection
    colorbar_: Colorbar | None
    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self,
        *,
        positions: NDArray[Any],
        errors: NDArray[Any] | None,
        explained: NDArray[Any],
        error_name: str = "Error",
        greater_is_better: bool = False,
    ) -> None:
        self.positions = positions
        self.errors = errors
        self.explained = explained
        self.error_name = error_name
        self.greater_is_better = greater_is_better

    def plot(self, ax: Axes | None = None, *, scatter_kw: Kwargs | None = None) -> Self:
        """Plot visualization.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        scatter_kw : dict, default=None
            Keywords for matplotlib's ``scatter``.

        Returns
        -------
        display : TaskMapDisplay
            This display.
        """
        ax = axes_for(self, ax)
        from matplotlib.collections import PathCollection

        points = style(PathCollection, {}, scatter_kw)
        if self.errors is not None:
            cmap = "viridis" if self.greater_is_better else "viridis_r"
            points = {"c": self.errors, "cmap": cmap, **points}
        self.scatter_ = ax.scatter(self.positions[:, 0], self.positions[:, 1], **points)
        self.colorbar_ = None
        if self.errors is not None:
            self.colorbar_ = ax.figure.colorbar(self.scatter_, ax=ax, label=self.error_name)
        first, second = (f"{share:.0%} of variance" for share in self.explained)
        ax.set(xlabel=f"Component 1 ({first})", ylabel=f"Component 2 ({second})")
        return self

    @classmethod
    def from_embedding(
        cls,
        embedding: Any,
        *,
        errors: Any = None,
        error_name: str = "Error",
        greater_is_better: bool = False,
        ax: Axes | None = None,
        scatter_kw: Kwargs | None = None,
    ) -> Self:
        """Draw tasks that are described by numbers.

        Parameters
        ----------
        embedding : array-like of shape (n_tasks, n_features)
            At least two tasks and two numbers for each; standardised here, then reduced by PCA.
        errors : array-like of shape (n_tasks,), default=None
            What to colour tasks by.
        error_name : str, default="Error"
            What `errors` are.
        greater_is_better : bool, default=False
            Whether they are scores.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        scatter_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : TaskMapDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If all tasks are described by the same numbers, or by too few.
        """
        check_matplotlib(f"{cls.__name__}.from_embedding")
        embedding = check_array(
            embedding, ensure_min_samples=2, ensure_min_features=2, input_name="embedding"
        )
        if (embedding == embedding[0]).all():
            raise ValueError(
                "embedding describes all tasks by the same numbers; there is nothing to tell them "
                "apart by."
            )
        if errors is not None:
            check_consistent_length(embedding, errors)
            errors = np.asarray(errors)
        pca = PCA(2, svd_solver="full")
        return cls(
            positions=pca.fit_transform(StandardScaler().fit_transform(embedding)),
            errors=errors,
            explained=pca.explained_variance_ratio_,
            error_name=error_name,
            greater_is_better=greater_is_better,
        ).plot(ax, scatter_kw=scatter_kw)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        task_column: Hashable | None = None,
        metric: Metric | str | None = None,
        ax: Axes | None = None,
        scatter_kw: Kwargs | None = None,
    ) -> Self:
        """Describe each task by the mean of its transformed rows, and draw the tasks.

        Parameters
        ----------
        estimator : estimator
            Fitted, with a method `transform`, such as a deep meta-learner or a `StandardScaler`.
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,), default=None
            True targets, to colour tasks by how well `estimator` predicts them.
        groups : array-like of shape (n_samples,), default=None
            The task of each row, if no column holds it; passed on if the estimator requests it.
        task_column : str or int, default=None
            The column of X that holds the tasks.
        metric : str or callable, default=None
            As `TaskErrorDisplay.from_estimator` takes it. None is `zero_one_loss` for a classifier
            and `root_mean_squared_error` for any other estimator.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        scatter_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : TaskMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator has no method `transform`.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        if not hasattr(estimator, "transform"):
            raise TypeError(
                f"{type(estimator).__name__} has no method transform to describe tasks by; give "
                f"{cls.__name__}.from_embedding a description of each task, such as coefficients."
            )
        table = task_table(X, groups, task_column)
        features = np.asarray(by_routing(estimator, "transform", X, groups))
        metric, errors, better = as_metric(metric, is_classifier(estimator)), None, False
        if y is not None:
            y_pred = by_routing(estimator, "predict", X, groups)
            errors, better = errors_by_task(metric, y, y_pred, table), is_score(metric, y, y_pred)
        return cls.from_embedding(
            np.add.reduceat(features[table.order], table.offsets[:-1]) / table.sizes[:, None],
            errors=errors,
            error_name=metric_label(metric),
            greater_is_better=better,
            ax=ax,
            scatter_kw=scatter_kw,
        )
