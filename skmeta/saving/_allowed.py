"""Which classes a file may name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from torch import nn, optim

__all__ = ["FUNCTIONS", "find_class", "find_function", "is_known", "is_made", "name_of"]

_SCORES = ("chi2", "f_classif", "f_regression", "r_regression")
FUNCTIONS = (
    "gpytorch.utils.transforms:inv_softplus",  # the constraints of kernels hold it
    *(f"sklearn.feature_selection._univariate_selection:{name}" for name in _SCORES),
    "sklearn.feature_selection._mutual_info:mutual_info_classif",
    "sklearn.feature_selection._mutual_info:mutual_info_regression",
)

_BUILTIN = (bool, float, int, object, str)  # as values of parameters called dtype
# Parts of scikit-learn's estimators that are no estimators themselves.
_PARTS = (
    "sklearn.calibration:_CalibratedClassifier",
    "sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor",
    "sklearn.utils._bunch:Bunch",
    "sklearn.utils._metadata_requests:MetadataRequest",
    "sklearn.utils._metadata_requests:MethodMetadataRequest",
)
_MADE = (
    "scipy.interpolate._bsplines",
    "sklearn._loss._loss",
    "sklearn.linear_model._sgd_fast",
    "sklearn.metrics._dist_metrics",
    "sklearn.neighbors._ball_tree",
    "sklearn.neighbors._kd_tree",
    "sklearn.tree._tree",
)
_MODULES_OF_PARTS = (
    *(f"{module}:" for module in _MADE),
    "sklearn._loss.",
    "sklearn.gaussian_process.kernels:",
    "sklearn.neural_network._stochastic_optimizers:",
)
_PLACES = ("skmeta.", "sklearn.", "torch.nn.modules.", "torch.optim.", "gpytorch.")
_WHOLE_PLACES = ("builtins", "numpy", "scipy.interpolate._bsplines")  # never their submodules
_MOVED = {  # what older files name otherwise
    f"skmeta.inner._networks:{name}": f"skmeta.inner._stacked:{name}"
    for name in ("StackedMLP", "_Layer")
}


def name_of(cls: Any) -> str:
    """Return the name by which a file refers to a class or function."""
    return f"{cls.__module__}:{cls.__qualname__}"


def is_known(cls: type) -> bool:
    """Return whether files may name a class without the reader's consent."""
    name = name_of(cls)
    match name.partition(".")[0]:
        case "skmeta":
            return True
        case "sklearn" | "scipy":
            part = name in _PARTS or name.startswith(_MODULES_OF_PARTS)
            return part or issubclass(cls, BaseEstimator)
        case "torch":
            if name.startswith("torch.optim."):
                return issubclass(cls, optim.Optimizer)
            return name.startswith("torch.nn.modules.") and issubclass(cls, nn.Module)
        case "gpytorch":
            return issubclass(cls, nn.Module)
    return cls in _BUILTIN or (cls.__module__ == "numpy" and issubclass(cls, np.generic))


def is_made(name: str) -> bool:
    """Return whether objects of a class are made of arguments: most are compiled."""
    return name.partition(":")[0] in _MADE


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
    name = _MOVED.get(name, name)
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
        f"it names the class {name!r}, which is none of skmeta, of scikit-learn's estimators "
        "or of torch's layers. If it is yours and you trust the file, pass the class itself: "
        f"load(path, trusted=[{qualname.rpartition('.')[2]}])."
    )


def find_function(name: str) -> Any:
    """Return the function that a file names."""
    if name not in FUNCTIONS:
        raise ValueError(f"it names the function {name!r}, which no file may do.")
    return _found(*name.split(":"))


def _found(module: str, qualname: str) -> object:
    try:
        return getattr(importlib.import_module(module), qualname, None)
    except ImportError:
        return None
