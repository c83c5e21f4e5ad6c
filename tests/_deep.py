"""Every learner with a network, trained for two updates, and what was learned."""

import torch
from _instances import INSTANCES
from sklearn.base import clone, is_regressor

from skmeta.base._deep import BaseDeepLearner

DEEP_LEARNERS = [
    clone(learner).set_params(max_iter=2)
    for learner in INSTANCES
    if isinstance(learner, BaseDeepLearner)
]


def fitted(model, tasks):
    """Return a fitted copy; classifiers tell targets by their sign."""
    y = tasks.target if is_regressor(model) else tasks.target > 0
    return clone(model).fit(tasks.data, y, groups=tasks.groups)


def weights(model):
    """Return all parameters as one vector."""
    return torch.cat([p.detach().flatten() for p in model.net_.module_.parameters()])
