"""What every meta-learner shares: the estimator contract."""

from skmeta.base._adapt import adapt
from skmeta.base._context import select_context
from skmeta.base._learner import BaseMetaLearner, State
from skmeta.base._targets import ErrorBarsMixin, MetaClassifierMixin, MetaRegressorMixin

__all__ = [
    "BaseMetaLearner",
    "ErrorBarsMixin",
    "MetaClassifierMixin",
    "MetaRegressorMixin",
    "State",
    "adapt",
    "select_context",
]
