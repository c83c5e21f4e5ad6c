"""From an estimator to a table of plain JSON and arrays."""

from __future__ import annotations

import math
from collections import OrderedDict
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from skorch import NeuralNet
from skorch.history import History
from torch import Tensor, nn

from skmeta.saving._allowed import FUNCTIONS, is_known, is_made, name_of
from skmeta.saving._arrays import pack
from skmeta.saving._state import arguments_of, state_of
from skmeta.training import EpisodeNet

__all__ = ["Encoder"]

_SEQUENCES: dict[type, str] = {
    list: "list",
    tuple: "tuple",
    set: "set",
    frozenset: "frozenset",
    torch.Size: "size",
    History: "history",
}
_MAPPINGS: dict[type, str] = {dict: "dict", OrderedDict: "ordered"}


class Encoder:
    """Lay objects out in a table, each once, whoever refers to it.

    Attributes
    ----------
    table : list of dict
        What JSON holds: the kind of each object, and what it is made of.
    arrays : dict of str to ndarray
        What safetensors holds.
    """

    def __init__(self) -> None:
        self.table: list[dict[str, Any]] = []
        self.arrays: dict[str, NDArray[Any]] = {}
        self._places: dict[int, int] = {}
        self._alive: list[Any] = []  # or another object could get the id of one that is gone

    def encode(self, value: Any, path: str) -> Any:
        """Return what stands for a value; `path` says in errors where it was found."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if id(value) not in self._places:
            place = self._places[id(value)] = len(self.table)
            self._alive.append(value)
            self.table.append({})  # before its parts, which may refer to it
            self.table[place] = self._entry(value, path)
        return {"at": self._places[id(value)]}

    def _entry(self, value: Any, path: str) -> dict[str, Any]:
        kind = type(value)
        if kind in _SEQUENCES:
            return {"kind": _SEQUENCES[kind], "items": self._items(value, path)}
        if kind in _MAPPINGS:
            return {"kind": _MAPPINGS[kind], "items": self._pairs(value, path)}
        if kind in (np.ndarray, np.memmap):
            return self._array(np.asarray(value), path)
        if isinstance(value, np.generic):
            return {**self._array(np.asarray(value), path), "kind": "scalar"}
        if kind in (Tensor, nn.Parameter):
            return self._tensor(value, path)
        if kind in (torch.dtype, torch.device):
            return {"kind": kind.__name__, "name": str(value).removeprefix("torch.")}
        if isinstance(value, np.dtype):
            return {"kind": "numpy dtype", "descr": np.lib.format.dtype_to_descr(value)}
        if kind is np.random.RandomState:
            return {"kind": "random state", "state": self.encode(value.get_state(), path)}
        if kind is np.random.Generator:
            state = value.bit_generator.state
            return {"kind": "generator", "state": self.encode(state, path)}
        if kind is slice:
            bounds = self._items((value.start, value.stop, value.step), path)
            return {"kind": "slice", "items": bounds}
        if isinstance(value, np.ufunc) and vars(np).get(name := value.__name__) is value:
            return {"kind": "ufunc", "name": name}
        if kind is FunctionType and name_of(value) in FUNCTIONS:
            return {"kind": "function", "name": name_of(value)}
        if isinstance(value, type):
            return {"kind": "class", "class": self._class(value, path)}
        return self._instance(value, path)

    def _items(self, values: Any, path: str) -> list[Any]:
        return [self.encode(value, f"{path}[{number}]") for number, value in enumerate(values)]

    def _pairs(self, values: Any, path: str) -> list[list[Any]]:
        return [
            [self.encode(name, f"a key of {path}"), self.encode(value, f"{path}[{name!r}]")]
            for name, value in values.items()
        ]

    def _array(self, array: NDArray[Any], path: str) -> dict[str, Any]:
        if array.dtype.names and array.dtype.hasobject:
            fields = {name: np.ascontiguousarray(array[name]) for name in array.dtype.names}
            return {"kind": "records", "items": self._pairs(fields, path)}
        if array.dtype.hasobject:
            items = self._items(array.ravel().tolist(), path)
            return {"kind": "objects", "shape": list(array.shape), "items": items}
        name = str(len(self.arrays))
        self.arrays[name], spec = pack(array)
        return {"kind": "array", "name": name, **spec}

    def _tensor(self, tensor: Tensor, path: str) -> dict[str, Any]:
        try:
            array = tensor.detach().cpu().numpy()
        except (RuntimeError, TypeError):
            self._refuse(path, f"a tensor of {tensor.dtype} and {tensor.layout}")
        entry = {**self._array(array, path), "kind": "tensor", "device": str(tensor.device)}
        if isinstance(tensor, nn.Parameter):
            entry |= {"kind": "parameter", "requires_grad": tensor.requires_grad}
        return entry

    def _class(self, cls: type, path: str) -> str:
        name = name_of(cls)
        own = issubclass(cls, BaseEstimator | nn.Module | torch.optim.Optimizer)
        if not (is_known(cls) or own):
            self._refuse(path, f"of the type {name}")
        return name

    def _instance(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, FunctionType | BuiltinFunctionType | MethodType):
            self._refuse(path, f"the function {name_of(value)}")
        if type(value).__module__ in ("builtins", "numpy"):
            self._refuse(path, f"of the type {name_of(type(value))}")
        if isinstance(value, NeuralNet) and not isinstance(value, EpisodeNet):
            self._refuse(path, f"a net of skorch, {type(value).__name__}")
        name = self._class(type(value), path)
        if is_made(name):
            arguments, state = arguments_of(value)
            return {
                "kind": "made",
                "class": name,
                "arguments": self.encode(arguments, path),
                "state": self._items(state, path),
            }
        state = state_of(value)
        if not isinstance(state, dict):
            self._refuse(path, f"of the type {name}, whose state is no dict")
        items = [
            [self.encode(key, path), self.encode(part, f"{path}.{key}")]
            for key, part in state.items()
        ]
        return {"kind": "instance", "class": name, "items": items}

    def _refuse(self, path: str, what: str) -> NoReturn:
        raise ValueError(
            f"{path} is {what}, which cannot be stored without code. Leave it out before fit, or "
            "keep the estimator with pickle."
        )
