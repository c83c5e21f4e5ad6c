"""One compiled graph for the whole meta-step says what the uncompiled step says."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from _episodes import TOLERANCE, assert_close, flat, meta_gradient, ragged, trained
from torch import nn

import skmeta
from skmeta.training._compiled import CompiledGradient

LEARNERS = {
    "MAML": (skmeta.MAMLRegressor, {"n_inner_steps": 2}),
    "MAML, first order": (skmeta.MAMLRegressor, {"n_inner_steps": 2, "first_order": True}),
    "MAML, learned rates": (skmeta.MAMLRegressor, {"learn_inner_lr": True}),
    "MAML, clipped": (skmeta.MAMLRegressor, {"max_inner_norm": 0.1}),
    "Sharp-MAML": (skmeta.MAMLRegressor, {"inner_rho": 0.05}),
    "MAML, classes": (skmeta.MAMLClassifier, {"n_inner_steps": 2}),
    "ANIL": (skmeta.ANILRegressor, {"n_inner_steps": 2}),
    "Meta-SGD": (skmeta.MetaSGDRegressor, {}),
    "Reptile": (skmeta.ReptileRegressor, {"n_inner_steps": 2}),
    "MinibatchProx": (skmeta.MinibatchProxRegressor, {"n_inner_steps": 2}),
    "CAVIA": (skmeta.CAVIARegressor, {}),
    "bootstrapped MAML": (skmeta.BootstrappedMAMLRegressor, {"n_inner_steps": 2}),
    "bootstrapped, predictions": (
        skmeta.BootstrappedMAMLRegressor,
        {"matching": "predictions"},
    ),
}
BY_VMAP = ("MAML", "Sharp-MAML", "CAVIA")  # as networks are run that are no plain perceptrons
ALIKE_IN_USE = ("MAML, first order", "bootstrapped MAML", "bootstrapped, predictions")
HEADS = {
    "ridge": (skmeta.RidgeHeadRegressor, {}),
    "ridge, classes": (skmeta.RidgeHeadClassifier, {}),
    "Bayesian": (skmeta.BayesianHeadRegressor, {}),
    "logistic, classes": (skmeta.LogisticHeadClassifier, {"n_inner_steps": 3}),
}
SIZES = [[(4, 3), (1, 5), (6, 1), (2, 2)], [(1, 4), (9, 2), (3, 3), (5, 9)]]


def tasks(classes=False, dtype="float32"):
    if classes:
        made = skmeta.make_classification_tasks(20, 30, 3, random_state=0)
    else:
        made = skmeta.make_linear_tasks(20, 30, 3, random_state=0)
    return made.data.astype(dtype), made.target, made.groups


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("case", "engine"),
    [
        (case, engine)
        for case in LEARNERS
        for engine in ([None, "vmap"] if case in BY_VMAP else [None])
    ],
)
def test_one_trace_is_the_step_for_all_numbers_of_rows(case, engine):
    learner, params = LEARNERS[case]
    X, y, groups = tasks("classes" in case, "float64")
    model = learner(max_iter=1, hidden_layer_sizes=(5,), inner_lr=0.1, random_state=0, **params)
    net = model.fit(X, y, groups=groups).net_
    if engine is not None:
        net.module_.use(engine)
    assert_one_trace_serves_all_sizes(net, "classes" in case)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("case", "width"), [*((case, 20) for case in HEADS), ("ridge", 5)])
def test_so_is_one_of_a_head_solved_in_rows_or_in_features(case, width):
    learner, params = HEADS[case]
    X, y, groups = tasks("classes" in case, "float64")
    model = learner(max_iter=1, hidden_layer_sizes=(width,), random_state=0, **params)
    net = model.fit(X, y, groups=groups).net_
    assert_one_trace_serves_all_sizes(net, "classes" in case)


def assert_one_trace_serves_all_sizes(net, classes):
    net.module_.train()
    compiled = CompiledGradient(net.module_, net.criterion_)
    compiled.layout = []  # which no episode has
    for sizes in SIZES:
        assert_is_the_step(compiled, net, ragged(sizes=sizes, **shape_of(classes)))


def shape_of(classes):
    return {"n_outputs": 2 if classes else 1, "classes": classes}


def assert_is_the_step(compiled, net, episode):
    """A gradient also has to lie in memory as its weights do, for so optimizers' kernels read."""
    weights = trained(net.module_)
    loss = net.criterion_.aggregate(net.module_.task_losses(episode, net.criterion_))
    expected = torch.autograd.grad(loss, weights)
    torch.testing.assert_close(compiled(episode)[0], loss.detach(), rtol=1e-10, atol=1e-12)
    for weight, slope in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.grad, slope, rtol=1e-9, atol=1e-11)
        assert weight.grad.stride() == weight.stride()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("case", [*LEARNERS, *HEADS])
def test_the_graph_of_the_first_size_is_the_step(case):
    learner, params = {**LEARNERS, **HEADS}[case]
    X, y, groups = tasks("classes" in case, "float64")
    model = learner(max_iter=1, hidden_layer_sizes=(6, 6), random_state=0, **params)
    net = model.fit(X, y, groups=groups).net_
    net.module_.train()
    compiled = CompiledGradient(net.module_, net.criterion_)
    assert_is_the_step(compiled, net, ragged(sizes=SIZES[0], **shape_of("classes" in case)))
    assert compiled.general is None


class Turned(nn.Module):
    """Has a weight that lies in memory column by column."""

    def __init__(self, n_features_in):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_features_in, 6).mT)

    def forward(self, X):
        return (X @ self.weight.mT).relu()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("first", [True, False])
def test_weights_of_another_layout_have_gradients_of_it(first):
    X, y, groups = tasks(dtype="float64")
    net = skmeta.RidgeHeadRegressor(module=Turned, max_iter=1).fit(X, y, groups=groups).net_
    assert not net.module_.body.weight.is_contiguous()
    compiled = CompiledGradient(net.module_.train(), net.criterion_)
    if not first:
        compiled.layout = []
    assert_is_the_step(compiled, net, ragged(sizes=SIZES[0], n_outputs=1))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("learner", "n_queries"),
    [*((skmeta.MAMLRegressor, n) for n in (1, 2, 3, 7)), (skmeta.ReptileRegressor, 2)],
)
def test_sizes_that_agree_by_chance_are_not_tied(learner, n_queries):
    """Sizes equal to each other, to the number of tasks, or with a sum that is."""
    X, y, groups = tasks()
    params = {
        "n_shots": (1, 4), "n_queries": n_queries, "meta_batch_size": 5, "max_iter": 8,
        "n_inner_steps": 2, "hidden_layer_sizes": (3,), "random_state": 0,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair = [
            learner(compile=compile, **params).fit(X, y, groups=groups) for compile in (False, True)
        ]
    losses = [model.net_.history[:, "train_loss"] for model in pair]
    np.testing.assert_allclose(*losses, rtol=1e-4)


class Normalised(nn.Sequential):
    def __init__(self, n_features_in, n_outputs):
        norm = nn.LayerNorm(6, elementwise_affine=False)
        super().__init__(nn.Linear(n_features_in, 6), norm, nn.ReLU(), nn.Linear(6, n_outputs))


class Attentive(nn.Module):
    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.embed = nn.Linear(1, 4)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X):
        tokens = self.embed(X[..., None])
        return self.head(self.attend(tokens, tokens, tokens, need_weights=False)[0].mean(-2))


class Dropped(nn.Sequential):
    def __init__(self, n_features_in, n_outputs):
        super().__init__(nn.Linear(n_features_in, 6), nn.Dropout(0.5), nn.Linear(6, n_outputs))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("n_shots", [5, (1, 5)])
@pytest.mark.parametrize("module", [Normalised, Attentive])
def test_modules_whose_derivative_holds_sizes_compile_for_one_size(module, n_shots):
    X, y, groups = tasks()
    params = {
        "module": module, "n_shots": n_shots, "n_queries": 5, "max_iter": 6, "random_state": 0,
    }  # fmt: skip
    plain, fast = (
        skmeta.MAMLRegressor(compile=compile, **params).fit(X, y, groups=groups)
        for compile in (False, True)
    )
    as_many = ragged(torch.float32, n_outputs=1, sizes=[(4, 3)] * fast.meta_batch_size)
    episode = ragged(torch.float32, n_outputs=1)
    assert fast.net_.compiled_(as_many) is None
    assert fast.net_.compiled_(episode) is None
    losses = [model.net_.history[:, "train_loss"] for model in (plain, fast)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    steps = [model.net_.train_step_single(episode)["loss"] for model in (plain, fast)]
    torch.testing.assert_close(*steps, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("traced")
def test_dropout_in_a_trace_drops_anew_each_time():
    X, y, groups = tasks()
    model = skmeta.MAMLRegressor(
        module=Dropped, compile=True, n_shots=5, n_queries=5, max_iter=2, random_state=0
    ).fit(X, y, groups=groups)
    net = model.net_
    net.module_.train()
    episode = ragged(torch.float32, n_outputs=1, sizes=[(5, 5)] * model.meta_batch_size)
    first, second = (net.compiled_(episode)[0] for _ in range(2))
    assert first != second


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("case", [case for case in LEARNERS if case not in ALIKE_IN_USE])
def test_one_trace_adapts_any_number_of_tasks(case):
    learner, params = LEARNERS[case]
    X, y, groups = tasks("classes" in case)
    model = learner(
        max_iter=1, n_shots=5, n_queries=5, n_adapt_steps=3, random_state=0,
        **params,
    ).fit(X, y, groups=groups)  # fmt: skip
    for n_tasks, n_rows in [(64, 3), (65, 4), (90, 64)]:
        rng = np.random.default_rng(0)
        rows = rng.integers(len(X), size=n_tasks * n_rows)
        new = np.repeat(np.arange(n_tasks), n_rows)
        predicted = []
        for model._steps.compiled in (False, True):
            adapted = model.adapt(X[rows], y[rows], groups=new)
            predicted.append(adapted.predict(X[rows], groups=new))
        assert model._steps.compiled
        np.testing.assert_allclose(*predicted, rtol=1e-4, atol=1e-5)
    assert model._steps._graphs


def test_heads_train_compiled(capsys):
    X, y, groups = tasks()
    params = {"max_iter": 8, "hidden_layer_sizes": (6, 6), "random_state": 0}
    plain = skmeta.RidgeHeadRegressor(**params).fit(X, y, groups=groups)
    fast = skmeta.RidgeHeadRegressor(compile=True, verbose=1, **params).fit(X, y, groups=groups)
    assert "compiled the meta-step in" in capsys.readouterr().out
    assert fast.net_.compiled_ is not None
    losses = [model.net_.history[:, "train_loss"] for model in (plain, fast)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    weights = [flat(p.detach() for p in trained(model.net_.module_)) for model in (plain, fast)]
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of torch's own code
@pytest.mark.parametrize(("dtype", "n_steps"), [("float32", 2), ("float64", 1)])
def test_a_compiled_fit_is_a_fit(dtype, n_steps, capsys):
    X, y, groups = tasks(dtype=dtype)
    params = {
        "n_shots": (1, 5), "n_queries": 5, "max_iter": 12, "n_inner_steps": n_steps,
        "hidden_layer_sizes": (4,), "random_state": 0,
    }  # fmt: skip
    plain = skmeta.MAMLRegressor(**params).fit(X, y, groups=groups)
    fast = skmeta.MAMLRegressor(compile=True, verbose=1, **params).fit(X, y, groups=groups)
    assert "compiled the meta-step in" in capsys.readouterr().out
    assert fast.net_.compiled_ is not None
    rule = fast.net_.module_
    episode = ragged(getattr(torch, dtype), n_outputs=1, sizes=4 * [(5, 5), (1, 4), (3, 5), (2, 1)])
    loss, _ = fast.net_.compiled_(episode)
    slopes = flat(p.grad for p in trained(rule))
    assert_close((loss, slopes), meta_gradient(rule, episode), TOLERANCE[getattr(torch, dtype)])
    assert all(p.grad.stride() == p.stride() for p in trained(rule))
    tolerance = 100 * TOLERANCE[getattr(torch, dtype)]
    for name, weight in plain.net_.module_.state_dict().items():
        found = fast.net_.module_.state_dict()[name]
        torch.testing.assert_close(found, weight, rtol=tolerance, atol=tolerance)
    few = groups < 3
    predicted = [
        model.adapt(X[few], y[few], groups=groups[few]).predict(X[few], groups=groups[few])
        for model in (plain, fast, copy.deepcopy(fast))
    ]
    np.testing.assert_allclose(predicted[1], predicted[0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(predicted[2], predicted[1], rtol=tolerance, atol=tolerance)


class Branches(nn.Module):
    """Looks at values, which a trace can not follow."""

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_features_in, n_outputs)

    def forward(self, X):
        return self.linear(X) if float(X.detach().sum()) < 1e9 else self.linear(-X)


def test_what_can_not_be_compiled_runs_uncompiled_with_a_warning():
    X, y, groups = tasks()
    params = {"module": Branches, "max_iter": 3, "random_state": 0}
    with pytest.warns(RuntimeWarning, match="batched derivative"):
        plain = skmeta.MAMLRegressor(**params).fit(X, y, groups=groups)
    with (
        pytest.warns(RuntimeWarning, match="batched derivative"),
        pytest.warns(RuntimeWarning, match="uncompiled"),
    ):
        fast = skmeta.MAMLRegressor(compile=True, **params).fit(X, y, groups=groups)
    assert fast.net_.compiled_ is None
    np.testing.assert_array_equal(
        fast.net_.history[:, "train_loss"], plain.net_.history[:, "train_loss"]
    )


class Convolved(nn.Sequential):
    def __init__(self, n_features_in, n_outputs):
        super().__init__(
            nn.Unflatten(-1, (1, n_features_in)),
            nn.Conv1d(1, 2, n_features_in),
            nn.Flatten(-2),
            nn.Linear(2, n_outputs),
        )


def test_tasks_that_take_turns_are_no_graph(monkeypatch):
    X, y, groups = tasks()
    params = {"module": Convolved, "max_iter": 2, "random_state": 0}
    with pytest.warns(RuntimeWarning, match="uncompiled: tasks take turns"):
        skmeta.MAMLRegressor(compile=True, **params).fit(X, y, groups=groups)
    monkeypatch.setattr("skmeta.base._compiling._PAYS_AFTER", 1)
    model = skmeta.MAMLRegressor(compile="auto", **params).fit(X, y, groups=groups)
    assert model.net_.compiled_ is None


def test_chunks_of_tasks_are_no_graph():
    X, y, groups = tasks()
    params = {"chunk_size": 2, "max_iter": 2, "random_state": 0}
    with pytest.warns(RuntimeWarning, match="uncompiled: chunk_size"):
        skmeta.MAMLRegressor(compile=True, **params).fit(X, y, groups=groups)


def test_only_long_fits_compile_by_themselves():
    X, y, groups = tasks()
    model = skmeta.MAMLRegressor(compile="auto", max_iter=3).fit(X, y, groups=groups)
    assert model.net_.compiled_ is None
    with pytest.raises(ValueError, match="compile='always'"):
        skmeta.MAMLRegressor(compile="always").fit(X, y, groups=groups)
