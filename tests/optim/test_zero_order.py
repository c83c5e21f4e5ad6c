"""Gradients without derivatives: exact on lines, biased by curvature, as noisy as theory says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.svm import SVR

from skmeta import zero_order_gradient
from skmeta.optim import _zero_order

SLOPE = np.array([1.0, -2.0, 0.5, 3.0])
CURVATURE = np.array([[2.0, 0.5, 0, 0], [0.5, 1.0, 0, 0], [0, 0, 3.0, -1], [0, 0, -1, 1.0]])


def line(X):
    return X @ SLOPE


def bowl(X):
    return 0.5 * np.einsum("ni,ij,nj->n", X, CURVATURE, X)


@pytest.fixture(name="X")
def rows():
    return np.random.default_rng(0).normal(size=(5, 4))


@pytest.mark.parametrize("smoothing", [1e-3, 0.1, 1.0])
def test_axes_are_biased_by_half_the_curvature(X, smoothing):
    bias = smoothing / 2 * np.diag(CURVATURE)
    found = zero_order_gradient(bowl, X, smoothing=smoothing)
    np.testing.assert_allclose(found, X @ CURVATURE + bias, rtol=1e-8)


def test_axes_are_scipys_forward_differences(X):
    model = SVR().fit(X, X[:, 0] * X[:, 1])
    expected = [approx_fprime(row, lambda x: model.predict(x[None])[0], epsilon=0.005) for row in X]
    np.testing.assert_allclose(zero_order_gradient(model.predict, X), expected, rtol=1e-8)


def test_random_directions_have_no_bias_where_curvature_is_constant():
    x = np.array([[0.3, -1.0, 2.0, 0.7]])
    same = np.repeat(x, 2000, axis=0)
    draws = zero_order_gradient(bowl, same, n_directions=4, smoothing=0.5, random_state=0)
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - (x @ CURVATURE)[0]) < 4 * error).all()


@pytest.mark.parametrize("n_directions", [1, 4, 50])
def test_variance_falls_with_directions(n_directions):
    """Of a line, a unit direction gives d u (uᵀg), whose variance is (d - 1) ‖g‖²."""
    same = np.zeros((4000, 4))
    draws = zero_order_gradient(line, same, n_directions=n_directions, random_state=0)
    variance = ((draws - SLOPE) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(variance, 3 * SLOPE @ SLOPE / n_directions, rtol=0.1)


@pytest.mark.parametrize("n_directions", [None, 7])
def test_calls_of_any_size_find_the_same(X, n_directions, monkeypatch):
    whole = zero_order_gradient(bowl, X, n_directions=n_directions, random_state=0)
    sizes = []

    def counted(rows):
        sizes.append(len(rows))
        return bowl(rows)

    monkeypatch.setattr(_zero_order, "ROWS_PER_CALL", 12)
    parts = zero_order_gradient(counted, X, n_directions=n_directions, random_state=0)
    assert max(sizes) <= 12
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_directions", [None, 3])
def test_keeps_the_precision_of_rows(X, dtype, n_directions):
    seen = set()

    def typed(rows):
        seen.add(rows.dtype)
        return line(rows)

    found = zero_order_gradient(typed, X.astype(dtype), n_directions=n_directions)
    assert found.dtype == dtype
    assert seen == {np.dtype(dtype)}


@pytest.mark.parametrize("function", [lambda X: X, lambda X: X[:1, 0], lambda X: X[:, 0] * np.nan])
def test_refuses_what_is_not_one_number_a_row(X, function):
    with pytest.raises(ValueError, match="one finite number for each of 5 rows"):
        zero_order_gradient(function, X)


@pytest.mark.parametrize("bad", [{"n_directions": 0}, {"smoothing": 0}, {"smoothing": -1.0}])
def test_refuses_numbers_out_of_range(X, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        zero_order_gradient(line, X, **bad)
