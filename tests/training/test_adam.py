"""Steps by the kernel alone are the optimizer's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skorch
import torch
from skorch.callbacks import Callback

import skmeta
from skmeta.training._adam import AdamKernel

TASKS = skmeta.make_sinusoid_tasks(30, 12, random_state=0)


def fitted(**params: Any) -> skmeta.RidgeHeadRegressor:
    learner = skmeta.RidgeHeadRegressor(
        hidden_layer_sizes=(8,), n_shots=5, meta_batch_size=4, max_iter=40, random_state=0
    )
    return learner.set_params(**params).fit(TASKS.data, TASKS.target, groups=TASKS.groups)


def trained(model: Any) -> dict[str, Any]:
    """Return the weights, and the state of the optimizer."""
    weights = {name: value.tolist() for name, value in model.net_.module_.state_dict().items()}
    state = model.net_.optimizer_.state_dict()["state"]
    return weights | {
        f"{number} {name}": value.tolist()
        for number, parts in state.items()
        for name, value in parts.items()
    }


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"optimizer": torch.optim.AdamW, "optimizer__weight_decay": 0.1},
        {"optimizer__weight_decay": 0.1, "optimizer__betas": (0.5, 0.9)},
        {"optimizer__maximize": True},
    ],
)
def test_same_to_the_bit(params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    by_kernel = fitted(**params)
    assert by_kernel.net_.kernel_ is not None
    monkeypatch.setattr(AdamKernel, "serves", staticmethod(lambda optimizer: False))
    by_optimizer = fitted(**params)
    assert by_optimizer.net_.kernel_ is None
    assert trained(by_kernel) == trained(by_optimizer)


def test_every_update_but_the_first_is_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[bool] = []

    def counted(kernel: AdamKernel, step: Any = AdamKernel.step) -> bool:
        steps.append(step(kernel))
        return steps[-1]

    monkeypatch.setattr(AdamKernel, "step", counted)
    model = fitted(max_iter=200)
    assert model.net_.history[0, "train_batch_count"] > 1  # or each epoch would begin one anew
    assert steps == [True] * 199


class Hooked(Callback):
    """Count the steps of the optimizer from the start."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.steps = 0
        net.optimizer_.register_step_post_hook(self.count)

    def count(self, *ignored: Any) -> None:
        self.steps += 1


def test_hooks_are_called() -> None:
    hooked = Hooked()
    model = fitted(callbacks=[("hooked", hooked)])
    assert model.net_.kernel_ is None
    assert hooked.steps == 40


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer": torch.optim.SGD},
        {"optimizer__amsgrad": True},
        {"optimizer__fused": False},
        {"callbacks": [skorch.callbacks.LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1)]},
    ],
    ids=["SGD", "amsgrad", "unfused", "scheduler"],
)
def test_other_steps_are_the_optimizers(params: dict[str, Any]) -> None:
    assert fitted(**params).net_.kernel_ is None


class Reset(Callback):
    """Replace the optimizer's state in the middle of an epoch."""

    def on_batch_end(self, net: Any, training: bool = True, **kwargs: Any) -> None:
        if net.n_updates_ == 30:
            state = net.optimizer_.state_dict()
            for parts in state["state"].values():
                parts["exp_avg"] = torch.zeros_like(parts["exp_avg"])
            net.optimizer_.load_state_dict(state)


def test_a_state_that_is_replaced_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    by_kernel = fitted(callbacks=[Reset()])
    monkeypatch.setattr(AdamKernel, "serves", staticmethod(lambda optimizer: False))
    assert trained(by_kernel) == trained(fitted(callbacks=[Reset()]))
    assert trained(by_kernel) != trained(fitted())


def test_a_rate_changed_between_updates_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slower(Callback):
        def on_batch_end(self, net: Any, training: bool = True, **kwargs: Any) -> None:
            net.optimizer_.param_groups[0]["lr"] *= 0.99

    by_kernel = fitted(callbacks=[Slower()])
    assert by_kernel.net_.kernel_ is not None
    monkeypatch.setattr(AdamKernel, "serves", staticmethod(lambda optimizer: False))
    by_optimizer = fitted(callbacks=[Slower()])
    assert trained(by_kernel) == trained(by_optimizer)
    assert np.isfinite(by_kernel.net_.history[-1, "train_loss"])
