"""Settings for all tests."""

import os

import pytest

# The tests run on several processes; threads within each would only wait for one another.
# Set before numpy is imported.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


@pytest.fixture
def traced(monkeypatch):
    """Run graphs as they were traced, without the wait for a C++ compiler."""
    import torch

    from skmeta.inner import _compile

    monkeypatch.setattr(torch, "compile", lambda graph, **options: graph)
    monkeypatch.setattr(_compile, "_lowered", lambda graph, examples: graph)
