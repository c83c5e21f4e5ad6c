"""From a table of plain JSON and arrays to an estimator."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.history import History
from torch import nn

from skmeta.saving._allowed import find_class, find_function, is_made
from skmeta.saving._arrays import unpack
from skmeta.saving._state import set_state

__all__ = ["Decoder"]


class Decoder:
    """Build the objects of a table that `Encoder` laid out.

    Parameters
    ----------
    table : list of dict
        The kind of each object, and what it is made of.
    arrays : mapping of str to ndarray
        The arrays that it refers to.
    trusted : iterable of type, default=()
        Classes of the reader's own that the table may name.
    """

    def __init__(
        self,
        table: list[dict[str, Any]],
        arrays: Mapping[str, NDArray[Any]],
        trusted: Iterable[type] = (),
    ) -> None:
        self.table = table
        self.arrays = arrays
        self.trusted = tuple(trusted)
        self._built: dict[int, Any] = {}
        self._told = False  # of a device that is missing

    def decode(self, code: Any) -> Any:
        """Return the value that `code` stands for."""
        if not isinstance(code, dict):
            return code
        if "float" in code:
            return float(code["float"])
        place = code["at"]
        if place not in self._built:
            entry = self.table[place]
            kind = entry["kind"]
            if kind in _EMPTY:
                self._fill(kind, place, entry)
            else:
                self._built[place] = self._whole(kind, entry)
        return self._built[place]

    def _fill(self, kind: str, place: int, entry: dict[str, Any]) -> None:
        """Build what may refer to itself: first empty, then its parts."""
        if kind == "instance":
            cls: Any = find_class(entry["class"], self.trusted)
            built = self._built[place] = cls.__new__(cls)
            state = self._pairs(entry)
            if isinstance(state.get("device"), str):
                state["device"] = self._device(state["device"])
            set_state(built, state)
            return
        built = self._built[place] = _EMPTY[kind]()
        if isinstance(built, list):
            built.extend(self._items(entry))
        else:
            built.update(self._pairs(entry))

    def _whole(self, kind: str, entry: dict[str, Any]) -> Any:
        if kind in _OF_ITEMS:
            return _OF_ITEMS[kind](self._items(entry))
        match kind:
            case "array":
                return self._array(entry)
            case "scalar":
                return self._array(entry)[()]
            case "objects":
                flat = np.empty(len(entry["items"]), dtype=object)
                flat[:] = self._items(entry)
                return flat.reshape(entry["shape"])
            case "records":
                return _records(self._pairs(entry))
            case "tensor":
                return self._tensor(entry)
            case "parameter":
                return nn.Parameter(self._tensor(entry), requires_grad=entry["requires_grad"])
            case "numpy dtype":
                return unpack(
                    np.empty(0, dtype=np.uint8), {"dtype": entry["descr"], "shape": 0}
                ).dtype
            case "dtype":
                return _torch_dtype(entry["name"])
            case "device":
                return torch.device(self._device(entry["name"]))
            case "random state":
                random = np.random.RandomState()
                random.set_state(self.decode(entry["state"]))
                return random
            case "generator":
                return _generator(self.decode(entry["state"]))
            case "ufunc":
                return _ufunc(entry["name"])
            case "function":
                return find_function(entry["name"])
            case "class":
                return find_class(entry["class"], self.trusted)
            case "made":
                return self._made(entry)
        raise KeyError(kind)

    def _made(self, entry: dict[str, Any]) -> Any:
        if not is_made(entry["class"]):
            raise ValueError(f"{entry['class']!r} is not made of arguments.")
        cls: Any = find_class(entry["class"])
        arguments = self.decode(entry["arguments"])
        made = cls.__new__(cls) if arguments is None else cls(*arguments)
        for state in map(self.decode, entry["state"]):
            made.__setstate__(state)
        return made

    def _items(self, entry: dict[str, Any]) -> list[Any]:
        return [self.decode(item) for item in entry["items"]]

    def _pairs(self, entry: dict[str, Any]) -> dict[Any, Any]:
        return {self.decode(name): self.decode(value) for name, value in entry["items"]}

    def _array(self, entry: dict[str, Any]) -> NDArray[Any]:
        return unpack(self.arrays[entry["name"]], entry)

    def _tensor(self, entry: dict[str, Any]) -> torch.Tensor:
        # Copied to where torch aligns memory: the bits of products may depend on it.
        return torch.from_numpy(self._array(entry)).clone().to(self._device(entry["device"]))

    def _device(self, name: str) -> str:
        """Return a device if this machine has it, else the CPU."""
        try:
            torch.empty(0, device=name)
        except (AssertionError, NotImplementedError, RuntimeError):
            if not self._told:
                self._told = True
                warnings.warn(
                    f"The estimator was on the device {name!r}, which this machine does not have; "
                    "it is loaded on the CPU.",
                    stacklevel=2,
                )
            return "cpu"
        return name


_EMPTY: dict[str, Callable[[], Any]] = {
    "list": list,
    "history": History,
    "dict": dict,
    "ordered": OrderedDict,
    "instance": object,
}
_OF_ITEMS: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "size": torch.Size,
    "slice": lambda items: slice(*items),
}


def _records(fields: dict[str, NDArray[Any]]) -> NDArray[Any]:
    dtype = [(name, values.dtype) for name, values in fields.items()]
    records = np.empty(next(iter(fields.values())).shape, dtype=dtype)
    for name, values in fields.items():
        records[name] = values
    return records


def _torch_dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{name!r} is no type of torch.")
    return dtype


def _generator(state: dict[str, Any]) -> np.random.Generator:
    cls = getattr(np.random, state["bit_generator"])
    if not (isinstance(cls, type) and issubclass(cls, np.random.BitGenerator)):
        raise ValueError(f"{cls!r} is no bit generator of numpy.")
    bits = cls()
    bits.state = state
    return np.random.Generator(bits)


def _ufunc(name: str) -> np.ufunc:
    function = getattr(np, name)
    if not isinstance(function, np.ufunc):
        raise ValueError(f"{name!r} is no ufunc of numpy.")
    return function
