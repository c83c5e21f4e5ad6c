import builtins

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmeta.datasets import load_gapminder


def test_twelve_surveys_of_every_country():
    gapminder = load_gapminder()
    assert gapminder.data.shape == (1704, len(gapminder.feature_names)) == (1704, 6)
    assert gapminder.data.dtype == gapminder.target.dtype == np.float64
    assert_array_equal(np.unique(gapminder.groups, return_counts=True)[1], np.full(142, 12))
    year = gapminder.data[:, 0].reshape(142, 12)
    assert_array_equal(year, np.tile(np.arange(1952, 2008, 5), (142, 1)))


def test_known_values():
    gapminder = load_gapminder()
    row = list(gapminder.groups).index("Sweden") + 11
    assert gapminder.target[row] == 80.884
    assert_allclose(np.exp(gapminder.data[row, 1]), 33859.74835)
    assert_array_equal(gapminder.data[row, 2:], [0, 0, 1, 0])
    assert gapminder.feature_names[4] == "continent=Europe"


def test_pandas_is_needed_for_the_frame_only(monkeypatch):
    real_import = builtins.__import__

    def without_pandas(name, *args, **kwargs):
        if name.split(".")[0] == "pandas":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    assert load_gapminder().frame is None
    with pytest.raises(ImportError, match="pandas"):
        load_gapminder(as_frame=True)


def test_frame_holds_the_same_rows():
    pytest.importorskip("pandas")
    plain, framed = load_gapminder(), load_gapminder(as_frame=True)
    assert list(framed.frame) == ["country", "continent", "year", "lifeExp", "pop", "gdpPercap"]
    assert list(framed.data) == plain.feature_names
    assert_array_equal(framed.data, plain.data)
    assert_array_equal(framed.target, plain.target)
    assert_array_equal(framed.groups, plain.groups)
    assert framed.frame["pop"].iloc[0] == 8425333


def test_source_licence_and_units_are_told():
    description = load_gapminder().DESCR
    for word in ("gapminder.org", "Creative Commons Attribution", "in years"):
        assert word in description
