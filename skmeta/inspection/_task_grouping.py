"""A picture of the groups of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import KernelPCA

from skmeta.base._adapt import last_fitted_step
from skmeta.grouping._dissimilarity import landmark_rows
from skmeta.inspection._plotting import check_matplotlib, panels_from

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

__all__ = ["TaskGroupingDisplay"]

_MOST_IN_LEGEND = 10


class TaskGroupingDisplay:
    """Visualization of how unlike tasks are, and of their groups.

    Two panels: the matrix of dissimilarities, tasks sorted by group; and a map on which the
    distances of tasks come as near to their dissimilarities as two dimensions allow, coloured by
    group. Groups of like tasks are dark blocks on the diagonal and a cloud each on the map; groups
    of unlike tasks have no blocks, and their colours are mixed on the map. Use
    :meth:`from_estimator` or :meth:`from_dissimilarity` to create one. All parameters are stored
    as attributes.

    Parameters
    ----------
    dissimilarity : ndarray of shape (n_tasks, n_tasks)
        From 0 to 1.
    labels : ndarray of shape (n_tasks,)
        The group of each task.

    Attributes
    ----------
    map_ : ndarray of shape (n_tasks, 2)
        The places of tasks on the map.
    axes_ : ndarray of 2 matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        The figure that contains them.

    Notes
    -----
    The map is that of classical multidimensional scaling.

    See Also
    --------
    TaskMapDisplay : Any embedding of tasks, coloured by error.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(30, 20, random_state=0)
    >>> embedding = skmeta.TaskEmbedding("head", max_iter=20, random_state=0)
    >>> E = embedding.fit_transform(tasks.data, tasks.target, groups=tasks.groups)
    >>> D = skmeta.task_dissimilarity(E, embedding.blocks_)
    >>> groups = skmeta.group_tasks(D, 3, how="similar", random_state=0)
    >>> display = skmeta.TaskGroupingDisplay.from_dissimilarity(D, groups)
    >>> display.map_.shape
    (30, 2)
    >>> plt.close()
    """

    map_: NDArray[np.float64]
    axes_: NDArray[Any]
    figure_: Figure | SubFigure

    def __init__(self, *, dissimilarity: NDArray[Any], labels: NDArray[Any]) -> None:
        self.dissimilarity = dissimilarity
        self.labels = labels

    def plot(self, ax: NDArray[Any] | None = None, *, cmap: Any = "viridis") -> Self:
        """Plot visualization.

        Parameters
        ----------
        ax : array-like of 2 matplotlib Axes, default=None
            Panels to draw on; None makes a new figure.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of the matrix.

        Returns
        -------
        display : TaskGroupingDisplay
            This display.
        """
        check_matplotlib("TaskGroupingDisplay.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            ax = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")[1]
        self.axes_ = panels_from(self, ax, 2)
        self.figure_ = self.axes_[0].figure
        matrix, places = self.axes_
        order = np.argsort(self.labels, kind="stable")
        image = matrix.imshow(self.dissimilarity[np.ix_(order, order)], cmap=cmap, vmin=0)
        self.figure_.colorbar(image, ax=matrix, label="Dissimilarity")
        groups, sizes = np.unique(self.labels, return_counts=True)
        for edge in np.cumsum(sizes)[:-1] - 0.5:
            matrix.axhline(edge, color="white", linewidth=0.8)
            matrix.axvline(edge, color="white", linewidth=0.8)
        matrix.set(xlabel="Tasks, by group", ylabel="Tasks, by group")
        squared = -0.5 * np.square(self.dissimilarity.astype(np.float64))
        found = KernelPCA(2, kernel="precomputed").fit_transform(squared)
        self.map_ = np.pad(found, [(0, 0), (0, 2 - found.shape[1])])  # one task has no dimension
        for group in groups:
            some = self.map_[self.labels == group]
            label = f"group {group} ({len(some)})" if len(groups) <= _MOST_IN_LEGEND else None
            places.scatter(*some.T, s=18, alpha=0.8, label=label)
        if len(groups) <= _MOST_IN_LEGEND:
            places.legend()
        places.set(xlabel="First dimension", ylabel="Second dimension", aspect="equal")
        return self

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: NDArray[Any] | None = None, cmap: Any = "viridis"
    ) -> Self:
        """Draw the groups of a fitted `TaskGrouping`.

        Parameters
        ----------
        estimator : estimator
            A fitted `TaskGrouping`, or a meta-transformer around one; or a `Pipeline` or a search
            that ends in one. Of more than 1000 tasks, those are drawn with which all are compared.
        ax, cmap : object
            See :meth:`plot`.

        Returns
        -------
        display : TaskGroupingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator has no groups of tasks.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        model = last_fitted_step(estimator)
        if not hasattr(model, "dissimilarity_"):
            raise ValueError(
                f"This {type(model).__name__} has no groups of tasks; give a fitted TaskGrouping."
            )
        return cls.from_dissimilarity(model.dissimilarity_, model.labels_, ax=ax, cmap=cmap)

    @classmethod
    def from_dissimilarity(
        cls,
        dissimilarity: NDArray[Any],
        labels: NDArray[Any],
        *,
        ax: NDArray[Any] | None = None,
        cmap: Any = "viridis",
    ) -> Self:
        """Draw groups of tasks.

        Parameters
        ----------
        dissimilarity : ndarray of shape (n_tasks, n_tasks) or (n_tasks, n_landmarks)
            As `task_dissimilarity` returns it; of a rectangle, the landmarks are drawn.
        labels : ndarray of shape (n_tasks,)
            The group of each task.
        ax, cmap : object
            See :meth:`plot`.

        Returns
        -------
        display : TaskGroupingDisplay
            The display, drawn.
        """
        check_matplotlib(f"{cls.__name__}.from_dissimilarity")
        rows = landmark_rows(*dissimilarity.shape)
        return cls(dissimilarity=dissimilarity[rows], labels=np.asarray(labels)[rows]).plot(
            ax, cmap=cmap
        )
