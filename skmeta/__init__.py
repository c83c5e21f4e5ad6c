"""skmeta: meta-learning as scikit-learn estimators."""

from skmeta._version import __version__
from skmeta.base import adapt
from skmeta.compose import PerTask, Shared
from skmeta.datasets import *  # noqa: F403
from skmeta.empirical_bayes import EmpiricalBayesClassifier, EmpiricalBayesRegressor
from skmeta.exceptions import UnseenTaskWarning
from skmeta.gradient import MAMLClassifier, MAMLRegressor
from skmeta.heads import RidgeHeadClassifier, RidgeHeadRegressor
from skmeta.metrics import task_scorer
from skmeta.model_selection import EpisodicKFold, EpisodicShuffleSplit, TaskKFold
from skmeta.multitask import MultiHeadClassifier, MultiHeadRegressor

__all__ = [
    "EmpiricalBayesClassifier",
    "EmpiricalBayesRegressor",
    "EpisodicKFold",
    "EpisodicShuffleSplit",
    "MAMLClassifier",
    "MAMLRegressor",
    "MultiHeadClassifier",
    "MultiHeadRegressor",
    "PerTask",
    "RidgeHeadClassifier",
    "RidgeHeadRegressor",
    "Shared",
    "TaskKFold",
    "UnseenTaskWarning",
    "__version__",
    "adapt",
    "task_scorer",
]
