"""Conditional neural processes: what a pooled support can and cannot tell, and the likelihood."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _episodes import ragged, tasks_of
from torch import nn

import skmeta
from skmeta import ConditionalNeuralProcessRegressor
from skmeta.inner import squared_error
from skmeta.training import MeanOverTasks

KINDS = pytest.mark.parametrize("attention", [False, True])


def _rule(attention, module=nn.Identity, n_features=3, n_outputs=2, **params):
    """Return an untrained rule in float64."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, n_features)), rng.normal(size=(12, n_outputs))
    model = ConditionalNeuralProcessRegressor(
        attention=attention, module=module, max_iter=0, random_state=0, **params
    )
    return model.fit(X, y).net_.module_


def _state(rule, support):
    X, y = (part[None] for part in support)
    return rule.adapt(X, y, torch.ones_like(X[..., 0]))


def _moments(rule, support, X):
    return torch.cat(rule.moments(X[None], _state(rule, support)), dim=2)[0]


@KINDS
def test_ragged_masked_tasks_are_tasks_alone(attention):
    rule, episode = _rule(attention), ragged()
    state = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)
    mean, variance = rule.moments(episode.query_X, state)
    for task, (support, query) in enumerate(tasks_of(episode)):
        together = torch.cat([mean, variance], dim=2)[task, : len(query[0])]
        alone = _moments(rule, support, query[0])
        torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)


@KINDS
def test_rows_of_zeros_behind_a_state_are_no_rows(attention):
    """States of small tasks are padded to those of large ones."""
    rule, episode = _rule(attention), ragged()
    state = rule.adapt(episode.support_X, episode.support_y, episode.support_mask)
    longer = {
        name: nn.functional.pad(part, [0, 0] * (part.ndim - 2) + [0, 3]) if part.ndim > 2 else part
        for name, part in state.items()
    }
    if attention:
        longer["mask"] = nn.functional.pad(state["mask"], [0, 3])
    torch.testing.assert_close(
        rule.predict(episode.query_X, longer), rule.predict(episode.query_X, state)
    )


@KINDS
def test_the_order_of_the_support_does_not_matter(attention):
    rule = _rule(attention)
    for support, query in tasks_of(ragged()):
        order = torch.randperm(len(support[0]), generator=torch.Generator().manual_seed(1))
        shuffled = [part[order] for part in support]
        torch.testing.assert_close(
            _moments(rule, shuffled, query[0]),
            _moments(rule, support, query[0]),
            rtol=1e-10,
            atol=1e-12,
        )


@KINDS
def test_a_support_given_twice_tells_nothing_new(attention):
    """A mean, and a softmax too, weights each copy of a row by half."""
    rule = _rule(attention)
    for support, query in tasks_of(ragged()):
        twice = [torch.cat([part, part]) for part in support]
        one = _moments(rule, support, query[0])
        torch.testing.assert_close(_moments(rule, twice, query[0]), one, rtol=1e-10, atol=1e-12)
        other = [support[0], support[1] + 1]
        assert (_moments(rule, other, query[0]) - one).abs().max() > 1e-4


def test_attention_tells_rows_apart_that_the_mean_does_not():
    """What a row is told depends on the row, unless it is told the mean."""
    (support, query), *_ = tasks_of(ragged())
    for attention, spread in ((False, 0.0), (True, 1e-3)):
        rule = _rule(attention)
        state = _state(rule, support)
        read = rule._read(query[0][None], state)[0]
        assert (read - read[0]).abs().max() >= spread
        assert attention or (read == read[0]).all()


def test_attention_is_the_formula_of_the_paper():
    """Each head: ``softmax(q k' / √d) v``, over the rows that are there."""
    rule = _rule(True, n_representation=6, n_heads=2)
    (support, query), *_ = tasks_of(ragged())
    state = _state(rule, support)
    h = rule.encoder(torch.cat(support, dim=1))
    q, k, v = rule.query(query[0]), rule.key(support[0]), rule.value(h)
    heads = [
        (q[:, part] @ k[:, part].T / 3**0.5).softmax(dim=1) @ v[:, part]
        for part in (slice(0, 3), slice(3, 6))
    ]
    expected = torch.cat(heads, dim=1) @ rule.merge.weight.T
    torch.testing.assert_close(rule._read(query[0][None], state)[0], expected)


@KINDS
def test_no_support_is_the_prior(attention):
    """It is what the decoder makes of r = 0."""
    rule = _rule(attention)
    X = ragged().query_X[:1]
    padding = X.new_full((1, 4, 3), 7.0), X.new_zeros(1, 4, 2), X.new_zeros(1, 4)
    state = rule.adapt(*padding)
    r = X.new_zeros(1, X.shape[1], rule.n_representation)
    mean, spread = rule.decoder(torch.cat([X, r], dim=2)).split(2, dim=2)
    found = rule.moments(X, state)
    torch.testing.assert_close(found[0], mean)
    torch.testing.assert_close(found[1].sqrt(), 0.1 + 0.9 * spread.exp().log1p())


@KINDS
def test_the_loss_is_the_likelihood_of_all_rows(attention):
    """The support is predicted too, and padding is not."""
    rule, episode = _rule(attention), ragged()
    losses = rule.task_losses(episode, MeanOverTasks(squared_error))
    for task, (support, query) in enumerate(tasks_of(episode)):
        X, y = (torch.cat(parts) for parts in zip(support, query, strict=True))
        mean, variance = _moments(rule, support, X).split(2, dim=1)
        likelihood = torch.distributions.Normal(mean, variance.sqrt()).log_prob(y)
        torch.testing.assert_close(losses[task], -likelihood.sum(dim=1).mean())


@pytest.fixture(scope="module")
def sinusoids():
    return skmeta.make_sinusoid_tasks(300, 20, random_state=0)


@KINDS
def test_deviations_have_a_floor_in_units_of_the_targets(sinusoids, attention):
    """σ stays above 0.1 standard deviations of y, though it would gain from being less."""
    tasks = sinusoids
    model = ConditionalNeuralProcessRegressor(attention=attention, max_iter=30, random_state=0)
    for unit in (1.0, 1000.0):
        model.fit(tasks.data, unit * tasks.target, groups=tasks.groups)
        _, std = model.predict(tasks.data, groups=tasks.groups, return_std=True)
        assert std.min() >= 0.1 * unit * tasks.target.std()


@KINDS
def test_chunks_of_tasks_of_all_sizes_are_tasks_alone(attention):
    """Their states have different widths, and are put together."""
    sizes = np.repeat([1, 3, 40, 200], 30)
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(groups), 2))
    y = X[:, 0] + groups % 7
    model = ConditionalNeuralProcessRegressor(attention=attention, max_iter=3, random_state=0)
    model.fit(X, y, groups=groups)
    known = model.predict(X, groups=groups)
    adapted = model.adapt(X, y, groups=groups)
    np.testing.assert_allclose(adapted.predict(X, groups=groups), known, rtol=1e-6, atol=1e-9)
    for task in (0, 35, 65, 119):
        rows = groups == task
        alone = model.adapt(X[rows], y[rows]).predict(X[rows])
        np.testing.assert_allclose(alone, known[rows], rtol=1e-6, atol=1e-9)


@KINDS
@pytest.mark.parametrize("seed", [0, 1])
def test_learns_to_adapt_without_gradients(sinusoids, attention, seed):
    model = ConditionalNeuralProcessRegressor(
        attention=attention, max_iter=250 if attention else 600, lr=3e-3, random_state=seed
    ).fit(sinusoids.data, sinusoids.target, groups=sinusoids.groups)
    new = skmeta.make_sinusoid_tasks(100, 30, random_state=100 + seed)
    support = np.arange(len(new.data)) % 30 < 10
    adapted = model.adapt(new.data[support], new.target[support], groups=new.groups[support])
    mean, std = adapted.predict(new.data[~support], groups=new.groups[~support], return_std=True)
    errors = new.target[~support] - mean
    assert (errors**2).mean() < 0.6 * new.target.var()
    assert 0.5 < (np.abs(errors) < std).mean() < 0.95  # 0.68 if normal


def test_the_prior_is_learned(sinusoids):
    """A task without rows is predicted as wide as tasks are."""
    model = ConditionalNeuralProcessRegressor(max_iter=400, lr=3e-3, random_state=0)
    model.fit(sinusoids.data, sinusoids.target, groups=sinusoids.groups)
    with pytest.warns(skmeta.UnseenTaskWarning):
        mean, std = model.predict(
            sinusoids.data, groups=np.full(len(sinusoids.data), -1), return_std=True
        )
    errors = sinusoids.target - mean
    assert (errors**2).mean() < 1.05 * sinusoids.target.var()
    assert 0.8 < (std**2).mean() / (errors**2).mean() < 1.25


@pytest.mark.parametrize(
    "wrong",
    [{"n_representation": 0}, {"n_heads": 5, "attention": True}, {"n_heads": 0}, {"n_shots": -1}],
)
def test_wrong_parameters_are_named(sinusoids, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ConditionalNeuralProcessRegressor(**wrong).fit(sinusoids.data, sinusoids.target)


def test_what_is_kept_of_a_task(sinusoids):
    """A representation with the mean, its rows with attention."""
    for attention, shape in ((False, (3, 16)), (True, (3, 20, 16))):
        model = ConditionalNeuralProcessRegressor(
            attention=attention, n_representation=16, max_iter=2, random_state=0
        ).fit(sinusoids.data, sinusoids.target, groups=sinusoids.groups)
        adapted = model.adapt(sinusoids.data[:40], sinusoids.target[:40], sinusoids.groups[:40])
        assert next(iter(adapted._state.values())).shape == shape  # two tasks and the prior
