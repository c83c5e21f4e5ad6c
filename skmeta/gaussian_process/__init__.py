"""Gaussian processes over all tasks at once."""

from skmeta.gaussian_process._multi_task import MultiTaskGaussianProcessRegressor

__all__ = ["MultiTaskGaussianProcessRegressor"]
