"""Closed-form heads, trained on episodes."""

from skmeta.heads._deep_kernel import DeepKernelClassifier, DeepKernelRegressor
from skmeta.heads._ridge_head import RidgeHeadClassifier, RidgeHeadRegressor

__all__ = [
    "DeepKernelClassifier",
    "DeepKernelRegressor",
    "RidgeHeadClassifier",
    "RidgeHeadRegressor",
]
