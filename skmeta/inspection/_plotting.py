"""What the displays share: axes, styles, names of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["axes_for", "check_matplotlib", "panels_from", "score_label", "style"]


def check_matplotlib(caller: str) -> None:
    """Raise an ImportError that says what to install, before anything is computed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib. You can install matplotlib with "
            '`pip install "skmeta[plot]"`'
        ) from error


def axes_for(display: Any, ax: Axes | None) -> Axes:
    """Return axes to draw on, new ones if none are given, and note them in the display."""
    check_matplotlib(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    ax = plt.subplots()[1] if ax is None else ax
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def panels_from(display: Any, ax: Any, n_panels: int) -> NDArray[Any]:
    """Return given axes for the panels of a display.

    Raises
    ------
    ValueError
        If there are not as many as panels.
    """
    panels = np.ravel(np.asarray(ax, dtype=object))
    if len(panels) != n_panels:
        raise ValueError(
            f"{type(display).__name__} draws {n_panels} panels; ax must hold as many Axes, got "
            f"{len(panels)}."
        )
    return panels


def style(artist: type, default: dict[str, Any], given: dict[str, Any] | None) -> dict[str, Any]:
    """Return the keywords to draw with; a short name, such as "c", replaces a default too."""
    from matplotlib.cbook import normalize_kwargs

    return {**default, **normalize_kwargs(given or {}, artist)}


def score_label(name: str | None, scoring: str | Callable[..., float] | None, negate: bool) -> str:
    """Return what to write beside scores; the rules are those of scikit-learn's displays.

    Parameters
    ----------
    name : str or None
        Taken as it is, if given.
    scoring : str, callable or None
        The scorer.
    negate : bool
        Whether the scores are drawn with the sign reversed.

    Returns
    -------
    label : str
        Such as "Root mean squared error".
    """
    if name is not None:
        return name
    if scoring is None:
        return "Negative score" if negate else "Score"
    label = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    if label.startswith("neg_"):
        label = label[4:] if negate else f"Negative {label[4:]}"
    elif negate:
        label = f"Negative {label}"
    return label.replace("_", " ").capitalize()
