"""A meta-step never waits for a device: it reads no value of a tensor."""

from __future__ import annotations

import pytest
import torch
from _episodes import ragged
from _learners import REGRESSORS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import skmeta

aten = torch.ops.aten
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten._unique2.default,
}


class NoWaiting(TorchDispatchMode):
    """Fail at operators whose result a processor must see: a value, or how many there are."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        waits = operator in WAITING
        if operator in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):
            waits = any(index is not None and index.dtype == torch.bool for index in args[1])
        assert not waits, f"{operator} waits"
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("wait", [
    lambda t: t.item(), lambda t: bool(t), lambda t: t[None][t[None] > 0],
    lambda t: t[None].nonzero(), lambda t: 2.0 if t else 1.0,
])  # fmt: skip
def test_what_waits_is_seen(wait):
    with pytest.raises(AssertionError, match="waits"), NoWaiting():
        wait(torch.ones(()))


def given(n_features_in):
    return nn.Sequential(nn.Linear(n_features_in, 4), nn.ELU(), nn.Linear(4, 1))


@pytest.mark.parametrize("module", [None, given])
@pytest.mark.parametrize("learner", REGRESSORS)
def test_a_meta_step_waits_for_nothing(learner, module):
    tasks = skmeta.make_linear_tasks(6, 60, 3, random_state=0)
    model = learner(module=module, max_iter=1, max_inner_norm=1.0, random_state=0)
    net = model.fit(tasks.data, tasks.target, groups=tasks.groups).net_
    net.module_.train()
    net.module_.zero_grad()
    with NoWaiting():
        net.train_step_single(ragged(n_outputs=1))
    assert all(p.grad is not None for p in net.module_.parameters())
