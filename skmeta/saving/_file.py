"""The file: arrays as safetensors, the structure as JSON among them."""

from __future__ import annotations

import json
import os
import platform
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray

from skmeta._version import __version__

__all__ = ["FORMAT", "read_file", "write_file"]

FORMAT = 1
_STRUCTURE = "structure"  # an array too: the header of safetensors is limited in size


def write_file(path: str | os.PathLike[str], root: Any, table: Any, arrays: Any) -> None:
    """Write a table and its arrays, with the versions that made them."""
    text = json.dumps({"root": root, "table": table}, separators=(",", ":"), allow_nan=False)
    arrays = {**arrays, _STRUCTURE: np.frombuffer(text.encode(), dtype=np.uint8)}
    metadata = {
        "format": str(FORMAT),
        "skmeta": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
        "checksum": str(_checksum(arrays)),
    }
    content = _safetensors().numpy.save(arrays, metadata)
    Path(path).write_bytes(content)  # safetensors itself would make it unreadable for others


def read_file(path: str | os.PathLike[str]) -> tuple[Any, Any, dict[str, NDArray[Any]]]:
    """Return the root, the table and the arrays of a file, once it is known to be whole."""
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged, or no file of skmeta.save: {error}.") from error
    if _STRUCTURE not in arrays or metadata.get("checksum") != str(_checksum(arrays)):
        raise ValueError(f"{path} is damaged: its content does not have the checksum noted in it.")
    whole = json.loads(arrays.pop(_STRUCTURE).tobytes())
    return whole["root"], whole["table"], arrays


def _check_format(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    if not metadata.get("format", "").isdecimal() or "skmeta" not in metadata:
        raise ValueError(f"{path} holds tensors, but no estimator that skmeta.save wrote.")
    if int(metadata["format"]) > FORMAT:
        raise ValueError(
            f"{path} has format {metadata['format']}, written by skmeta {metadata['skmeta']}; this "
            f"is skmeta {__version__}, which reads formats up to {FORMAT}. Upgrade skmeta."
        )


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> int:
    total = 0
    for name in sorted(arrays):
        content: Any = arrays[name].reshape(-1).view(np.uint8)
        total = zlib.crc32(content, zlib.crc32(name.encode(), total))
    return total


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "Files of estimators are written by the package safetensors, which is not installed: "
            'pip install "skmeta[save]".'
        ) from error
    return safetensors
