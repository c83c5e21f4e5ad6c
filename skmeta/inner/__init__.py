"""Inner rules: how the support rows of tasks become predictors, batched over tasks.

This side knows tensors alone; nothing in it imports scikit-learn.
"""

from skmeta.inner._gaussian import GaussianRule, normal_surprise
from skmeta.inner._gradient import GradientSteps
from skmeta.inner._head import HeadRule, PenalisedHead, unit_rows
from skmeta.inner._joint import JointHeads, SharedFeatures
from skmeta.inner._losses import RowLoss, cross_entropy, mean_over_rows, row_shares, squared_error
from skmeta.inner._networks import TaskNetworks
from skmeta.inner._proximal import ProximalSteps
from skmeta.inner._quadratic_program import solve_box
from skmeta.inner._ridge import RidgeSolve, RidgeSystem, affine, solve_gram, solve_ridge, with_ones
from skmeta.inner._rule import (
    Episode,
    EpisodeModule,
    InnerRule,
    Objective,
    Regularizer,
    TaskTensors,
    all_rows,
    network_width,
    squared_norm,
)

__all__ = [
    "Episode",
    "EpisodeModule",
    "GaussianRule",
    "GradientSteps",
    "HeadRule",
    "InnerRule",
    "JointHeads",
    "Objective",
    "PenalisedHead",
    "ProximalSteps",
    "Regularizer",
    "RidgeSolve",
    "RidgeSystem",
    "RowLoss",
    "SharedFeatures",
    "TaskNetworks",
    "TaskTensors",
    "affine",
    "all_rows",
    "cross_entropy",
    "mean_over_rows",
    "network_width",
    "normal_surprise",
    "row_shares",
    "solve_box",
    "solve_gram",
    "solve_ridge",
    "squared_error",
    "squared_norm",
    "unit_rows",
    "with_ones",
]
