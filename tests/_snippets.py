"""Python snippets of pages, which go together into one program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt


def run_snippets(
    path: Path,
    names: Mapping[str, Any] | None = None,
    *,
    shorter: Mapping[str, str] | None = None,
    n_blocks: int | None = None,
) -> dict[str, Any]:
    """Run the snippets of a page one after another, and return the names they leave.

    Parameters
    ----------
    path : Path
        The page.
    names : mapping, default=None
        What the page takes for given.
    shorter : mapping of str to str, default=None
        What to replace, for time.
    n_blocks : int, default=None
        How many there must be.
    """
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(), re.S)
    assert n_blocks in (None, len(blocks))
    program: dict[str, Any] = {"__name__": "page", **(names or {})}
    for block in blocks:
        for long, short in (shorter or {}).items():
            block = block.replace(long, short)
        exec(compile(block, path.name, "exec"), program)
    plt.close("all")
    return program
