"""Steps in use that make a task worse are undone, for that task alone and not in silence."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from _episodes import ragged, run, slope, tasks_of, weights_of
from _learners import REGRESSORS

import skmeta
from skmeta import MLP
from skmeta.exceptions import DivergenceWarning
from skmeta.inner import GradientSteps, ProximalSteps, squared_error

SIZES = [(5, 1), (3, 1), (6, 1), (1, 1), (4, 1)]
SCALES = [1.0, 6.0, 0.3, 2.5, 8.0]  # of the rows of each task: the larger, the sooner it diverges


def steps(lr=0.15, n_steps=1, n_adapt_steps=None, **options):
    torch.manual_seed(0)
    network = MLP(3, 2, hidden_layer_sizes=(5,), activation="relu").double()
    rule = GradientSteps(network, 3, 2, loss=squared_error, lr=lr, n_steps=n_steps, **options)
    rule.n_adapt_steps = n_adapt_steps
    return rule.eval()


def scaled():
    episode = ragged(sizes=SIZES)
    factor = torch.tensor(SCALES).double()[:, None, None]
    return type(episode)(**{**vars(episode), "support_X": factor * episode.support_X})


def path(rule, rows, n_steps, lr):
    """Yield the weights of one task after each number of steps, and its support loss."""
    weights = {name: w.detach().requires_grad_() for name, w in weights_of(rule.network).items()}
    for number in range(n_steps + 1):
        if number:
            g = slope(rule.network, weights, rows, create_graph=False)
            weights = {
                name: (w - lr * g[name]).detach().requires_grad_() for name, w in weights.items()
            }
        loss = squared_error(run(rule.network, weights, rows[0]), rows[1]).mean()
        yield {name: w.detach() for name, w in weights.items()}, loss.item()


def steps_taken(losses, trained):
    """Return at which of its steps a task of these support losses stands in the end."""
    exploded = [not loss <= 10 * losses[0] for loss in losses]
    if losses[-1] <= losses[trained] and not any(exploded[trained:]):
        return len(losses) - 1
    sound = exploded.index(True) if any(exploded) else len(losses)
    return int(np.nanargmin(losses[:sound]))


def adapt(rule, episode):
    with torch.no_grad():
        return rule.adapt(episode.support_X, episode.support_y, episode.support_mask)


@pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])
@pytest.mark.parametrize(("trained", "used"), [(1, 4), (2, 9), (0, 3), (1, 40)])
def test_a_task_that_gets_worse_goes_back_to_its_lowest_loss(engine, trained, used):
    rule, episode = steps(n_steps=trained, n_adapt_steps=used), scaled()
    rule.use(engine)
    state = adapt(rule, episode)
    taken = []
    for task, (rows, _) in enumerate(tasks_of(episode)):
        points = list(path(rule, rows, used, 0.15))
        losses = [loss for _, loss in points]
        number = steps_taken(losses, trained)
        taken.append(number)
        for name, weight in points[number][0].items():
            torch.testing.assert_close(state[name][task], weight, rtol=1e-9, atol=1e-11)
    assert state["n_steps"].tolist() == taken
    assert used in taken
    assert min(taken) < used


@pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])
@pytest.mark.parametrize("trained", [0, 1, 2, 4])
def test_a_support_that_forgets_an_explosion_does_not_hide_it(engine, trained):
    rule, episode = steps(lr=0.5, n_steps=trained, n_adapt_steps=9), scaled()
    rule.use(engine)
    rows, _ = list(tasks_of(episode))[3]
    points = list(path(rule, rows, 9, 0.5))
    losses = [loss for _, loss in points]
    assert losses[-1] == min(losses)
    assert max(losses) > 10 * losses[0]
    state = adapt(rule, episode)
    number = steps_taken(losses, trained)
    assert state["n_steps"][3] == number == (9 if trained == 4 else 0)  # 4 steps have recovered
    for name, weight in points[number][0].items():
        torch.testing.assert_close(state[name][3], weight, rtol=1e-9, atol=1e-11)


def test_tasks_that_get_better_are_untouched_by_those_that_do_not():
    rule, episode = steps(n_adapt_steps=9), scaled()
    state = adapt(rule, episode)
    kept = state["n_steps"] == 9
    assert 0 < kept.sum() < len(kept)
    good = type(episode)(**{
        name: None if part is None else part[kept] for name, part in vars(episode).items()
    })  # fmt: skip
    alone = adapt(rule, good)
    for name, weight in alone.items():
        torch.testing.assert_close(state[name][kept], weight, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("lr", "worst"), [(0.1, "rose"), (0.15, "exploded")])
@pytest.mark.parametrize("n_adapt_steps", [None, 3])
def test_the_trained_number_of_steps_may_raise_the_loss_up_to_tenfold(n_adapt_steps, lr, worst):
    rule, episode = steps(lr=lr, n_steps=3, n_adapt_steps=n_adapt_steps), scaled()
    state = adapt(rule, episode)
    seen = set()
    for task, (rows, _) in enumerate(tasks_of(episode)):
        points = list(path(rule, rows, 3, lr))
        losses = [loss for _, loss in points]
        growth, number = losses[3] / losses[0], steps_taken(losses, 3)
        seen.add("fell" if growth <= 1 else "rose" if growth <= 10 else "exploded")
        assert state["n_steps"][task] == number
        for name, weight in points[number][0].items():
            torch.testing.assert_close(state[name][task], weight, rtol=1e-9, atol=1e-11)
    assert seen == {"fell", worst}


@pytest.mark.parametrize("engine", ["stacked", "vmap", "loop"])
def test_trained_steps_that_overflow_are_undone(engine):
    rule, episode = steps(lr=1e155, n_steps=2), scaled()
    rule.use(engine)
    state = adapt(rule, episode)
    assert (state["n_steps"] < 2).all()
    assert all(value.isfinite().all() for value in state.values())
    for task, (rows, _) in enumerate(tasks_of(episode)):
        losses = [loss for _, loss in path(rule, rows, 2, 1e155)]
        assert state["n_steps"][task] == steps_taken(losses, 2)


@pytest.mark.parametrize("used", [0, 1, 2])
def test_fewer_steps_than_trained_are_a_shorter_path(used):
    rule, episode = steps(lr=0.01, n_steps=4, n_adapt_steps=used), scaled()
    state = adapt(rule, episode)
    assert state["n_steps"].tolist() == [used] * len(SIZES)
    for task, (rows, _) in enumerate(tasks_of(episode)):
        weights, _ = list(path(rule, rows, used, 0.01))[-1]
        for name, weight in weights.items():
            torch.testing.assert_close(state[name][task], weight, rtol=1e-10, atol=1e-12)


def test_training_never_goes_back():
    """Neither in training mode nor where a gradient is asked for."""
    rule, episode = steps(lr=5.0, n_steps=2), scaled()
    support = episode.support_X, episode.support_y, episode.support_mask
    assert "n_steps" not in rule.adapt(*support)
    rule.train()
    with torch.no_grad():
        assert "n_steps" not in rule.adapt(*support)


def test_a_pull_is_part_of_the_steps_that_are_tried_again():
    torch.manual_seed(0)
    network = MLP(3, 2, hidden_layer_sizes=(5,)).double()
    options = {"loss": squared_error, "lr": 0.15, "n_steps": 1, "alpha": 0.5}
    rule = ProximalSteps(network, 3, 2, **options).eval()
    rule.n_adapt_steps = 9
    episode = scaled()
    state = adapt(rule, episode)
    assert state["n_steps"].min() < 9
    for task, number in enumerate(state["n_steps"].tolist()):
        shorter = copy.deepcopy(rule)
        shorter.n_adapt_steps = shorter.n_steps = number
        expected = adapt(shorter, episode)
        for name in weights_of(network):
            torch.testing.assert_close(state[name][task], expected[name][task])


@pytest.fixture(scope="module")
def fitted():
    tasks = skmeta.make_linear_tasks(12, 12, 3, random_state=0)
    model = skmeta.MAMLRegressor(inner_lr=0.05, max_iter=5, hidden_layer_sizes=(6,), random_state=0)
    return model.fit(tasks.data, tasks.target, groups=tasks.groups)


def tame_and_wild():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(18, 3)), rng.normal(size=18)
    X[6:12] *= 30.0
    return X, y, np.repeat(["tame", "wild", "calm"], 6)


def test_an_estimator_warns_of_tasks_that_diverged_and_predicts_all(fitted):
    X, y, groups = tame_and_wild()
    model = copy.deepcopy(fitted).set_params(n_adapt_steps=10)
    with pytest.warns(DivergenceWarning, match=r"10 inner steps diverged on 1 task\(s\)"):
        adapted = model.adapt(X, y, groups=groups)
    predicted = adapted.predict(X, groups=groups)
    assert np.isfinite(predicted).all()
    tame = groups != "wild"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = model.adapt(X[tame], y[tame], groups=groups[tame])
    expected = alone.predict(X[tame], groups=groups[tame])
    np.testing.assert_allclose(predicted[tame], expected, rtol=1e-12)
    error = np.mean((predicted - y)[~tame] ** 2)
    prior = model.set_params(n_adapt_steps=0).adapt(X, y, groups=groups)
    assert error <= np.mean((prior.predict(X, groups=groups) - y)[~tame] ** 2) + 1e-12


def test_an_estimator_does_not_warn_of_tasks_that_are_only_worse(fitted):
    X, y, groups = tame_and_wild()
    X[6:12] /= 15.0
    model = copy.deepcopy(fitted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.adapt(X, y, groups=groups)


def test_the_number_of_steps_may_be_set_after_fit(fitted):
    X, y, _ = tame_and_wild()
    X, y = X[:6], y[:6]
    model, errors = copy.deepcopy(fitted), []
    for n_adapt_steps in (0, 1, 5, 20):
        model.set_params(n_adapt_steps=n_adapt_steps)
        errors.append(np.mean((model.adapt(X, y).predict(X) - y) ** 2))
    assert errors == sorted(errors, reverse=True)
    np.testing.assert_array_equal(
        model.set_params(n_adapt_steps=None).adapt(X, y).predict(X),
        model.set_params(n_adapt_steps=1).adapt(X, y).predict(X),
    )


@pytest.mark.parametrize("learner", REGRESSORS)
def test_every_learner_undoes_steps_that_diverged(learner):
    tasks = skmeta.make_linear_tasks(8, 60, 3, random_state=0)
    model = learner(
        inner_lr=1e-3, n_inner_steps=1, max_iter=2, hidden_layer_sizes=(), random_state=0
    )
    if learner is skmeta.CAVIARegressor:
        model.set_params(inner_lr=1000.0)
    model.set_params(max_inner_norm=None, n_adapt_steps=30)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    X, y, groups = tame_and_wild()
    X[6:12] *= 1000.0
    with pytest.warns(DivergenceWarning, match="30 inner steps diverged"):
        adapted = model.adapt(X, y, groups=groups)
    assert np.isfinite(adapted.predict(X, groups=groups)).all()
