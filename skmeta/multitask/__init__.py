"""Multi-task training of shared features, one head for each task."""

from skmeta.multitask._multi_head import MultiHeadClassifier, MultiHeadRegressor

__all__ = ["MultiHeadClassifier", "MultiHeadRegressor"]
