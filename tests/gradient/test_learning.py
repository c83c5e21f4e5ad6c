"""All learners of the family learn sinusoids: a few rows beat what knows no task."""

from __future__ import annotations

import numpy as np
import pytest

import skmeta

LEARNERS = {
    skmeta.ANILRegressor: {"inner_lr": 0.1, "n_inner_steps": 3},
    skmeta.BootstrappedMAMLRegressor: {"inner_lr": 0.05, "n_inner_steps": 2},
    skmeta.CAVIARegressor: {},
    skmeta.IMAMLRegressor: {"inner_lr": 0.02, "alpha": 0.1, "lr": 3e-3},
    skmeta.MAMLRegressor: {"inner_lr": 0.1},
    skmeta.MetaSGDRegressor: {"inner_lr": 0.05},
    skmeta.MinibatchProxRegressor: {"inner_lr": 0.1, "n_inner_steps": 5, "alpha": 0.2},
    skmeta.ReptileRegressor: {"inner_lr": 0.05, "n_inner_steps": 5, "lr": 0.5, "max_iter": 400},
}


def error_after_ten_rows(model, seed):
    new = skmeta.make_sinusoid_tasks(100, 30, random_state=seed)
    X, y, groups = new.data.astype(np.float32), new.target, new.groups
    support = np.arange(len(X)) % 30 < 10
    adapted = model.adapt(X[support], y[support], groups=groups[support])
    return np.mean((adapted.predict(X[~support], groups=groups[~support]) - y[~support]) ** 2)


@pytest.mark.filterwarnings("ignore::skmeta.DivergenceWarning")  # of networks without training
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("learner", LEARNERS)
def test_training_lowers_the_loss_and_ten_rows_beat_the_prior(learner, seed):
    train = skmeta.make_sinusoid_tasks(200, 40, random_state=100 + seed)
    params = {
        "n_shots": 10, "n_queries": 10, "max_iter": 200, "lr": 5e-3, "meta_batch_size": 16,
        "hidden_layer_sizes": (40, 40), "random_state": seed, **LEARNERS[learner],
    }  # fmt: skip
    fits = []
    for n_updates in (0, params["max_iter"]):
        model = learner(**{**params, "max_iter": n_updates})
        fits.append(model.fit(train.data.astype(np.float32), train.target, groups=train.groups))
    fresh, trained = (error_after_ten_rows(model, seed) for model in fits)
    prior = error_after_ten_rows(model.set_params(n_adapt_steps=0), seed)
    assert trained < 0.8 * prior
    assert trained < 0.7 * fresh
    losses = model.net_.history[:, "train_loss"]
    if learner is not skmeta.BootstrappedMAMLRegressor:  # whose loss is the way to its own target
        assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "learner", [skmeta.ANILRegressor, skmeta.CAVIARegressor, skmeta.MAMLRegressor]
)
def test_rates_that_are_far_too_small_are_mended_by_learning_them(learner, seed):
    train = skmeta.make_sinusoid_tasks(200, 40, random_state=100 + seed)
    errors = []
    for learn_inner_lr in (True, False):
        model = learner(
            inner_lr=1e-4, learn_inner_lr=learn_inner_lr, n_inner_steps=2, n_shots=10,
            n_queries=10, max_iter=200, lr=5e-3, meta_batch_size=16,
            hidden_layer_sizes=(40, 40), random_state=seed,
        )  # fmt: skip
        model.fit(train.data.astype(np.float32), train.target, groups=train.groups)
        errors.append(error_after_ten_rows(model, seed))
    assert errors[0] < 0.8 * errors[1]
