"""The page docs/interoperability.md, made of the table of tools that is tested.

python tests/integration/_interoperability.py > docs/interoperability.md
"""

from __future__ import annotations

from _given import KINDS
from _tools import TOOLS

_HEAD = f"""# Which tools work?

In short: with a **task column**, nearly everything that takes a scikit-learn estimator works. With
**`groups`**, under `sklearn.set_config(enable_metadata_routing=True)`, a tool works as far as it
routes them; where it does not, there is an error and never a silent fallback.

Made by `python tests/integration/_interoperability.py` of the table that the tests run over. Each
cell is compared with doing the same by hand, as the last column says; a **no** is checked to be an
error. The task column is tried with learners of {len(KINDS)} kinds
({", ".join(KINDS)}), `groups` with the first of them, for all learners request
them alike.
"""

_TAIL = """
## Folds by rows

Tools that predict rows out of fold inside `fit` (stacking, calibration, thresholds) need folds with
rows of every task on both sides, or they learn from the prior's predictions, with a warning. A list
of pairs will do, and so does `KFold(shuffle=True)` where tasks have many rows:

```python
import numpy as np

even = np.arange(len(X)) % 2 == 0  # the rows of each task stand together
folds = [(np.flatnonzero(side), np.flatnonzero(~side)) for side in (even, ~even)]
```

To measure, hold out tasks instead: `EpisodicKFold`, as in
[choosing.md](choosing.md).
"""


def page() -> str:
    """Return docs/interoperability.md."""
    lines = [_HEAD]
    for topic in dict.fromkeys(tool.topic for tool in TOOLS):
        lines += [f"\n## {topic}\n", "| tool | task column | `groups`, routed | checked |"]
        lines.append("|---|---|---|---|")
        for tool in TOOLS:
            if tool.topic == topic:
                cells = [_cell(tool.column, tool.why), _cell(tool.groups, tool.why)]
                lines.append(f"| {tool.name} | {cells[0]} | {cells[1]} | {tool.says} |")
    return "\n".join(lines) + "\n" + _TAIL


def _cell(note: str | None, why: str) -> str:
    if note is None:
        return f"**no**: {why}"
    return f"yes: {note}" if note else "yes"


if __name__ == "__main__":
    print(page(), end="")
