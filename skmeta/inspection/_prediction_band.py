"""A picture of what a few rows make a model predict for one task."""

from __future__ import annotations

import inspect
import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_scalar

from skmeta.base import adapt
from skmeta.base._adapt import last_step
from skmeta.exceptions import UnseenTaskWarning
from skmeta.inspection._plotting import axes_for, check_matplotlib, style
from skmeta.utils._tables import as_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection, PolyCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

__all__ = ["PredictionBandDisplay"]

Kwargs = dict[str, Any]


class PredictionBandDisplay:
    """Visualization of one task: its known rows, the prediction, and how sure it is.

    It shows what a regressor makes of a few rows of a new task, along one feature: how far it
    follows them, what it takes from other tasks where there are none, and whether the other rows
    of the task fall into its error bars, if it has any.

    Use :meth:`from_estimator` or :meth:`from_predictions` to create one. All parameters are stored
    as attributes.

    Parameters
    ----------
    x, y_pred : ndarray of shape (n_points,)
        Where the feature is predicted at, in increasing order, and the predictions.
    y_std : ndarray of shape (n_points,) or None
        Standard deviations of new observations.
    x_support, y_support : ndarray of shape (n_support,)
        The known rows.
    x_query, y_query : ndarray of shape (n_query,), default=None
        Other rows of the task, to compare with.
    feature_name : str, default=None
        The label of the x-axis.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The prediction.
    band_ : matplotlib PolyCollection or None
        95 % of new observations are expected here; None without standard deviations.
    support_ : matplotlib PathCollection
        The known rows.
    query_ : matplotlib PathCollection or None
        The other rows.
    ax_ : matplotlib Axes
        The axes with the task.
    figure_ : matplotlib Figure
        The figure that contains them.

    See Also
    --------
    TaskErrorDisplay : Shows which tasks are worth looking at.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(200, 10, random_state=0)
    >>> model = skmeta.EmpiricalBayesRegressor().fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 5, random_state=1)
    >>> display = skmeta.PredictionBandDisplay.from_estimator(model, new.data, new.target, 0)
    >>> display.y_std.shape
    (100,)
    >>> plt.close()
    """

    line_: Line2D
    band_: PolyCollection | None
    support_: PathCollection
    query_: PathCollection | None
    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self,
        *,
        x: NDArray[Any],
        y_pred: NDArray[Any],
        y_std: NDArray[Any] | None,
        x_support: NDArray[Any],
        y_support: NDArray[Any],
        x_query: NDArray[Any] | None = None,
        y_query: NDArray[Any] | None = None,
        feature_name: str | None = None,
    ) -> None:
        self.x = x
        self.y_pred = y_pred
        self.y_std = y_std
        self.x_support = x_support
        self.y_support = y_support
        self.x_query = x_query
        self.y_query = y_query
        self.feature_name = feature_name

    def plot(
        self,
        ax: Axes | None = None,
        *,
        line_kw: Kwargs | None = None,
        band_kw: Kwargs | None = None,
        support_kw: Kwargs | None = None,
        query_kw: Kwargs | None = None,
    ) -> Self:
        """Plot visualization.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        line_kw, band_kw, support_kw, query_kw : dict, default=None
            Keywords for matplotlib's ``plot`` (prediction), ``fill_between`` (band) and
            ``scatter`` (known and other rows).

        Returns
        -------
        display : PredictionBandDisplay
            This display.
        """
        ax = axes_for(self, ax)
        from matplotlib.collections import PathCollection, PolyCollection
        from matplotlib.lines import Line2D

        line = style(Line2D, {"label": "prediction"}, line_kw)
        band: Kwargs = {"alpha": 0.2, "linewidth": 0, "label": "95 % of new rows"}
        support = {"color": "black", "zorder": 3, "label": "known rows"}
        query = {"facecolor": "none", "edgecolor": "black", "zorder": 3, "label": "other rows"}
        (self.line_,) = ax.plot(self.x, self.y_pred, **line)
        self.band_ = self.query_ = None
        if self.y_std is not None:
            half = 1.96 * self.y_std
            band = style(PolyCollection, {"color": self.line_.get_color(), **band}, band_kw)
            self.band_ = ax.fill_between(self.x, self.y_pred - half, self.y_pred + half, **band)
        self.support_ = ax.scatter(
            self.x_support, self.y_support, **style(PathCollection, support, support_kw)
        )
        if self.x_query is not None and self.y_query is not None:
            self.query_ = ax.scatter(
                self.x_query, self.y_query, **style(PathCollection, query, query_kw)
            )
        ax.set(xlabel=self.feature_name, ylabel="Target")
        ax.legend()
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        feature: str | int,
        *,
        X_query: Any = None,
        y_query: Any = None,
        grid_resolution: int = 100,
        ax: Axes | None = None,
        line_kw: Kwargs | None = None,
        band_kw: Kwargs | None = None,
        support_kw: Kwargs | None = None,
        query_kw: Kwargs | None = None,
    ) -> Self:
        """Adapt to the known rows of one task, and draw what is predicted.

        Parameters
        ----------
        estimator : estimator
            A fitted meta-learner for regression; or a `Pipeline` or a search that ends in one.
        X : array-like or data frame of shape (n_samples, n_features)
            The known rows of one task, with the task column if the estimator names one.
        y : array-like of shape (n_samples,)
            Their targets.
        feature : str or int
            The column of X along which to draw: a name of a data frame, or a position.
        X_query : array-like or data frame of shape (n_query, n_features), default=None
            Other rows of the task, to predict. None predicts a grid over the range that the
            feature has in X, the other numeric features at their medians: right if there is one
            feature, or if the others hardly vary within the task.
        y_query : array-like of shape (n_query,), default=None
            The targets of `X_query`, if they are known, to compare with.
        grid_resolution : int, default=100
            Number of points of the grid.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        line_kw, band_kw, support_kw, query_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : PredictionBandDisplay
            The display, drawn. It has a band if the learner predicts standard deviations.

        Raises
        ------
        TypeError
            If the estimator does not end in a meta-learner.
        ValueError
            If the estimator is no regressor, has several outputs, X has no such feature or it is
            the task column, or the rows are of several tasks.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        check_scalar(grid_resolution, "grid_resolution", Integral, min_val=2)
        if not is_regressor(estimator):
            raise ValueError(
                f"{cls.__name__} draws regressors, got the {type(estimator).__name__}: a class "
                "has no band."
            )
        check_consistent_length(X, y)
        x_support, name = _column(X, feature)
        task_column = getattr(_first_fitted_step(estimator), "task_column", None)
        if task_column is not None and name == _column(X, task_column)[1]:
            raise ValueError(f"feature={feature!r} is the task column, which is no feature.")
        adapted = adapt(estimator, X, y)
        tasks = getattr(last_step(adapted), "tasks_", [None])
        if len(tasks) > 1:
            raise ValueError(
                f"{cls.__name__} draws one task, but X has rows of {len(tasks)}: "
                f"{sorted(map(str, tasks))[:5]}."
            )
        rows = _grid(X, feature, grid_resolution) if X_query is None else X_query
        x = np.asarray(_column(rows, feature)[0], dtype=np.float64)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UnseenTaskWarning)
                y_pred, y_std = _predict(adapted, rows)
        except UnseenTaskWarning as warning:
            raise ValueError(f"X_query has rows of another task than X: {warning}") from warning
        if y_pred.ndim > 1:
            raise ValueError(f"{cls.__name__} draws one output, but y has {y_pred.shape[1]}.")
        return cls.from_predictions(
            x,
            y_pred,
            x_support,
            y,
            y_std=y_std,
            x_query=None if X_query is None else x,
            y_query=y_query,
            feature_name=name,
            ax=ax,
            line_kw=line_kw,
            band_kw=band_kw,
            support_kw=support_kw,
            query_kw=query_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        x: Any,
        y_pred: Any,
        x_support: Any,
        y_support: Any,
        *,
        y_std: Any = None,
        x_query: Any = None,
        y_query: Any = None,
        feature_name: str | None = None,
        ax: Axes | None = None,
        line_kw: Kwargs | None = None,
        band_kw: Kwargs | None = None,
        support_kw: Kwargs | None = None,
        query_kw: Kwargs | None = None,
    ) -> Self:
        """Draw what was predicted for one task.

        Parameters
        ----------
        x : array-like of shape (n_points,)
            The feature where it is predicted at, in any order.
        y_pred : array-like of shape (n_points,)
            The predictions.
        x_support, y_support : array-like of shape (n_support,)
            The known rows.
        y_std : array-like of shape (n_points,), default=None
            Standard deviations of new observations.
        x_query, y_query : array-like of shape (n_query,), default=None
            Other rows of the task, to compare with.
        feature_name : str, default=None
            The label of the x-axis.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        line_kw, band_kw, support_kw, query_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : PredictionBandDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If arrays that belong together differ in length, or one has several columns.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        x, y_pred = column_or_1d(x), column_or_1d(y_pred)
        check_consistent_length(x, y_pred, y_std)
        check_consistent_length(x_support, y_support)
        if x_query is not None and y_query is not None:
            check_consistent_length(x_query, y_query)
        order = np.argsort(x, kind="stable")
        return cls(
            x=x[order],
            y_pred=y_pred[order],
            y_std=None if y_std is None else np.asarray(y_std)[order],
            x_support=np.asarray(x_support),
            y_support=np.asarray(y_support),
            x_query=None if x_query is None else np.asarray(x_query),
            y_query=None if y_query is None else np.asarray(y_query),
            feature_name=feature_name,
        ).plot(ax, line_kw=line_kw, band_kw=band_kw, support_kw=support_kw, query_kw=query_kw)


def _first_fitted_step(estimator: Any) -> Any:
    """Return what gets X as it was given."""
    fitted = getattr(estimator, "best_estimator_", estimator)
    return _first_fitted_step(fitted.steps[0][1]) if isinstance(fitted, Pipeline) else fitted


def _predict(adapted: Any, X: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Predict rows, with standard deviations if the learner has any."""
    if "return_std" in inspect.signature(last_step(adapted).predict).parameters:
        try:
            # Without routing, a pipeline passes return_std on to its last step.
            with config_context(enable_metadata_routing=False):
                mean, std = adapted.predict(X, return_std=True)
            return mean, std
        except ValueError:  # of a learner whose head has no posterior
            pass
    return adapted.predict(X), None


def _columns(X: Any) -> tuple[dict[str, NDArray[Any]], Any]:
    """Return the columns of X by name, and the library of the data frame, None for an array."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        columns = {name: frame.get_column(name).to_numpy() for name in frame.columns}
        return columns, frame.implementation
    return {f"x{place}": column for place, column in enumerate(np.asarray(X).T)}, None


def _column(X: Any, feature: str | int) -> tuple[NDArray[Any], str]:
    columns, library = _columns(X)
    names = list(columns)
    if isinstance(feature, Integral) and -len(names) <= feature < len(names):
        feature = names[int(feature)]
    if feature not in columns:
        what = f"has the columns {names}" if library else f"has {len(names)} columns"
        raise ValueError(f"feature={feature!r} is not a column of X, which {what}.")
    return columns[str(feature)], str(feature)


def _grid(X: Any, feature: str | int, resolution: int) -> Any:
    """Return rows in which one feature varies over its range and all others stand still."""
    values, name = _column(X, feature)
    columns, library = _columns(X)
    numbers = values.astype(np.float64)
    grid = {other: np.full(resolution, _typical(column)) for other, column in columns.items()}
    grid[name] = np.linspace(np.nanmin(numbers), np.nanmax(numbers), resolution)
    if library is not None:
        return as_table(grid, library)
    dtype = np.asarray(X).dtype
    return np.array(list(grid.values()), dtype=float if dtype.kind in "iu" else dtype).T


def _typical(column: NDArray[Any]) -> Any:
    """Return the median of numbers, and the first of anything else, such as a task label."""
    if column.dtype.kind == "O" and all(isinstance(value, Real) for value in column):
        column = column.astype(np.float64)
    return np.nanmedian(column) if column.dtype.kind in "iuf" else column[0]
