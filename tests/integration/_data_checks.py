"""Tables and pipelines around a meta-learner, compared with doing it by hand."""

from __future__ import annotations

import io
import tempfile
import warnings
from typing import Any

import joblib
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from _given import FEATURES, GROUPS, Given, Y, close
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import PerTask, Shared, UnseenTaskWarning

_FITS = []


class CountedScaler(StandardScaler):
    """Notes when it is fitted."""

    def fit(self, X, y=None, sample_weight=None):
        _FITS.append(len(X))
        return super().fit(X, y, sample_weight)


def pipeline(given: Given, scaler: Any = None, **options: Any) -> Pipeline:
    scale = Shared(scaler or StandardScaler(), task_column=given.column)
    return Pipeline([("scale", scale), ("learn", given.regressor)], **options)


# Tables


def arrays(given):
    numbers = np.unique(GROUPS, return_inverse=True)[1]
    frame = given.fit(given.regressor)
    if given.routed:
        model = given.regressor.fit(FEATURES.to_numpy(), Y, groups=numbers)
        predicted = model.predict(FEATURES.to_numpy(), groups=numbers)
    else:
        X = np.column_stack([numbers, FEATURES])
        predicted = given.regressor.set_params(task_column=0).fit(X, Y).predict(X)
    close(predicted, given.ask(frame))


def pandas_frames(given):
    model = given.fit(given.regressor)
    assert_array_equal(model.feature_names_in_, given.X.columns)
    predicted = given.ask(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenTaskWarning)
        unseen = np.full(len(Y), "nowhere")
        other = given.X if given.routed else given.X.assign(school=unseen)
        prior = model.predict(other, **({"groups": unseen} if given.routed else {}))
    assert np.abs(predicted - prior).mean() > 1e-3  # each row is predicted by its task
    with pytest.raises(ValueError, match="feature names"):
        model.predict(given.X.rename(columns={"a": "z"}), **given.groups())


def _other_library(given, table):
    model = given.regressor.fit(table, Y, **given.groups())
    close(model.predict(table, **given.groups()), given.ask(given.fit(given.regressor)))


def polars_frames(given):
    _other_library(given, pl.DataFrame(given.X.to_dict("list")))


def arrow_tables(given):
    _other_library(given, pa.table(given.X.to_dict("list")))


def set_output(given):
    expected = given.ask(given.fit(pipeline(given)))
    for name, library in (("pandas", type(given.X)), ("polars", pl.DataFrame)):
        pipe = given.fit(pipeline(given).set_output(transform=name))
        scaled = pipe[:-1].transform(given.X)
        assert type(scaled) is library
        assert list(scaled.columns) == list(given.X.columns)
        close(given.ask(pipe), expected)
        learner = pipe[-1].set_output(transform=name) if hasattr(pipe[-1], "transform") else None
        if learner is not None:
            features = learner.transform(scaled, **given.groups())
            assert list(features.columns) == list(learner.get_feature_names_out())


# Composition


def cached_pipeline(given):
    with tempfile.TemporaryDirectory() as folder:
        pipe = pipeline(given, CountedScaler(), memory=folder)
        _FITS.clear()
        predicted = [given.ask(given.fit(clone(pipe))) for _ in range(2)]
    assert len(_FITS) == 1
    assert_array_equal(*predicted)
    close(predicted[0], given.ask(given.fit(pipeline(given))))


def column_transformer(given):
    kinds = [("scale", StandardScaler(), ["a", "b"])]
    columns = ColumnTransformer(kinds, remainder="passthrough", verbose_feature_names_out=False)
    pipe = Pipeline([("columns", columns), ("learn", given.regressor)])
    predicted = given.ask(given.fit(pipe.set_output(transform="pandas")))
    close(predicted, given.ask(given.fit(pipeline(given))))


def per_task_transformer(given):
    scale = PerTask(StandardScaler(), task_column=given.column)
    pipe = given.fit(Pipeline([("scale", scale), ("learn", given.regressor)]))
    by_hand = FEATURES.groupby(GROUPS).transform(lambda x: (x - x.mean()) / x.std(ddof=0))
    X = by_hand if given.routed else by_hand.assign(school=GROUPS)[["a", "school", "b"]]
    model = given.regressor.fit(X, Y, **given.groups())
    close(given.ask(pipe), model.predict(X, **given.groups()))


def transformed_target(given):
    cubic = TransformedTargetRegressor(given.regressor, func=np.cbrt, inverse_func=_cube)
    by_hand = given.ask(given.fit(given.regressor, np.cbrt(Y))) ** 3
    close(given.ask(given.fit(cubic)), by_hand)


def _cube(values):
    return values**3


def joblib_files(given):
    model, file = given.fit(pipeline(given)), io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    assert_array_equal(given.ask(joblib.load(file)), given.ask(model))
