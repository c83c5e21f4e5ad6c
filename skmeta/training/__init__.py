"""Meta-training: episodes as tensors, the outer objective, and skorch's life cycle."""

from skmeta.training._net import EpisodeNet
from skmeta.training._objective import MeanOverTasks
from skmeta.training._outer import (
    Augmentation,
    MeanGradient,
    MetaGradient,
    OuterLoop,
    leave_gradient,
)
from skmeta.training._progress import ProgressLine
from skmeta.training._stream import EpisodeStream
from skmeta.training._task_gradients import TaskGradients, mean_over_tasks

__all__ = [
    "Augmentation",
    "EpisodeNet",
    "EpisodeStream",
    "MeanGradient",
    "MeanOverTasks",
    "MetaGradient",
    "OuterLoop",
    "ProgressLine",
    "TaskGradients",
    "leave_gradient",
    "mean_over_tasks",
]
