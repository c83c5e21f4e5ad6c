"""Conditional neural processes: a network reads the support, another predicts from what it read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import Any

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._deep import BaseDeepLearner
from skmeta.base._gaussian import GaussianRegressorMixin
from skmeta.base._params import EpisodicParams, meta_learner
from skmeta.inner import (
    Episode,
    GaussianRule,
    Objective,
    TaskTensors,
    all_rows,
    mean_over_rows,
    normal_surprise,
    row_shares,
)
from skmeta.modules import MLP
from skmeta.tasks import TaskData

__all__ = ["ConditionalNeuralProcessRegressor"]

_LEAST_SIGMA = 0.1  # of normalised targets: keeps the likelihood of a lucky guess bounded
_FAR = -1e9  # an attention logit that is as good as none


class _NeuralProcess(GaussianRule):
    """Encoder h and decoder g on the features of a body, and the mean over rows between them."""

    def __init__(
        self,
        body: nn.Module,
        n_features_in: int,
        *,
        n_outputs: int,
        n_representation: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
    ) -> None:
        super().__init__(body, n_features_in)
        self.n_representation = n_representation
        mlp = partial(MLP, hidden_layer_sizes=hidden_layer_sizes, activation=activation)
        self.encoder = mlp(self.width + n_outputs, n_representation)
        self.decoder = mlp(self.width + n_representation, 2 * n_outputs)

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Return r, the mean of the rows' ``h(x, y)`` (equations 1 and 2); 0 without rows."""
        r = self._encode(features, y)
        return {"representation": (r * row_shares(mask)[..., None]).sum(dim=1)}

    def head_moments(self, features: Tensor, state: TaskTensors) -> tuple[Tensor, Tensor]:
        """Decode ``(x, r)`` (equation 3)."""
        r = self._read(features, state)
        mean, spread = self.decoder(torch.cat([features, r], dim=2)).chunk(2, dim=2)
        sigma = _LEAST_SIGMA + (1 - _LEAST_SIGMA) * nn.functional.softplus(spread)
        return mean, sigma.square()

    def task_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return the mean of ``-log N(y; μ, σ²)`` over all rows, the support's too (equation 4)."""
        support, query = self.episode_features(episode)
        state = self.adapt_head(support, episode.support_y, episode.support_mask)
        mean, variance = self.head_moments(torch.cat([support, query], dim=1), state)
        whole = all_rows(episode)
        return mean_over_rows(normal_surprise(mean, variance, whole.query_y), whole.query_mask)

    @property
    def bytes_per_task(self) -> int:
        """Size of a representation."""
        return self.n_representation * self._item_bytes

    @property
    def _item_bytes(self) -> int:
        return next(self.decoder.parameters()).element_size()

    def _encode(self, features: Tensor, y: Tensor) -> Tensor:
        r: Tensor = self.encoder(torch.cat([features, y], dim=2))
        return r

    def _read(self, features: Tensor, state: TaskTensors) -> Tensor:
        """Return what each row is told of its task."""
        return state["representation"][:, None].expand(-1, features.shape[1], -1)


class _AttentiveNeuralProcess(_NeuralProcess):
    """Rows look up the support rows that are like them, instead of the mean over all."""

    def __init__(self, *args: Any, n_heads: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.n_heads = n_heads
        n = self.n_representation
        self.query = nn.Linear(self.width, n, bias=False)
        self.key = nn.Linear(self.width, n, bias=False)
        self.value = nn.Linear(n, n, bias=False)
        self.merge = nn.Linear(n, n, bias=False)  # no bias: a task without rows has r = 0

    def adapt_head(self, features: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Return what can be looked up: the key of each row, and its value."""
        keys, values = self.key(features), self.value(self._encode(features, y))
        there = mask[..., None]
        return {"keys": keys * there, "values": values * there, "mask": mask}

    @property
    def bytes_per_task(self) -> int:
        """Nothing is kept beside the rows."""
        return 0

    @property
    def bytes_per_row(self) -> int:
        """Size of a key and a value."""
        return (2 * self.n_representation + 1) * self._item_bytes

    def _read(self, features: Tensor, state: TaskTensors) -> Tensor:
        q = self._heads(self.query(features))
        k, v = self._heads(state["keys"]), self._heads(state["values"])
        there = state["mask"][:, None, None]
        logits = q @ k.mT / math.sqrt(q.shape[-1]) + _FAR * (1 - there)
        weights = logits.softmax(dim=-1)  # without rows these are of values that are 0
        merged: Tensor = self.merge((weights @ v).transpose(1, 2).flatten(2))
        return merged

    def _heads(self, rows: Tensor) -> Tensor:
        return rows.view(*rows.shape[:2], self.n_heads, -1).transpose(1, 2)


@meta_learner
class ConditionalNeuralProcessRegressor(GaussianRegressorMixin, EpisodicParams, BaseDeepLearner):
    """A network that reads the support and predicts, with error bars (conditional neural process).

    An encoder h reads each support row, ``r_i = h(x_i, y_i)``; their mean r stands for the task
    (equations 1 and 2). A decoder g predicts a row from it, ``(μ, σ) = g(x, r)``, with
    ``σ = 0.1 + 0.9 softplus(·)`` in units of the normalised targets. Meta-training minimises the
    mean of ``-log N(y; μ, σ²)`` over the rows of an episode, those of its support too, with a
    support of random size (equation 4).

    Pick it when very many tasks have to be adapted to, at once or again and again, and error bars
    are wanted: adapting is one pass of a network over the support, in time linear in its rows,
    and with the mean nothing but r is kept of a task. It learns to adapt from nothing but tasks,
    so it wants many of them, and it under-fits its support: `RidgeHeadRegressor`, which solves
    for the task, is more accurate. ``attention=True`` fits the support more closely, at the price
    of keeping its rows.

    Parameters
    ----------
    n_representation : int, default=64
        The length of r.
    attention : bool, default=False
        Whether each row attends to the support rows like it, instead of being told their mean
        (the deterministic path of attentive neural processes).
    n_heads : int, default=8
        Heads of the attention, a divisor of `n_representation`.
    module : torch Module class or instance, default=None
        The network F that maps rows to the features which encoder and decoder read in place of x,
        and which attention compares; its arguments are set as ``module__width`` and so on, and one
        named `n_features_in` is filled in from the data. None builds an `MLP`, and `nn.Identity`
        gives encoder and decoder the rows as they are.
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Units of each hidden layer of that MLP, of the encoder and of the decoder.
    activation : {"relu", "tanh", "gelu", "silu"}, default="relu"
        Their nonlinearity.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    A support may be empty in training too, as `n_shots` starts at 0: so the prior, which predicts
    a task without rows, is learned like everything else. There r = 0, with attention too.

    References
    ----------
    .. [1] M. Garnelo, D. Rosenbaum, C. J. Maddison, T. Ramalho, D. Saxton, M. Shanahan, Y. W. Teh,
       D. J. Rezende, S. M. A. Eslami (2018). Conditional neural processes. ICML;
       arXiv:1807.01613, equations 1 to 4.
    .. [2] H. Kim, A. Mnih, J. Schwarz, M. Garnelo, A. Eslami, D. Rosenbaum, O. Vinyals, Y. W. Teh
       (2019). Attentive neural processes. ICLR; arXiv:1901.05761, section 3 for the attention.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.ConditionalNeuralProcessRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> adapted = model.adapt(new.data[:5], new.target[:5])
    >>> mean, std = adapted.predict(new.data[5:], return_std=True)
    >>> mean.shape, std.shape
    ((15,), (15,))
    """

    n_shots: int | tuple[int, int] = (0, 10)
    n_representation: int = 64
    attention: bool = False
    n_heads: int = 8

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.n_representation, "n_representation", Integral, min_val=1)
        check_scalar(self.n_heads, "n_heads", Integral, min_val=1)
        if self.attention and self.n_representation % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide n_representation={self.n_representation}."
            )

    def _wrapper(self, data: TaskData) -> Any:
        rule: Any = _NeuralProcess
        if self.attention:
            rule = partial(_AttentiveNeuralProcess, n_heads=self.n_heads)
        return partial(
            rule,
            n_features_in=data.X.shape[1],
            n_outputs=self._n_net_outputs,
            n_representation=self.n_representation,
            hidden_layer_sizes=self.hidden_layer_sizes,
            activation=self.activation,
        )
