"""Meta-training on tasks made of other tasks."""

from skmeta.augmentation._task_interpolation import TaskInterpolation

__all__ = ["TaskInterpolation"]
