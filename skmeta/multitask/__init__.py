"""Multi-task training of shared features or parameters; a new task fits what is its own."""

from skmeta.multitask._camel import CAMELRegressor
from skmeta.multitask._good_embedding import GoodEmbeddingClassifier, GoodEmbeddingRegressor
from skmeta.multitask._multi_head import MultiHeadClassifier, MultiHeadRegressor

__all__ = [
    "CAMELRegressor",
    "GoodEmbeddingClassifier",
    "GoodEmbeddingRegressor",
    "MultiHeadClassifier",
    "MultiHeadRegressor",
]
