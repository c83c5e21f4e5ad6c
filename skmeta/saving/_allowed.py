"""Which classes a file may name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from torch import nn, optim

__all__ = ["FUNCTIONS", "find_class", "find_function", "is_compiled", "is_known", "name_of"]

FUNCTIONS = ("gpytorch.utils.transforms:inv_softplus",)  # the constraints of kernels hold it

_BUILTIN = (bool, float, int, object, str)  # as values of parameters called dtype
# Parts of scikit-learn's estimators that are no estimators themselves.
_PARTS = (
    "sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor",
    "sklearn.tree._tree:Tree",
    "sklearn.utils._bunch:Bunch",
    "sklearn.utils._metadata_requests:MetadataRequest",
    "sklearn.utils._metadata_requests:MethodMetadataRequest",
)
_MODULES_OF_PARTS = (
    "sklearn._loss.",
    "sklearn.gaussian_process.kernels:",
    "sklearn.neural_network._stochastic_optimizers:",
)
_PLACES = ("skmeta.", "sklearn.", "torch.nn.modules.", "torch.optim.", "gpytorch.")
_WHOLE_PLACES = ("builtins", "numpy")  # never their submodules


def name_of(cls: Any) -> str:
    """Return the name by which a file refers to a class or function."""
    return f"{cls.__module__}:{cls.__qualname__}"


def is_known(cls: type) -> bool:
    """Return whether files may name a class without the reader's consent."""
    name = name_of(cls)
    match name.partition(".")[0]:
        case "skmeta":
            return True
        case "sklearn":
            part = name in _PARTS or name.startswith(_MODULES_OF_PARTS)
            return part or issubclass(cls, BaseEstimator)
        case "torch":
            if name.startswith("torch.optim."):
                return issubclass(cls, optim.Optimizer)
            return name.startswith("torch.nn.modules.") and issubclass(cls, nn.Module)
        case "gpytorch":
            return issubclass(cls, nn.Module)
    return cls in _BUILTIN or (cls.__module__ == "numpy" and issubclass(cls, np.generic))


def is_compiled(name: str) -> bool:
    """Return whether a class has no attributes to set, and is made of arguments."""
    return name == "sklearn.tree._tree:Tree" or name.startswith("sklearn._loss._loss:")


def find_class(name: str, trusted: Iterable[type] = ()) -> type:
    """Return the class that a file names.

    Parameters
    ----------
    name : str
        As `name_of` gives it.
    trusted : iterable of type, default=()
        Classes of the reader's own. They may have moved to another module since.

    Returns
    -------
    cls : type

    Raises
    ------
    ValueError
        If it is neither trusted nor one of those that files may name.
    """
    module, _, qualname = name.partition(":")
    if module.startswith(_PLACES) or module in _WHOLE_PLACES:
        found = _found(module, qualname)
        # Names are compared, for a module has many things that only pass through.
        if isinstance(found, type) and name_of(found) == name and is_known(found):
            return found
    moved = [cls for cls in trusted if cls.__qualname__ == qualname]
    exact = [cls for cls in moved if cls.__module__ == module]
    if exact or len(moved) == 1:
        return (exact or moved)[0]
    raise ValueError(
        f"The file names the class {name!r}, which is none of skmeta, of scikit-learn's estimators "
        "or of torch's layers. If it is yours and you trust the file, pass the class itself: "
        f"load(path, trusted=[{qualname.rpartition('.')[2]}])."
    )


def find_function(name: str) -> Any:
    """Return the function that a file names."""
    if name not in FUNCTIONS:
        raise ValueError(f"The file names the function {name!r}, which no file may do.")
    return _found(*name.split(":"))


def _found(module: str, qualname: str) -> object:
    try:
        return getattr(importlib.import_module(module), qualname, None)
    except ImportError:
        return None
