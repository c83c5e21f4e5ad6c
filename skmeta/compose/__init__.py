"""Ordinary transformers in pipelines whose rows carry a task."""

from skmeta.compose._per_task import PerTask
from skmeta.compose._shared import Shared

__all__ = ["PerTask", "Shared"]
