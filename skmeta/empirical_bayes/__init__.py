"""Empirical Bayes: a Gaussian prior over tasks' coefficients, learned from all tasks."""

from skmeta.empirical_bayes._classifier import EmpiricalBayesClassifier
from skmeta.empirical_bayes._regressor import EmpiricalBayesRegressor

__all__ = ["EmpiricalBayesClassifier", "EmpiricalBayesRegressor"]
