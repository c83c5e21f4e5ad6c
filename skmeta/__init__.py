"""skmeta: meta-learning as scikit-learn estimators."""

from skmeta._version import __version__
from skmeta.base import adapt
from skmeta.empirical_bayes import EmpiricalBayesClassifier, EmpiricalBayesRegressor
from skmeta.exceptions import UnseenTaskWarning

__all__ = [
    "EmpiricalBayesClassifier",
    "EmpiricalBayesRegressor",
    "UnseenTaskWarning",
    "__version__",
    "adapt",
]
