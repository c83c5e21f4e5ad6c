"""Inner rules: how the support rows of tasks become predictors, batched over tasks.

This side knows tensors alone; nothing in it imports scikit-learn.
"""

from skmeta.inner._gradient import GradientSteps
from skmeta.inner._joint import JointHeads
from skmeta.inner._losses import cross_entropy, mean_over_rows, squared_error
from skmeta.inner._ridge import RidgeSolve, solve_ridge
from skmeta.inner._rule import Episode, InnerRule, TaskTensors, network_width

__all__ = [
    "Episode",
    "GradientSteps",
    "InnerRule",
    "JointHeads",
    "RidgeSolve",
    "TaskTensors",
    "cross_entropy",
    "mean_over_rows",
    "network_width",
    "solve_ridge",
    "squared_error",
]
