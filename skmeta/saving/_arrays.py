"""Arrays of any type as arrays that safetensors takes, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["pack", "unpack"]

_NATIVE = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
_STORED = (*_NATIVE, "float16", "float32", "float64")


def pack(array: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return an array that safetensors takes, and what `unpack` needs to undo it."""
    spec: dict[str, Any] = {}
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        # Products of matrices give other bits in another order of memory.
        spec["transposed"] = True
        array = array.T
    if array.dtype.name in _STORED and array.dtype.isnative:
        return np.asarray(array, order="C"), spec
    spec["shape"] = list(array.shape)
    spec["dtype"] = np.lib.format.dtype_to_descr(array.dtype)
    return np.frombuffer(array.tobytes(), dtype=np.uint8), spec


def unpack(stored: NDArray[Any], spec: dict[str, Any]) -> NDArray[Any]:
    """Return the array that `pack` was given."""
    if "dtype" in spec:
        dtype = np.lib.format.descr_to_dtype(_as_descr(spec["dtype"]))
        if dtype.hasobject:
            raise ValueError("it has bytes that stand for Python objects.")
        stored = np.frombuffer(bytearray(stored.tobytes()), dtype).reshape(spec["shape"])
    return stored.T if spec.get("transposed") else stored


def _as_descr(descr: Any) -> Any:
    """Turn the lists that JSON made of tuples back into tuples."""
    if isinstance(descr, str):
        return descr
    return [
        (name, _as_descr(kind), *(tuple(shape) for shape in rest)) for name, kind, *rest in descr
    ]
