"""Tables that functions return, in the library that the user works with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw
import numpy as np

__all__ = ["as_table", "library_of", "table_library"]


def library_of(X: Any) -> str | None:
    """Return the name of the library that X is a data frame of, None if it is none."""
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    return str(frame.implementation.value) if isinstance(frame, nw.DataFrame) else None


def table_library(X: Any, caller: str) -> str:
    """Return the library of a table to make: that of X if it is a data frame, else pandas.

    Raises
    ------
    ImportError
        If X is an array and pandas is not installed.
    """
    library = library_of(X)
    if library is not None:
        return library
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} returns a data frame: of the library of X if that is one, else of pandas, "
            "which is not installed. You can install pandas with `pip install pandas`"
        ) from error
    return "pandas"


def as_table(columns: Mapping[str, Any], library: Any) -> Any:
    """Return columns as a data frame of the library that `table_library` found.

    Where a library has no columns of tuples or of several types, which only pandas has, such labels
    become strings.
    """
    plain = {
        name: values.tolist() if isinstance(values, np.ndarray) else list(values)
        for name, values in columns.items()
    }
    if nw.Implementation.from_backend(library) is not nw.Implementation.PANDAS:
        plain = {
            name: values if _is_of_one_type(values) else list(map(str, values))
            for name, values in plain.items()
        }
    return nw.from_dict(plain, backend=library).to_native()


def _is_of_one_type(values: list[Any]) -> bool:
    kinds = set(map(type, values)) - {type(None)}
    return tuple not in kinds and (len(kinds) < 2 or kinds == {int, float})
