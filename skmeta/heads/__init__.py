"""Heads in closed form or nearly so, trained on episodes."""

from skmeta.heads._bayesian_head import BayesianHeadRegressor
from skmeta.heads._deep_kernel import DeepKernelClassifier, DeepKernelRegressor
from skmeta.heads._logistic_head import LogisticHeadClassifier
from skmeta.heads._matching import MatchingClassifier
from skmeta.heads._prototypical import PrototypicalClassifier
from skmeta.heads._ridge_head import RidgeHeadClassifier, RidgeHeadRegressor
from skmeta.heads._svm_head import SVMHeadClassifier, SVMHeadRegressor

__all__ = [
    "BayesianHeadRegressor",
    "DeepKernelClassifier",
    "DeepKernelRegressor",
    "LogisticHeadClassifier",
    "MatchingClassifier",
    "PrototypicalClassifier",
    "RidgeHeadClassifier",
    "RidgeHeadRegressor",
    "SVMHeadClassifier",
    "SVMHeadRegressor",
]
