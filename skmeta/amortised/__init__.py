"""Networks that read a support set and have adapted: no gradient, no solve."""

from skmeta.amortised._conditional_neural_process import ConditionalNeuralProcessRegressor

__all__ = ["ConditionalNeuralProcessRegressor"]
