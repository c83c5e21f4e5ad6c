"""Meta-training on tasks made of other tasks."""

from skmeta.augmentation._interval_interpolation import IntervalInterpolation
from skmeta.augmentation._task_interpolation import TaskInterpolation
from skmeta.augmentation._task_modulation import TaskModulation

__all__ = ["IntervalInterpolation", "TaskInterpolation", "TaskModulation"]
