"""A search over learners, for those who do not know yet which one to pick."""

from skmeta.auto._classifier import AutoMetaClassifier
from skmeta.auto._regressor import AutoMetaRegressor

__all__ = ["AutoMetaClassifier", "AutoMetaRegressor"]
