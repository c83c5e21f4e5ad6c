"""Scores that count each task once."""

from skmeta.metrics._task_scorer import task_scorer

__all__ = ["task_scorer"]
