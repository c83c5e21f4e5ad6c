"""What every meta-learner shares: the estimator contract."""

from skmeta.base._adapt import adapt
from skmeta.base._context import select_context
from skmeta.base._learner import BaseMetaLearner, State
from skmeta.base._targets import MetaClassifierMixin, MetaRegressorMixin

__all__ = [
    "BaseMetaLearner",
    "MetaClassifierMixin",
    "MetaRegressorMixin",
    "State",
    "adapt",
    "select_context",
]
