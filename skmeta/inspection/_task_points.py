"""Tasks as points of a plane: the scale of their rows, and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

__all__ = ["name_points", "scale_rows"]

_LINE = 11.0  # points between the names of two tasks, one below the other
_WIDTH = 60.0  # points that a name may take


def scale_rows(ax: Axes, n_rows: NDArray[Any]) -> None:
    """Scale an axis of numbers of rows, by their logarithm if they differ much."""
    from matplotlib.ticker import MaxNLocator

    least, most = n_rows.min(), n_rows.max()
    if most > 10 * least:
        ax.set_xscale("log", subs=[2, 5])
        ax.xaxis.set_major_formatter("{x:.0f}")
        ax.xaxis.set_minor_formatter("{x:.0f}")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if least == most:
            ax.set_xlim(least - 2, most + 2)


def name_points(
    ax: Axes,
    x: NDArray[Any],
    y: NDArray[Any],
    names: NDArray[Any],
    n_named: int,
    text: dict[str, Any],
    *,
    lowest: bool = False,
) -> list[Annotation]:
    """Write names beside the highest points, lower where the name of a higher one would be covered.

    Parameters
    ----------
    ax : matplotlib Axes
        With the points.
    x, y, names : ndarray of shape (n_points,)
        Where they are, and what they are called; NaN is no point.
    n_named : int
        How many to name.
    text : dict
        Keywords for ``annotate``.
    lowest : bool, default=False
        Name the lowest points instead, higher where the name of a lower one would be covered.

    Returns
    -------
    texts : list of matplotlib Annotation
        The names.
    """
    up = -1.0 if lowest else 1.0
    highest = np.argsort(-up * y, kind="stable")[:n_named]
    highest = highest[~np.isnan(y[highest])]
    ax.autoscale_view()
    points = np.column_stack([x[highest], y[highest]])
    across, height = (ax.transData.transform(points) * 72 / ax.figure.dpi).T
    middle = ax.transAxes.transform((0.5, 0.5))[0] * 72 / ax.figure.dpi
    height *= up
    texts, lines = [], height.copy()
    for number, point in enumerate(highest):
        above = lines[:number][np.abs(across[:number] - across[number]) < _WIDTH]
        lines[number] = min(height[number], above.min(initial=np.inf) - _LINE)
        left = across[number] > middle
        texts.append(
            ax.annotate(
                str(names[point]),
                (x[point], y[point]),
                xytext=(-6 if left else 6, up * (lines[number] - height[number])),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                **text,
            )
        )
    return texts
