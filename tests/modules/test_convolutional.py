"""The networks for images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from skmeta import ANILClassifier, Conv4, MAMLClassifier, ResNet12, RidgeHeadClassifier
from skmeta.gradient._base import _vmap_is_right
from skmeta.modules._dropblock import DropBlock

NARROW = {Conv4: {"n_channels": 8}, ResNet12: {"n_channels": (8, 8, 16, 16)}}
both = pytest.mark.parametrize("body", [Conv4, ResNet12])


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    ("n_features_in", "image_shape", "width"),
    [
        (28 * 28, None, 1),
        (28 * 28, (28, 28), 1),
        (16 * 49, (16, 49), 3),
        (3 * 84 * 84, (3, 84, 84), 25),
    ],
)
def test_features_of_images_of_any_size(n_features_in, image_shape, width):
    X = torch.randn(2, n_features_in)
    body = Conv4(n_features_in, image_shape=image_shape, n_channels=8)
    assert body(X).shape == (2, 8 * width)
    head = Conv4(n_features_in, 5, image_shape=image_shape, n_channels=8)
    assert head(X).shape == (2, 5)
    pooled = ResNet12(n_features_in, image_shape=image_shape, **NARROW[ResNet12])
    assert pooled(X).shape == (2, 16)
    assert ResNet12(n_features_in, 5, image_shape=image_shape, **NARROW[ResNet12])(X).shape == (
        2,
        5,
    )


def test_standard_widths():
    X = torch.randn(2, 784)
    assert Conv4(784)(X).shape == (2, 64)
    wide = ResNet12(784)
    assert wide(X).shape == (2, 640)
    convolutions = [m for m in wide.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] == 3]
    assert len(convolutions) == 12


def test_conv4_is_what_it_says():
    network = Conv4(2 * 20 * 30, 3, image_shape=(2, 20, 30), n_channels=6, n_groups=3)
    X = torch.randn(4, 1200)
    value = X.reshape(4, 2, 20, 30)
    convolutions = [m for m in network if isinstance(m, nn.Conv2d)]
    norms = [m for m in network if isinstance(m, nn.GroupNorm)]
    for convolution, norm in zip(convolutions, norms, strict=True):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        value = functional.conv2d(value, convolution.weight, convolution.bias, padding=1)
        groups = value.reshape(4, 3, -1)
        variance, mean = torch.var_mean(groups, dim=2, keepdim=True, correction=0)
        value = ((groups - mean) / (variance + 1e-5).sqrt()).reshape(value.shape)
        value = value * norm.weight[:, None, None] + norm.bias[:, None, None]
        value = functional.max_pool2d(torch.relu(value), 2)
    assert len(convolutions) == 4
    torch.testing.assert_close(network(X), network[-1](value.flatten(1)))


def test_a_residual_block_whose_path_is_zero_is_its_shortcut():
    network = ResNet12(256, **NARROW[ResNet12])
    block = network[1]
    nn.init.zeros_(block.path[-1].weight)
    X = torch.randn(3, 1, 16, 16)
    shortcut = block.shortcut(X)
    torch.testing.assert_close(block(X), torch.where(shortcut > 0, shortcut, 0.1 * shortcut))


@both
def test_the_output_of_a_row_does_not_depend_on_the_others(body):
    network = body(784, 3, **NARROW[body]).double()
    network.eval()
    X = torch.randn(6, 784, dtype=torch.float64)
    together = network(X)
    for row in range(6):
        torch.testing.assert_close(network(X[row : row + 1]), together[row : row + 1])


@both
def test_no_running_statistics_and_every_weight_learns(body):
    network = body(784, 3, **NARROW[body])
    assert list(network.buffers()) == []
    network(torch.randn(6, 784)).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad.abs().sum() > 0, name


@both
def test_images_that_are_none_are_named(body):
    with pytest.raises(ValueError, match="n_features_in=785 is no square image"):
        body(785)
    with pytest.raises(ValueError, match=r"image_shape=\(3, 28, 28\) has 2352 numbers"):
        body(784, image_shape=(3, 28, 28))
    with pytest.raises(ValueError, match=r"image_shape=\(784,\) must be \(height, width\)"):
        body(784, image_shape=(784,))
    with pytest.raises(ValueError, match="15 x 60 pixels are too small"):
        body(900, image_shape=(15, 60))


def test_widths_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="n_groups=8 must divide the number of channels, 12"):
        Conv4(784, n_channels=12, n_groups=8)
    with pytest.raises(ValueError, match="n_groups=0"):
        Conv4(784, n_groups=0)
    with pytest.raises(ValueError, match=r"n_channels=\(8, 8\) must have four"):
        ResNet12(784, n_channels=(8, 8))


@pytest.mark.parametrize(("size", "side"), [(1, 6), (3, 12), (5, 5), (7, 5)])
def test_dropblock_keeps_every_expectation(size, side):
    layer = DropBlock(0.2, size)
    n = 60_000
    mean = layer(torch.ones(n, 1, side, side + 1)).mean(dim=0)
    # The variance of a kept number over the chance to be kept; five standard errors.
    assert (mean - 1).abs().max() < 5 * (0.35 / 0.65 / n) ** 0.5


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_dropblock_drops_about_its_rate(size, rate):
    share = (DropBlock(rate, size)(torch.ones(400, 8, 20, 20)) == 0).float().mean().item()
    assert share == pytest.approx(rate, rel=0.03 if size == 1 else 0.15)
    assert share < rate * 1.03  # overlaps can only lower it


def test_dropblock_drops_whole_squares_of_a_channel():
    size = 3
    dropped = DropBlock(0.1, size)(torch.ones(200, 4, 11, 11)) == 0
    assert 0.05 < dropped.float().mean() < 0.11
    inside = functional.avg_pool2d(dropped.float(), size, stride=1) == 1
    squares = functional.max_pool2d(
        functional.pad(inside.float(), (size - 1,) * 4), size, stride=1
    ).bool()
    assert torch.equal(squares, dropped)
    assert not torch.equal(dropped[:, 0], dropped[:, 1])


def test_dropblock_of_a_map_smaller_than_its_squares_drops_channels():
    kept = DropBlock(0.3, 5)(torch.ones(500, 8, 3, 3)) != 0
    assert torch.equal(kept.any(dim=(2, 3)), kept.all(dim=(2, 3)))
    assert kept.float().mean() == pytest.approx(0.7, abs=0.03)


def test_dropblock_does_nothing_in_use_or_at_rate_0():
    X = torch.randn(5, 2, 9, 9)
    assert DropBlock(0.5, 3).eval()(X) is X
    assert DropBlock(0.0, 3)(X) is X


@pytest.mark.parametrize(("rate", "size"), [(1.0, 3), (-0.1, 3), (0.1, 0)])
def test_dropblock_refuses_what_is_out_of_range(rate, size):
    with pytest.raises(ValueError, match="must be at least"):
        DropBlock(rate, size)


def test_resnet12_drops_in_training_only():
    network = ResNet12(784, drop_rate=0.3, **NARROW[ResNet12])
    X = torch.randn(4, 784)
    assert not torch.equal(network(X), network(X))
    network.eval()
    assert torch.equal(network(X), network(X))


def _characters(n_classes=8, n_rows=6):
    """Return blurred random patterns, a class for each, with noise."""
    random = np.random.default_rng(0)
    patterns = random.normal(size=(n_classes, 4, 4)).repeat(4, axis=1).repeat(4, axis=2)
    X = patterns.reshape(n_classes, -1).repeat(n_rows, axis=0)
    X = X + 0.3 * random.normal(size=X.shape)
    return X.astype(np.float32), np.arange(n_classes).repeat(n_rows)


@both
@pytest.mark.parametrize("learner", [MAMLClassifier, ANILClassifier, RidgeHeadClassifier])
def test_learners_train_them(learner, body):
    X, y = _characters()
    given = {f"module__{name}": value for name, value in NARROW[body].items()}
    steps = {} if learner is RidgeHeadClassifier else {"n_inner_steps": 2, "inner_lr": 0.1}
    model = learner(
        n_way=3,
        n_shots=2,
        n_queries=3,
        meta_batch_size=2,
        max_iter=4,
        module=body,
        net_params={"module__image_shape": (16, 16), **given},
        random_state=0,
        **steps,
    ).fit(X[:36], y[:36])
    adapted = model.adapt(X[36:][::2], y[36:][::2])
    together = adapted.predict_proba(X[36:])
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(adapted.predict_proba(X[40:41]), together[4:5], rtol=1e-4)
    assert model.transform(X).shape[0] == len(X)


@both
def test_batched_second_derivatives_are_right(body):
    """On a device other than the CPU, tasks run by vmap."""
    X, y = _characters()
    given = {f"module__{name}": value for name, value in NARROW[body].items()}
    model = MAMLClassifier(
        n_way=3, n_shots=2, max_iter=1, n_inner_steps=2, inner_lr=0.1, module=body,
        net_params=given, meta_batch_size=2, random_state=0,
    ).fit(X, y)  # fmt: skip
    seen = []

    def audit(data, sampler):
        episode = next(iter(model._stream(data, sampler)))
        seen.append(_vmap_is_right(model._steps, episode))
        model._steps.use("vmap")

    model._before_training = audit
    model.fit(X, y)
    assert seen == [True]
    assert model._steps.engine == "vmap"
