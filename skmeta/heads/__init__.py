"""Closed-form heads, trained on episodes."""

from skmeta.heads._ridge_head import RidgeHeadClassifier, RidgeHeadRegressor

__all__ = ["RidgeHeadClassifier", "RidgeHeadRegressor"]
