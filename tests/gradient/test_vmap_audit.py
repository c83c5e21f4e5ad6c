"""Whatever operators a module has, it is trained by the right gradient or with a warning."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from _episodes import (
    SIZES,
    assert_close,
    descend,
    flat,
    loop_gradient,
    meta_gradient,
    ragged,
    run,
    trained,
    weights_of,
)
from _learners import REGRESSORS
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

import skmeta

WIDTH, IMAGE = 8, (4, 3, 3)
SHORT = {"max_iter": 1, "meta_batch_size": 4, "n_shots": 4, "inner_lr": 0.1, "random_state": 0}


class Operator(nn.Module):
    """An operator of rows or images and of a weight, in front of a linear layer."""

    def __init__(self, n_features_in, operator):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(WIDTH) + 0.5)
        self.shape = IMAGE if n_features_in == np.prod(IMAGE) else (n_features_in,)
        self.operator = operator
        probe = self.features(torch.zeros(2, n_features_in))
        self.head = nn.Linear(probe.shape[1], 2)

    def features(self, X):
        features = self.operator(X.unflatten(1, self.shape), self.weight.to(X.dtype))
        return features.reshape(len(X), -1)

    def forward(self, X):
        return self.head(torch.sin(self.features(X)))


def target(x):
    return (x > 0).to(x.dtype)


def gram(x, w):
    rows = (x * w)[:, :, None]
    return rows @ rows.mT + torch.eye(WIDTH, dtype=x.dtype)


def branch(x, w):
    return x * w if w.sum() > 0 else -x * w


def scaled(x, w):
    return x * w[:4, None, None]


def none(function):
    return partial(function, reduction="none")


ROWS = {
    "relu": lambda x, w: functional.relu(x * w),
    "gelu": lambda x, w: functional.gelu(x * w),
    "gelu tanh": lambda x, w: functional.gelu(x * w, approximate="tanh"),
    "silu": lambda x, w: functional.silu(x * w),
    "elu": lambda x, w: functional.elu(x * w),
    "selu": lambda x, w: functional.selu(x * w),
    "leaky_relu": lambda x, w: functional.leaky_relu(x * w),
    "softplus": lambda x, w: functional.softplus(x * w),
    "mish": lambda x, w: functional.mish(x * w),
    "tanh": lambda x, w: torch.tanh(x * w),
    "sigmoid": lambda x, w: torch.sigmoid(x * w),
    "glu": lambda x, w: functional.glu(x * w),
    "softmax": lambda x, w: functional.softmax(x * w, -1),
    "log_softmax": lambda x, w: functional.log_softmax(x * w, -1),
    "cross_entropy": lambda x, w: none(functional.cross_entropy)(x * w, x.argmax(-1)),
    "bce_with_logits": lambda x, w: none(functional.binary_cross_entropy_with_logits)(
        x * w, target(x)
    ),
    "mse_loss": lambda x, w: none(functional.mse_loss)(x * w, x),
    "huber_loss": lambda x, w: none(functional.huber_loss)(x * w, x),
    "smooth_l1": lambda x, w: none(functional.smooth_l1_loss)(x * w, x),
    "normalize": lambda x, w: functional.normalize(x * w, dim=-1),
    "cosine_similarity": lambda x, w: functional.cosine_similarity(x * w, x.roll(1, 1), dim=-1),
    "layer_norm": lambda x, w: functional.layer_norm(x * w, (WIDTH,), w, w),
    "layer_norm, no affine": lambda x, w: functional.layer_norm(x * w, (WIDTH,)),
    "rms_norm": lambda x, w: functional.rms_norm(x * w, (WIDTH,), w),
    "embedding": lambda x, w: functional.embedding(target(x[:, :2]).long(), w.outer(w)),
    "linalg.solve": lambda x, w: torch.linalg.solve(gram(x, w), w),
    "cholesky_solve": lambda x, w: torch.cholesky_solve(
        w[:, None], torch.linalg.cholesky(gram(x, w))
    ),
    "branch": branch,
}
IMAGES = {
    "group_norm": lambda x, w: functional.group_norm(scaled(x, w), 2, w[:4], w[4:]),
    "instance_norm": lambda x, w: functional.instance_norm(scaled(x, w)),
    "max_pool2d": lambda x, w: functional.max_pool2d(scaled(x, w), 2),
    "avg_pool2d": lambda x, w: functional.avg_pool2d(scaled(x, w), 2),
    "conv2d": lambda x, w: functional.conv2d(x, w.outer(w).reshape(4, 4, 2, 2), padding=1),
    "attention": lambda x, w: functional.scaled_dot_product_attention(scaled(x, w), x, x * x),
}
BATCHES = {
    "batch_norm rows": lambda x, w: functional.batch_norm(x * w, None, None, w, w, training=True),
    "batch_norm images": lambda x, w: functional.batch_norm(
        scaled(x, w), None, None, w[:4], w[4:], training=True
    ),
    "batch_norm, no affine": lambda x, w: functional.batch_norm(
        scaled(x, w), None, None, training=True
    ),
}


def given_layer(layer, n_features_in):
    return nn.Sequential(nn.Linear(n_features_in, 8), layer(), nn.Tanh(), nn.Linear(8, 2))


class Tokens(nn.Module):
    """A layer that attends from feature to feature."""

    def __init__(self, layer, n_features_in):
        super().__init__()
        self.embed = nn.Linear(1, 4)
        self.layer = layer()
        self.head = nn.Linear(4 * n_features_in, 2)

    def forward(self, X):
        tokens = self.embed(X[..., None])
        if isinstance(self.layer, nn.MultiheadAttention):
            return self.head(self.layer(tokens, tokens, tokens, need_weights=False)[0].flatten(1))
        return self.head(self.layer(tokens).flatten(1))


LAYERS = {
    "Dropout": partial(given_layer, partial(nn.Dropout, 0.5)),
    "AlphaDropout": partial(given_layer, partial(nn.AlphaDropout, 0.5)),
    "LayerNorm": partial(given_layer, partial(nn.LayerNorm, 8)),
    "RMSNorm": partial(given_layer, partial(nn.RMSNorm, 8)),
    "GroupNorm": partial(given_layer, partial(nn.GroupNorm, 2, 8)),
    "PReLU": partial(given_layer, nn.PReLU),
    "MultiheadAttention": partial(Tokens, partial(nn.MultiheadAttention, 4, 2, batch_first=True)),
    "TransformerEncoderLayer": partial(
        Tokens, partial(nn.TransformerEncoderLayer, 4, 2, 5, dropout=0.0, batch_first=True)
    ),
}


class Deep(nn.Module):
    """Does something between its layers."""

    def __init__(self, n_features_in, between=None, norm=nn.Identity):
        super().__init__()
        self.first = nn.Linear(n_features_in, 8)
        self.norm = norm(8)
        self.last = nn.Linear(8, 2)
        self.between = between
        self.register_buffer("kept", torch.zeros(8))

    def forward(self, X):
        hidden = torch.tanh(self.norm(self.first(X)))
        return self.last(hidden if self.between is None else self.between(self, hidden))


def skip_at_random(module, hidden):
    return 2 * hidden if module.training and torch.rand(1) < 0.5 else hidden


def drop_in_place(module, hidden):
    return hidden * torch.empty(8).bernoulli_(0.5).to(hidden) if module.training else hidden


def count(module, hidden):
    module.kept += 1
    return hidden


def track(module, hidden):
    if module.training:
        module.kept = 0.9 * module.kept + 0.1 * hidden.detach().mean(0)
    return hidden - module.kept


class Spectral(nn.Sequential):
    def __init__(self, n_features_in):
        first = nn.utils.parametrizations.spectral_norm(nn.Linear(n_features_in, 8))
        super().__init__(first, nn.Tanh(), nn.Linear(8, 2))


IN_TRAINING = {
    "stochastic depth": partial(Deep, between=skip_at_random),
    "noise in place": partial(Deep, between=drop_in_place),
    "counter": partial(Deep, between=count),
    "running statistics": partial(Deep, between=track),
    "spectral_norm": Spectral,
}


class Single(Deep):
    """Has a constant in single precision."""

    def forward(self, X):
        return super().forward(X @ torch.eye(X.shape[1]))


class Cast(Deep):
    def forward(self, X):
        return super().forward(X.float())


def fit(module, n_features, dtype="float64", **params):
    """Return the rule of a fitted MAML, and whether it warned that tasks take turns."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(48, n_features)).astype(dtype), rng.normal(size=(48, 2))
    model = skmeta.MAMLRegressor(module=module, **{**SHORT, **params})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, groups=np.repeat(np.arange(6), 8))
    turns = [w for w in caught if "one after another" in str(w.message)]
    assert all(w.category is RuntimeWarning for w in turns)
    return model.net_.module_, bool(turns)


def assert_right(module, n_features, sizes=SIZES):
    torch.manual_seed(0)
    rule, warned = fit(module(n_features_in=n_features), n_features)
    assert rule.engine == ("loop" if warned else "vmap")
    episode = ragged(n_features=n_features, sizes=sizes)

    def one_task(support, query):
        adapted = descend(rule.network, weights_of(rule.network), support, 1, 0.1)
        return (run(rule.network, adapted, query[0]) - query[1]).square().mean()

    with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found, expected = meta_gradient(rule, episode), loop_gradient(rule, episode, one_task)
    assert_close(found, expected)
    return warned


@pytest.mark.parametrize("name", ROWS)
def test_operators_on_rows_are_right_or_warned_of(name):
    assert_right(partial(Operator, operator=ROWS[name]), WIDTH)


@pytest.mark.parametrize("name", IMAGES)
def test_operators_on_images_are_right_or_warned_of(name):
    assert_right(partial(Operator, operator=IMAGES[name]), int(np.prod(IMAGE)))


@pytest.mark.parametrize("name", BATCHES)
def test_statistics_over_rows_are_right_or_warned_of(name):
    """They count padding as rows, so that here all tasks have as many."""
    n_features = WIDTH if "rows" in name else int(np.prod(IMAGE))
    assert_right(partial(Operator, operator=BATCHES[name]), n_features, [(4, 3)] * 3)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_right_or_warned_of(name):
    assert_right(LAYERS[name], 3)


@pytest.mark.parametrize("norm", [
    nn.LayerNorm, partial(nn.BatchNorm1d, track_running_stats=False),
])  # fmt: skip
def test_a_wrong_term_is_found_where_weights_start_at_zero(norm):
    """There the term vanishes, until the last layer has moved."""
    network = Deep(3, norm=norm)
    for weight in network.last.parameters():
        nn.init.zeros_(weight)
    rule, warned = fit(network, 3)
    assert warned
    assert rule.engine == "loop"


@pytest.mark.parametrize("name", IN_TRAINING)
def test_what_cannot_run_batched_in_training_takes_turns(name):
    assert assert_right(IN_TRAINING[name], 3)


@pytest.mark.parametrize("name", ["counter", "running statistics"])
def test_what_a_module_keeps_in_training_is_kept(name):
    rule, _ = fit(IN_TRAINING[name](3), 3)
    assert rule.network.kept.all()


@pytest.mark.parametrize("module", [Single, Cast])
@pytest.mark.parametrize(("norm", "turns"), [(nn.Identity, False), (nn.LayerNorm, True)])
def test_modules_for_single_precision_alone_are_compared_in_it(module, norm, turns):
    rule, warned = fit(module(3, norm=norm), 3, "float32")
    assert warned == turns
    assert rule.engine == ("loop" if turns else "vmap")


def test_a_missing_second_derivative_is_an_error_except_at_first_order():
    network = Operator(WIDTH, lambda x, w: torch.cdist(x * w, torch.stack([w, w.flip(0), -w])))
    with pytest.raises(ValueError, match=r"module Operator .*cdist_backward"):
        fit(network, WIDTH)
    fit(network, WIDTH, first_order=True)


def test_an_operator_that_cannot_run_batched_takes_turns():
    _, warned = fit(Operator(WIDTH, branch), WIDTH)
    assert warned


def gradient(net, episode):
    net.module_.zero_grad()
    loss = net.train_step_single(episode)["loss"]
    return loss, flat(p.grad for p in trained(net.module_))


@pytest.mark.filterwarnings("ignore:torch's batched derivative:RuntimeWarning")
@pytest.mark.parametrize("learner", REGRESSORS)
@pytest.mark.parametrize("name", ["LayerNorm", "MultiheadAttention", "TransformerEncoderLayer"])
def test_layers_are_right_in_single_precision_for_every_learner(learner, name):
    """The meta-step is that of one task after another."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(48, 3)).astype("float32"), rng.normal(size=(48, 2))
    model = learner(module=LAYERS[name], n_queries=4, n_inner_steps=2, **SHORT)
    if learner is skmeta.ANILRegressor:
        model.set_params(module=nn.Sequential(LAYERS[name](n_features_in=3), nn.Tanh()))
    model.fit(X, y, groups=np.repeat(np.arange(6), 8))
    net, episode = model.net_, ragged(torch.float32)
    together = gradient(net, episode)
    if learner not in (skmeta.ANILRegressor, skmeta.CAVIARegressor):
        net.module_.use("loop")
    net.chunk_size = 1
    assert_close(together, gradient(net, episode), 1e-4)


@pytest.mark.filterwarnings("ignore:torch's batched derivative:RuntimeWarning")
@pytest.mark.parametrize("learner", REGRESSORS)
@pytest.mark.parametrize("name", ["counter", "spectral_norm"])
def test_layers_may_change_buffers_for_every_learner(learner, name):
    def module(n_features_in):
        return nn.Sequential(IN_TRAINING[name](n_features_in), nn.Tanh(), nn.Linear(2, 2))

    fits = (fit_on_tasks(learner, module, max_iter=n, random_state=0) for n in (0, 1))
    before, after = (dict(model.net_.module_.named_buffers()) for model in fits)
    assert all((after[name] != given).any() for name, given in before.items())


class Given(nn.Module):
    """Has a layer beside the linear one that the rows pass through."""

    def __init__(self, n_features_in, layer):
        super().__init__()
        self.linear = nn.Linear(n_features_in, 2)
        self.layer = layer()

    def forward(self, X):
        return self.linear(X)


def trained_network(model):
    rule = model.net_.module_
    return rule.body if isinstance(model, skmeta.ANILRegressor) else rule.network


def fit_on_tasks(learner, module, **params):
    tasks = skmeta.make_linear_tasks(6, 60, 2, random_state=0)
    y = np.column_stack([tasks.target, tasks.target])
    return learner(module=module, **params).fit(tasks.data, y, groups=tasks.groups)


@pytest.mark.parametrize("learner", REGRESSORS)
@pytest.mark.parametrize("layer", [
    nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm1d,
])  # fmt: skip
def test_running_statistics_are_rejected(learner, layer):
    module = partial(Given, layer=partial(layer, 1, track_running_stats=True))
    with pytest.raises(ValueError, match=rf"{layer.__name__} with running statistics"):
        fit_on_tasks(learner, module)


@pytest.mark.parametrize("learner", REGRESSORS)
def test_batch_statistics_can_be_trained_but_not_used(learner):
    module = partial(Given, layer=partial(nn.BatchNorm1d, 1, track_running_stats=False))
    with pytest.warns(RuntimeWarning, match=r"BatchNorm1d .* refuse it"):
        model = fit_on_tasks(learner, module, max_iter=1)
    X = np.zeros((3, 2))
    uses = [
        lambda: model.predict(X, groups=[0, 0, 0]),
        lambda: model.adapt(X, np.zeros((3, 2))),
        lambda: model.transform(X),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="module has a BatchNorm1d"):
            use()


@pytest.mark.parametrize("learner", REGRESSORS)
def test_a_layer_that_nothing_passes_through_stays_as_it_is(learner):
    network = partial(Given, layer=partial(nn.Linear, 2, 2))
    fits = (fit_on_tasks(learner, network, max_iter=n, random_state=0) for n in (0, 3))
    before, after = (trained_network(fit) for fit in fits)
    for name, weight in after.named_parameters():
        same = torch.equal(weight, before.get_parameter(name))
        assert same == name.startswith("layer.")


@pytest.mark.parametrize("module", [
    lambda n_features_in: nn.Linear(n_features_in, 2).requires_grad_(False),
    lambda n_features_in: nn.Flatten(),
], ids=["frozen", "no parameters"])  # fmt: skip
@pytest.mark.parametrize("learner", REGRESSORS[1:])  # all but ANIL, whose head is trained
def test_a_module_with_nothing_to_train_is_named(learner, module):
    with pytest.raises(ValueError, match=r"module \w+ has no parameters that can be trained"):
        fit_on_tasks(learner, module)


@pytest.mark.parametrize("learner", REGRESSORS)
def test_without_updates_nothing_is_compared(learner):
    module = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    if learner is skmeta.CAVIARegressor:
        module[0] = nn.Linear(2 + 5, 3)
    tasks = skmeta.make_linear_tasks(6, 60, 2, random_state=0)
    model = learner(module=module, max_iter=0).fit(tasks.data, tasks.target, groups=tasks.groups)
    assert model.n_iter_ == 0
