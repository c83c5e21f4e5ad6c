"""Which tasks count, by the losses of a meta-batch."""

from __future__ import annotations

import dataclasses
from functools import partial
from statistics import NormalDist

import numpy as np
import pytest
import torch
from _episodes import ragged
from _meta_gradients import gradient_of, modules

from skmeta.inner import squared_error
from skmeta.robust._log_normal import LogNormalWindow
from skmeta.robust._ranked_range import RankedRange, ranks
from skmeta.robust._selection import SelectedTasks
from skmeta.robust._streaming import StreamingThresholds
from skmeta.robust._worst_case import WorstCaseWeights
from skmeta.training import MeanGradient

N = 25
ALL = torch.arange(N)


def losses(seed=0, n=N):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)).double().exp()


def objective(cls, n_tasks=N, constant=None, **params):
    n_warm = params.pop("n_warm", 0)
    return cls(squared_error, n_tasks=n_tasks, constant=constant, n_warm=n_warm, **params)


def ranked(hard, easy, **params):
    return objective(RankedRange, drop_hardest=hard, drop_easiest=easy, **params)


def value(objective, s, tasks=ALL):
    return objective.aggregate(s, objective.weigh(s, tasks))


OBJECTIVES = {
    "ranked": partial(ranked, 0.2, 0.1),
    "buffer": partial(ranked, 0.2, 0.1, buffer_size=50),
    "lognormal": partial(objective, LogNormalWindow, drop_hardest=0.2, drop_easiest=0.1, decay=0.9),
    "streaming": partial(
        objective, StreamingThresholds, drop_hardest=0.2, drop_easiest=0.1, lr=0.1
    ),
    "worst_case": partial(objective, WorstCaseWeights, lr=0.1),
}
NONE_DROPPED = {
    "ranked": partial(ranked, 0, 0),
    "buffer": partial(ranked, 0, 0, buffer_size=50),
    "lognormal": partial(objective, LogNormalWindow, drop_hardest=0, drop_easiest=0, decay=0.9),
    "streaming": partial(objective, StreamingThresholds, drop_hardest=0, drop_easiest=0, lr=0.1),
    "worst_case": partial(objective, WorstCaseWeights, lr=0.0),
}


@pytest.mark.parametrize(
    ("hard", "easy", "expected"),
    [
        (0.0, 0.0, lambda s: s.mean()),
        (0.0, 24 / 25, lambda s: s.max()),
        (6 / 25, 18 / 25, lambda s: s.sort(descending=True).values[6]),
        (0.2, 0.0, lambda s: s.sort().values[:20].mean()),  # trimmed
        (0.0, 0.6, lambda s: s.sort().values[15:].mean()),  # conditional value at risk
        (0.2, 0.4, lambda s: s.sort().values[10:20].mean()),
    ],
)
def test_a_ranked_range_is_the_family_of_aggregates(hard, easy, expected):
    s = losses()
    torch.testing.assert_close(value(ranked(hard, easy), s), expected(s), rtol=1e-14, atol=0)


@pytest.mark.parametrize("seed", range(20))
def test_a_ranked_range_is_a_difference_of_two_minima(seed):
    """Hu et al., theorem 1, over a grid of thresholds that has the kinks at the losses."""
    s, random = losses(seed), np.random.default_rng(seed)
    m, k = np.sort(random.choice(N + 1, size=2, replace=False))
    grid = torch.cat([torch.linspace(-1, float(s.max()) + 1, 500).double(), s])
    above = (s - grid[:, None]).clamp(min=0).sum(dim=1)
    found = value(ranked(m / N, (N - k) / N), s) * (k - m)
    expected = (k * grid + above).min() - (m * grid + above).min()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_thresholds_select_the_range_where_there_are_no_ties():
    s = losses()
    chosen = ranked(0.2, 0.3)
    choice = chosen.choose(s, ALL)
    weights, (low, high) = choice.weights, choice.thresholds
    assert torch.equal(weights > 0, (s >= low) & (s < high))


def test_ties_do_not_change_how_many_count():
    weights = ranked(0.2, 0.2).weigh(torch.ones(N).double(), ALL)
    assert int((weights > 0).sum()) == 15


@pytest.mark.parametrize("n", range(1, 9))
def test_a_task_at_least_counts(n):
    for hard in (0.0, 0.3, 0.6, 0.9):
        for easy in (0.0, 0.09):
            m, k = ranks(n, hard, easy)
            assert 0 <= m < k <= n


@pytest.mark.parametrize("name", NONE_DROPPED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_with_nothing_dropped_it_is_the_mean_to_the_bit(name, dtype):
    made = NONE_DROPPED[name]()
    for seed in range(5):
        s = losses(seed).to(dtype).requires_grad_()
        weights = made.weigh(s.detach(), ALL)
        assert torch.equal(made.aggregate(s, weights), s.mean())
        (slope,) = torch.autograd.grad(made.aggregate(s, weights), s)
        assert torch.equal(slope, torch.full_like(s, 1 / N))
        made.observe(s.detach(), ALL)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_dropped_task_has_no_gradient_and_weights_are_one_on_average(name):
    made = OBJECTIVES[name]()
    for seed in range(5):
        s = losses(seed).requires_grad_()
        weights = made.weigh(s.detach(), ALL)
        (slope,) = torch.autograd.grad(made.aggregate(s, weights), s)
        assert (slope[weights == 0] == 0).all()
        torch.testing.assert_close(weights.mean().item(), 1.0)
        made.observe(s.detach(), ALL)
    assert name == "worst_case" or (weights == 0).any()


@pytest.mark.parametrize("case", modules())
def test_the_rows_of_a_dropped_task_play_no_part_in_the_meta_gradient(case):
    module, episode = modules()[case], ragged()
    for name in module.own_parameters:
        torch.nn.init.normal_(module.get_parameter(name))  # from 0 on, the rest learns nothing
    objective = ranked(0.25, 0.25, n_tasks=4)
    plain = module.training_losses(episode, objective).detach()
    hardest = int(plain.argmax())
    query_y, support_X = episode.query_y.clone(), episode.support_X.clone()
    query_y[hardest] += 100 * episode.query_mask[hardest, :, None]
    support_X[hardest] *= 0.5
    other = dataclasses.replace(episode, query_y=query_y, support_X=support_X)
    changed = module.training_losses(other, objective).detach()
    assert changed[hardest] > 10 * plain[hardest]
    rest = torch.arange(4) != hardest
    assert torch.equal(changed[rest], plain[rest])
    gradients = []
    for part in (episode, other):
        gradient_of(module, part, MeanGradient(), objective=objective)
        shared = set(dict(module.named_parameters())) - set(module.own_parameters)
        gradients.append([module.get_parameter(name).grad.clone() for name in sorted(shared)])
    assert any(g.any() for g in gradients[0])
    assert all(map(torch.equal, *gradients))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_order_and_numbers_of_tasks_do_not_matter(name):
    one, other = OBJECTIVES[name](), OBJECTIVES[name]()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    for seed in range(5):
        s = losses(seed)
        found, expected = other.weigh(s[order], ALL), one.weigh(s, ALL)[order]
        torch.testing.assert_close(found, expected)
        one.observe(s, ALL)
        other.observe(s[order], ALL)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_all_count_while_it_warms_up(name):
    made = OBJECTIVES[name](n_warm=3)
    for seed in range(3):
        assert torch.equal(made.weigh(losses(seed), ALL), torch.ones(N).double())
        made.observe(losses(seed), ALL)
    made.end_epoch()
    assert (made.records[0].drawn == 3).all()
    assert (made.records[0].kept == 3).all()
    made.observe(losses(3), ALL)
    assert name == "worst_case" or not torch.equal(made.weigh(losses(4), ALL), torch.ones(N))


def test_records_count_draws_and_selections():
    made = ranked(0.5, 0.0, n_tasks=6)
    made.observe(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0, 2, 3, 5]))
    made.observe(torch.tensor([4.0, 3.0]), torch.tensor([0, 2]))
    made.end_epoch()
    made.end_epoch()
    made.observe(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]))
    made.end_epoch()
    assert made.records[0].drawn.tolist() == [2, 0, 2, 1, 0, 1]
    assert made.records[0].kept.tolist() == [1, 0, 2, 0, 0, 0]
    assert made.records[0].thresholds.tolist() == [-np.inf, 3.5]
    assert made.records[1].drawn.tolist() == [1, 1, 0, 0, 0, 0]
    assert made.records[1].kept.tolist() == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(("hard", "easy"), [(0.1, 0.0), (0.0, 0.3), (0.2, 0.2)])
def test_log_normal_losses_are_kept_as_the_normal_distribution_says(hard, easy):
    made = objective(LogNormalWindow, drop_hardest=hard, drop_easiest=easy, decay=0.99)
    for seed in range(300):
        made.observe(losses(seed) ** 2, ALL)
    many = losses(1000, 100_000)
    kept = (made.weigh(many**2, torch.zeros(len(many)).long()) > 0).double().mean()
    assert abs(kept - (1 - hard - easy)) < 0.02


def test_odd_losses_do_not_hide_themselves():
    made = objective(LogNormalWindow, drop_hardest=0.1, drop_easiest=0.0, decay=0.9)
    s = losses()
    s[:5] = 1e6
    weights = made.weigh(s, ALL)
    assert (weights[:5] == 0).all()
    assert (weights[5:] > 0).sum() >= 15


def test_the_nearest_task_counts_where_none_is_inside():
    made = objective(LogNormalWindow, drop_hardest=0.1, drop_easiest=0.1, decay=0.999)
    for seed in range(50):
        made.observe(losses(seed), ALL)
    far = torch.tensor([1e5, 1e3, 1e4]).double()
    torch.testing.assert_close(
        made.weigh(far, torch.arange(3)), torch.tensor([0.0, 3.0, 0.0]).double()
    )


def test_losses_all_alike_are_all_kept():
    made = objective(LogNormalWindow, drop_hardest=0.1, drop_easiest=0.1, decay=0.9)
    assert torch.equal(made.weigh(torch.ones(N).double(), ALL), torch.ones(N).double())


def test_log_likelihoods_may_be_negative():
    given = {"drop_hardest": 0.2, "drop_easiest": 0.1, "decay": 0.9}
    plain = objective(LogNormalWindow, **given)
    logs = objective(LogNormalWindow, already_log=True, **given)
    s = losses()
    assert (s.log() < 0).any()
    torch.testing.assert_close(plain.weigh(s, ALL), logs.weigh(s.log(), ALL))


def test_streaming_thresholds_reach_the_quantiles():
    made = objective(StreamingThresholds, drop_hardest=0.2, drop_easiest=0.3, lr=0.02)
    made.observe(1e3 * losses(0), ALL)  # a start far off
    for seed in range(3000):
        made.observe(losses(seed), ALL)
    z = NormalDist().inv_cdf
    expected = torch.tensor([z(0.3), z(0.8)]).double()
    torch.testing.assert_close(made.ends, expected, atol=0.15, rtol=0)


def test_small_meta_batches_are_ranked_among_earlier_losses():
    made = ranked(0.1, 0.0, buffer_size=500)
    for seed in range(200):
        made.observe(losses(seed, 4), torch.arange(4))
    kept = [
        made.weigh(losses(seed, 4), torch.arange(4)).count_nonzero().item() / 4
        for seed in range(500, 1000)
    ]
    assert abs(np.mean(kept) - 0.9) < 0.03


def test_weights_rise_where_losses_are_high_and_stay_on_the_simplex():
    made = objective(WorstCaseWeights, lr=0.1)
    s = losses()
    for _ in range(200):
        made.observe(s, ALL)
        torch.testing.assert_close(made.weights.mean().item(), 1.0)
        assert (made.weights >= 0).all()
    assert made.weights.argmax() == s.argmax()
    assert made.weights.max() > 0.9 * N  # the maximum over p of a linear function is a corner


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("already_log", [False, True])
def test_the_end_at_which_a_task_is_dropped_is_that_of_its_score(name, already_log):
    constant = np.random.default_rng(0).uniform(0.1, 10, size=N)
    made = OBJECTIVES[name](constant=constant, already_log=already_log)
    for seed in range(20):
        s = losses(seed)
        scores, weights = made.score(s, ALL), made.weigh(s, ALL)
        made.observe(s, ALL)
        made.end_epoch()
        hard, dropped = made.records[-1].hard > 0, (weights == 0).numpy()
        above = (scores > scores[weights > 0].max()).numpy()
        assert (hard == (above & dropped & (name != "worst_case"))).all()


def test_of_ties_those_ranked_first_are_dropped_as_hard():
    made = ranked(0.2, 0.4)
    made.observe(torch.ones(N).double(), ALL)
    made.end_epoch()
    assert made.records[0].hard.sum() == 5
    assert made.records[0].kept.sum() == 10


def test_weights_that_fall_to_zero_make_no_suspects():
    made = OBJECTIVES["worst_case"]()
    for _ in range(100):
        made.observe(losses(), ALL)
        made.end_epoch()
    assert (made.weights == 0).any()
    assert not len(made.suspects().tasks)
    assert len(made.trusted(N)) == N


def test_a_scale_makes_losses_relative():
    constant = np.ones(N)
    constant[7] = 100.0
    s = losses()
    s[7] = 90.0
    assert ranked(0.1, 0).weigh(s, ALL)[7] == 0
    assert ranked(0.1, 0, constant=constant).weigh(s, ALL)[7] > 0


def test_every_objective_is_tested():
    assert {type(make()) for make in OBJECTIVES.values()} == set(SelectedTasks.__subclasses__())
