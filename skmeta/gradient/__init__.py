"""Gradient meta-learners."""

from skmeta.gradient._maml import MAMLClassifier, MAMLRegressor

__all__ = ["MAMLClassifier", "MAMLRegressor"]
