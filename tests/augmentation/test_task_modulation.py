"""Any learner, trained on tasks that modulate each other."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from _deep import fitted, weights
from sklearn.base import clone, is_regressor
from torch import nn
from torch.distributions import Normal, kl_divergence

import skmeta
from skmeta import (
    CAVIARegressor,
    HeTRoM,
    MAMLClassifier,
    MAMLRegressor,
    MultiHeadRegressor,
    PrototypicalClassifier,
    RidgeHeadRegressor,
    TaskGrouping,
    TaskInterpolation,
    TaskModulation,
)
from skmeta.augmentation._modulation import Modulation, ModulationLoss
from skmeta.augmentation._modulation_chain import ModulationChain
from skmeta.inner import Episode

SHORT = {
    "hidden_layer_sizes": (8, 6), "max_iter": 12, "meta_batch_size": 5, "random_state": 0,
    "n_shots": (1, 4),
}  # fmt: skip
LEARNERS = [
    MAMLRegressor(**SHORT),
    CAVIARegressor(**SHORT),
    RidgeHeadRegressor(**SHORT),
    MAMLClassifier(**SHORT),
    PrototypicalClassifier(**SHORT),
]
LEARNER = pytest.mark.parametrize("learner", LEARNERS, ids=lambda x: type(x).__name__)


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(20, 10, 3, noise=0.2, random_state=0)


def learned(model):
    """Return the weights of the learner, without those of what modulates."""
    parameters = model.net_.module_.named_parameters()
    return torch.cat([p.detach().flatten() for n, p in parameters if "beside" not in n])


def modulators(model):
    return torch.cat([p.detach().flatten() for p in model.net_.module_.beside.parameters()])


@pytest.fixture
def chain():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))
    made = ModulationChain(
        network, n_features=3, width=3, ends_in_features=False, strength=0.5
    ).double()
    made.beside.double()
    for parameter in made.beside.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


@pytest.fixture
def episode():
    """Ragged tasks; what is in padded rows must not matter."""
    random = torch.Generator().manual_seed(1)
    X, query = (torch.randn(3, n, 3, generator=random, dtype=torch.float64) for n in (4, 6))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]).double()
    return Episode(
        X, X[..., :1], mask, query, query[..., :1], torch.ones(3, 6).double(), torch.arange(3)
    )


@LEARNER
def test_zero_strength_is_the_learner(learner, tasks):
    alone = weights(fitted(learner, tasks))
    assert torch.equal(alone, weights(fitted(TaskModulation(learner, strength=0.0), tasks)))


@LEARNER
def test_a_modulation_of_zero_is_the_learner(learner, tasks):
    """Means start at zero: the first update is the learner's, later ones are not."""
    model = TaskModulation(learner, variational=False)
    for n_updates, same in ((1, True), (12, False)):
        pair = (
            learned(fitted(clone(learner).set_params(max_iter=n_updates), tasks)),
            learned(fitted(clone(model).set_params(estimator__max_iter=n_updates), tasks)),
        )
        assert torch.allclose(*pair, rtol=1e-6, atol=1e-9) is same


@LEARNER
@pytest.mark.parametrize("params", [{}, {"layers": "one"}, {"variational": False}], ids=str)
def test_modulators_learn_beside_the_learner(learner, params, tasks):
    model = TaskModulation(learner, **params)
    one, untrained = (
        fitted(clone(model).set_params(estimator__max_iter=n), tasks) for n in (12, 0)
    )
    assert not torch.equal(modulators(one), modulators(untrained))
    assert torch.equal(weights(one), weights(fitted(model, tasks)))
    assert not torch.allclose(learned(one), learned(fitted(learner, tasks)), rtol=1e-4)


@LEARNER
def test_adapting_and_predicting_know_nothing_of_modulators(learner, tasks):
    model = fitted(TaskModulation(learner), tasks)
    y = tasks.target if is_regressor(learner) else tasks.target > 0
    ask = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    known = ask(tasks.data, groups=tasks.groups)
    new = model.adapt(tasks.data[:5], y[:5]).predict(tasks.data)
    for parameter in model.net_.module_.beside.parameters():
        nn.init.constant_(parameter, np.nan)
    np.testing.assert_array_equal(known, ask(tasks.data, groups=tasks.groups))
    np.testing.assert_array_equal(new, model.adapt(tasks.data[:5], y[:5]).predict(tasks.data))


def test_gradient_learners_do_not_adapt_modulators(tasks):
    rule = fitted(TaskModulation(LEARNERS[0]), tasks).net_.module_
    assert len(dict(rule.network.named_parameters())) == 6
    assert set(rule.networks.start()) == set(dict(rule.network.named_parameters()))


@pytest.mark.parametrize("active", [[0, 1], [1]], ids=str)
def test_loss_and_gradient_are_those_of_a_loop_over_tasks(chain, episode, active):
    chain.active = active
    made = Modulation(chain, layers="all", variational=True, random=np.random.default_rng(3))(
        episode
    )
    random = np.random.default_rng(3)
    partner = (np.arange(3) + random.integers(1, 3, size=3)) % 3
    noise = torch.from_numpy(random.standard_normal((3, 18)))
    first, second, last = chain[0], chain[2], chain[4]
    total = chain.beside[0][0].weight.new_zeros(())
    for task, other in enumerate(partner):
        rows = episode.support_X[other][episode.support_mask[other] > 0]
        outputs = first(rows), second(first(rows).tanh())
        h, z = episode.query_X[task], torch.zeros(0).double()
        noises, divergence = noise[task].split([10, 8]), 0.0
        for number, layer in enumerate((first, second)):
            h = layer(h)
            found = outputs[number].detach()
            mean_row = found.mean(dim=0) if len(found) else torch.zeros_like(found[:1].sum(dim=0))
            before, z = z, torch.zeros(10 if number == 0 else 8).double()
            if number in active:
                mean, log_variance = chain.beside[number](torch.cat([mean_row, before])).chunk(2)
                spread = log_variance.exp().sqrt()
                z = mean + spread * noises[number]
                unit = Normal(torch.zeros_like(mean), torch.ones_like(mean))
                divergence = divergence + kl_divergence(Normal(mean, spread), unit).sum()
            scale, shift = (0.5 * z).chunk(2)
            h = ((1 + scale) * h + shift).tanh()
        total = total + last(h).square().mean() + 0.1 * divergence
    losses = chain(made.query_X).square().mean(dim=(1, 2))
    ours = ModulationLoss(0.1)(nn.ModuleList([chain]), made, losses).sum()
    torch.testing.assert_close(ours, total)
    parameters = [*chain.parameters(), *chain.beside.parameters()]
    for pair in zip(
        *(
            torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
            for value in (ours, total)
        ),
        strict=True,
    ):
        torch.testing.assert_close(*pair)


def test_padding_does_not_matter(chain, episode):
    def made():
        random = np.random.default_rng(0)
        return Modulation(chain, layers="all", variational=True, random=random)(episode).query_X

    before = made()
    episode.support_X[1, 2:] = 7.0
    torch.testing.assert_close(made(), before)


def test_the_divergence_from_the_prior_itself_is_zero(chain):
    extra = torch.randn(4, 27, dtype=torch.float64)
    assert (chain.divergence(extra) > 0.01).all()
    for parameter in chain.beside.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(chain.divergence(extra), torch.zeros(4, dtype=torch.float64))


def test_tasks_may_come_in_any_order(chain):
    X, extra = torch.randn(6, 3).double(), torch.randn(6, 27).double()
    rows, order = torch.cat([X, extra], dim=1), torch.randperm(6)
    torch.testing.assert_close(chain(rows)[order], chain(rows[order]))


def test_it_nests_with_the_others_in_any_order(tasks):
    def grouped(model):
        return TaskGrouping(model, n_groups=2, embedding="head", random_state=0)

    one, other = (
        weights(fitted(model, tasks))
        for model in (
            HeTRoM(grouped(TaskModulation(LEARNERS[2]))),
            TaskModulation(grouped(HeTRoM(LEARNERS[2]))),
        )
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("learner", LEARNERS[:3:2], ids=lambda x: type(x).__name__)
def test_it_is_pickled(learner, tasks):
    model = fitted(TaskModulation(learner), tasks)
    again = pickle.loads(pickle.dumps(model))
    known = model.predict(tasks.data, groups=tasks.groups)
    np.testing.assert_array_equal(again.predict(tasks.data, groups=tasks.groups), known)
    assert torch.equal(modulators(again), modulators(model))


def test_compiling_is_refused_with_a_warning(tasks):
    learner = clone(LEARNERS[0]).set_params(compile=True)
    with pytest.warns(RuntimeWarning, match="network changes with each update"):
        fitted(TaskModulation(learner), tasks)


class _Other(nn.Module):
    def __init__(self, n_features_in):
        super().__init__()
        self.layer = nn.Linear(n_features_in, 4)

    def forward(self, X):
        return self.layer(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"strength": -1.0}, "strength"),
        ({"kl_weight": -1.0}, "kl_weight"),
        ({"layers": "some"}, "'all' or 'one'"),
        ({"estimator__module": _Other}, "plain torch.nn.Sequential"),
        ({"estimator": MAMLRegressor(**{**SHORT, "hidden_layer_sizes": ()})}, "hidden linear"),
        ({"estimator": TaskInterpolation(LEARNERS[2])}, "has no effect"),
        ({"estimator": MultiHeadRegressor(max_iter=2)}, "keeps a head for each"),
    ],
    ids=str,
)
def test_errors(params, message, tasks):
    model = TaskModulation(LEARNERS[2]).set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert not hasattr(model, "estimator_")
