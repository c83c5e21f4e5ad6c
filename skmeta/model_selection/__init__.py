"""Holding out tasks, with or without a few of their rows for adaptation."""

from skmeta.model_selection._adaptation_curve import adaptation_curve
from skmeta.model_selection._compare_learners import compare_learners
from skmeta.model_selection._episodic import EpisodicKFold, EpisodicShuffleSplit
from skmeta.model_selection._task import TaskKFold

__all__ = [
    "EpisodicKFold",
    "EpisodicShuffleSplit",
    "TaskKFold",
    "adaptation_curve",
    "compare_learners",
]
