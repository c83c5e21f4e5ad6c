"""A file gives back the estimator that was saved, and nothing else."""

from __future__ import annotations

import os
import pickle
import subprocess

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from _files import rewritten
from _instances import INSTANCES, VARIANTS
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

import skmeta
from skmeta import (
    AutoMetaClassifier,
    AutoMetaRegressor,
    EmpiricalBayesClassifier,
    EmpiricalBayesRegressor,
    HeTRoM,
    MAMLRegressor,
    MultiHeadClassifier,
    MultiHeadRegressor,
    PerTask,
    RidgeHeadRegressor,
    Shared,
    TaskGrouping,
)

_QUICK = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


def tasks_for(estimator):
    make = (
        skmeta.make_classification_tasks if is_classifier(estimator) else skmeta.make_linear_tasks
    )
    return make(20, 12, random_state=0)


def saved_and_loaded(estimator, folder, **options):
    path = folder / "estimator.safetensors"
    skmeta.save(estimator, path)
    return skmeta.load(path, **options)


def outputs(estimator, X, **given):
    yield estimator.predict(X, **given)
    for name in ("predict_proba", "transform"):
        if hasattr(estimator, name):
            yield getattr(estimator, name)(X, **given)


def assert_same(loaded, estimator, X, **given):
    pairs = list(zip(outputs(loaded, X, **given), outputs(estimator, X, **given), strict=True))
    assert pairs
    for found, expected in pairs:
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def names(params):
    """Estimators among parameters are equal if they read alike."""
    return {name: repr(value) for name, value in params.items()}


@pytest.mark.parametrize("estimator", [*INSTANCES, *VARIANTS], ids=lambda e: type(e).__name__)
def test_every_estimator_predicts_and_adapts_as_the_saved_one(estimator, tmp_path):
    tasks = tasks_for(estimator)
    drawn = getattr(estimator, "n_way", None) is not None
    given = {} if drawn else {"groups": tasks.groups}
    model = clone(estimator).fit(tasks.data, tasks.target, **given)
    loaded = saved_and_loaded(model, tmp_path)
    assert type(loaded) is type(model)
    assert names(loaded.get_params()) == names(model.get_params())
    assert_same(loaded, model, tasks.data, **given)
    assert names(clone(loaded).get_params()) == names(estimator.get_params())

    few = np.concatenate([np.flatnonzero(tasks.groups == group)[:6] for group in range(3)])
    rest = np.setdiff1d(np.flatnonzero(tasks.groups < 3), few)
    labels = np.array([f"task {group}" for group in tasks.groups])
    adapted = model.adapt(tasks.data[few], tasks.target[few], groups=labels[few])
    again = loaded.adapt(tasks.data[few], tasks.target[few], groups=labels[few])
    assert_same(again, adapted, tasks.data[rest], groups=labels[rest])
    assert_same(saved_and_loaded(adapted, tmp_path), adapted, tasks.data[rest], groups=labels[rest])


def test_what_is_loaded_pickles_and_fits_again(tmp_path):
    tasks = skmeta.make_linear_tasks(20, 8, random_state=0)
    model = MAMLRegressor(**_QUICK).fit(tasks.data, tasks.target, groups=tasks.groups)
    loaded = pickle.loads(pickle.dumps(saved_and_loaded(model, tmp_path)))
    assert_same(loaded, model, tasks.data, groups=tasks.groups)
    loaded.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert_same(loaded, model, tasks.data, groups=tasks.groups)


def test_an_estimator_that_is_not_fitted_keeps_its_parameters(tmp_path):
    model = MAMLRegressor(
        n_shots=(1, 3),
        module=skmeta.MLP,
        optimizer=skmeta.SAM,
        net_params={"module__hidden_layer_sizes": (4,)},
        random_state=np.random.RandomState(3),
        inner_lr=np.float32(0.3),
        lr=float("inf"),
    )
    loaded = saved_and_loaded(model, tmp_path)
    found, expected = loaded.get_params(), model.get_params()
    assert loaded.random_state.rand() == model.random_state.rand()
    del found["random_state"], expected["random_state"]
    assert found == expected
    assert type(loaded.inner_lr) is np.float32
    assert not hasattr(loaded, "net_")


def test_a_pipeline_that_carries_a_frame_with_names_as_tasks(tmp_path):
    tasks = skmeta.make_linear_tasks(20, 8, 2, random_state=0)
    X = pd.DataFrame(tasks.data, columns=["size", "age"])
    X["city"] = [f"city {label}" for label in tasks.groups]
    model = make_pipeline(
        Shared(StandardScaler(), task_column="city"),
        PerTask(StandardScaler(with_std=False), task_column="city"),
        EmpiricalBayesRegressor(task_column="city"),
    ).fit(X, tasks.target)
    loaded = saved_and_loaded(model, tmp_path)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    new = X[:4].assign(city="new")
    adapted = skmeta.adapt(model, new, tasks.target[:4])
    again = skmeta.adapt(loaded, new, tasks.target[:4])
    np.testing.assert_array_equal(again.predict(new), adapted.predict(new))


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
@pytest.mark.parametrize("classification", [False, True])
def test_an_automatic_learner_of_a_frame(library, classification, tmp_path):
    tasks = skmeta.make_linear_tasks(20, 8, 2, random_state=0)
    columns = {"size": tasks.data[:, 0], "age": tasks.data[:, 1]}
    X = library.DataFrame({**columns, "city": [f"city {label}" for label in tasks.groups]})
    y = np.where(tasks.target > 0, "high", "low") if classification else tasks.target
    auto = AutoMetaClassifier if classification else AutoMetaRegressor
    candidates = {"pooled": LogisticRegression() if classification else Ridge()}
    model = auto(candidates=candidates, n_splits=2, task_column="city", random_state=0).fit(X, y)
    loaded = saved_and_loaded(model, tmp_path)
    assert_same(loaded, model, X)
    assert_same(loaded.adapt(X[:4], y[:4]), model.adapt(X[:4], y[:4]), X[:4])
    assert type(loaded.leaderboard_) is library.DataFrame
    assert loaded.leaderboard_.equals(model.leaderboard_)


def test_a_pipeline_of_columns(tmp_path):
    tasks = skmeta.make_linear_tasks(20, 8, 2, random_state=0)
    X = pd.DataFrame(tasks.data, columns=["size", "age"])
    X["kind"] = np.where(X["age"] > 0, "old", "new")
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(FunctionTransformer(np.tanh), StandardScaler()), ["size"]),
            ("kinds", OneHotEncoder(sparse_output=False), ["kind"]),
        ],
        remainder="passthrough",
    )
    model = make_pipeline(columns, RidgeHeadRegressor(**_QUICK))
    model.fit(X, tasks.target, ridgeheadregressor__groups=tasks.groups)
    loaded = saved_and_loaded(model, tmp_path)
    inner = model[:-1].transform(X)
    np.testing.assert_array_equal(loaded[:-1].transform(X), inner)
    assert_same(loaded[-1], model[-1], inner, groups=tasks.groups)


def test_the_best_estimator_of_a_search(tmp_path):
    tasks = skmeta.make_linear_tasks(20, 8, random_state=0)
    X = np.column_stack([tasks.groups, tasks.data])
    search = GridSearchCV(
        RidgeHeadRegressor(task_column=0, **_QUICK),
        {"module__activation": ["relu", "tanh"], "lr": [1e-3, 1e-2]},
        cv=skmeta.EpisodicKFold(2, n_shots=4, task_column=0, random_state=0),
    ).fit(X, tasks.target)
    loaded = saved_and_loaded(search.best_estimator_, tmp_path)
    np.testing.assert_array_equal(loaded.predict(X), search.predict(X))
    assert loaded.get_params() == search.best_estimator_.get_params()
    with pytest.raises(TypeError, match="GridSearchCV is not saved; save its best_estimator_"):
        skmeta.save(search, tmp_path / "search.safetensors")


def test_nested_meta_transformers(tmp_path):
    tasks = skmeta.make_linear_tasks(20, 12, random_state=0)
    grouping = TaskGrouping(MAMLRegressor(n_shots=3, **_QUICK), n_groups=2, random_state=0)
    model = HeTRoM(grouping).fit(tasks.data, tasks.target, groups=tasks.groups.astype(object))
    loaded = saved_and_loaded(model, tmp_path)
    assert_same(loaded, model, tasks.data, groups=tasks.groups)
    np.testing.assert_array_equal(loaded.suspect_tasks_, model.suspect_tasks_)
    np.testing.assert_array_equal(loaded.estimator_.labels_, model.estimator_.labels_)


@pytest.mark.parametrize(
    "model",
    [
        EmpiricalBayesRegressor(offset=HistGradientBoostingRegressor(max_iter=5)),
        EmpiricalBayesClassifier(offset=HistGradientBoostingClassifier(max_iter=5)),
        MultiHeadRegressor(head=Ridge(alpha=0.3), **_QUICK),
        MultiHeadClassifier(head=LogisticRegression(C=2.0), **_QUICK),
        MultiHeadClassifier(head=SVC(), **_QUICK),
        MultiHeadClassifier(head=KNeighborsClassifier(2), **_QUICK),
        MultiHeadClassifier(head=SGDClassifier(random_state=0), **_QUICK),
        make_pipeline(SplineTransformer(), RidgeHeadRegressor(**_QUICK)),
        make_pipeline(SelectKBest(k=2), PCA(), EmpiricalBayesClassifier()),
    ],
    ids=lambda model: repr(model)[:60],
)
def test_fitted_estimators_of_scikit_learn(model, tmp_path):
    tasks = tasks_for(model)
    given = {} if isinstance(model, Pipeline) else {"groups": tasks.groups}
    model.fit(tasks.data, tasks.target, **given)
    loaded = saved_and_loaded(model, tmp_path)
    np.testing.assert_array_equal(
        loaded.predict(tasks.data, **given), model.predict(tasks.data, **given)
    )


class Body(nn.Module):
    def __init__(self, n_features_in, width=6):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(n_features_in, width), nn.LayerNorm(width))
        self.register_buffer("scale", torch.tensor(0.5))
        self.again = self.inner  # a module may hang in two places

    def forward(self, X):
        return torch.tanh(self.again(X)) * self.scale


@pytest.mark.parametrize("module", [Body, Body(5, 4), Body(5, 4).to(torch.float64)])
def test_a_module_of_the_reader(module, tmp_path):
    tasks = skmeta.make_linear_tasks(20, 8, random_state=0)
    model = RidgeHeadRegressor(module=module, max_iter=5, random_state=0)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    loaded = saved_and_loaded(model, tmp_path, trusted=[Body])
    assert_same(loaded, model, tasks.data, groups=tasks.groups)
    network = loaded.net_.module_.body
    assert network.again is network.inner
    with pytest.raises(ValueError, match=r"test_save_and_load:Body.*trusted=\[Body\]"):
        skmeta.load(tmp_path / "estimator.safetensors")


def test_requests_for_metadata_are_kept(tmp_path):
    tasks = skmeta.make_linear_tasks(20, 8, random_state=0)
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        model = make_pipeline(scaler, RidgeHeadRegressor(**_QUICK))
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
        loaded = saved_and_loaded(model, tmp_path)
        found = loaded.predict(tasks.data, groups=tasks.groups)
        np.testing.assert_array_equal(found, model.predict(tasks.data, groups=tasks.groups))
        assert loaded[0].get_metadata_routing().fit.requests == {"sample_weight": True}


def test_a_class_of_the_reader_may_have_moved(tmp_path):
    tasks = skmeta.make_linear_tasks(20, 8, random_state=0)
    model = RidgeHeadRegressor(module=Body, max_iter=2).fit(tasks.data, tasks.target)
    moved = type("Body", (Body,), {"__module__": "elsewhere"})
    loaded = saved_and_loaded(model, tmp_path, trusted=[moved])
    assert type(loaded.net_.module_.body) is moved
    assert_same(loaded, model, tasks.data)


def test_what_only_training_needs_is_left_out(tmp_path):
    class Stop(EarlyStopping):
        pass

    tasks = skmeta.make_linear_tasks(20, 8, random_state=0)
    callbacks = [Stop(monitor="train_loss", patience=100)]
    model = RidgeHeadRegressor(callbacks=callbacks, **_QUICK).fit(tasks.data, tasks.target)
    loaded = saved_and_loaded(model, tmp_path)
    assert loaded.callbacks is None
    assert not hasattr(loaded.net_, "optimizer_")
    assert loaded.net_.history == model.net_.history
    assert loaded.net_.history[:, "train_loss"] == model.net_.history[:, "train_loss"]
    assert "initialized" in repr(loaded.net_)


def test_a_history_that_is_not_plain_is_left_out(tmp_path):
    class Record(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("net", object())

    tasks = skmeta.make_linear_tasks(20, 8, random_state=0)
    model = RidgeHeadRegressor(callbacks=[Record()], **_QUICK).fit(tasks.data, tasks.target)
    assert len(saved_and_loaded(model, tmp_path).net_.history) == 0


class Doubled(TransformerMixin, BaseEstimator):
    def __init__(self, by=2):
        self.by = by

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return self.by * X


def test_a_transformer_of_the_reader(tmp_path):
    tasks = skmeta.make_linear_tasks(20, 8, random_state=0)
    model = make_pipeline(Doubled(), EmpiricalBayesRegressor()).fit(tasks.data, tasks.target)
    loaded = saved_and_loaded(model, tmp_path, trusted=[Doubled])
    np.testing.assert_array_equal(loaded.predict(tasks.data), model.predict(tasks.data))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Shared(FunctionTransformer(lambda X: X)),
            r"Shared\.transformer\.func is the function .*<la",
        ),
        (
            Shared(FunctionTransformer(os.system)),
            r"Shared\.transformer\.func is the function .*system",
        ),
        (
            MAMLRegressor(net_params={"a": object()}),
            r"MAMLRegressor\.net_params\['a'\] is of the type",
        ),
        (
            MAMLRegressor(net_params={"a": [subprocess.Popen]}),
            r"\['a'\]\[0\] is of .*subprocess:Popen",
        ),
        (MAMLRegressor(inner_lr=1j), r"MAMLRegressor\.inner_lr is of the type builtins:complex"),
        (MAMLRegressor(lr=torch.ones(2, dtype=torch.bfloat16)), "lr is a tensor of torch.bfloat16"),
    ],
    ids=["lambda", "system", "object", "class", "complex", "bfloat16"],
)
def test_what_cannot_be_stored_is_named_when_saving(model, message, tmp_path):
    path = tmp_path / "estimator.safetensors"
    with pytest.raises(ValueError, match=message + ".*pickle"):
        skmeta.save(model, path)
    assert not path.exists()


def test_only_estimators_are_saved(tmp_path):
    with pytest.raises(TypeError, match="takes an estimator, got dict"):
        skmeta.save({}, tmp_path / "estimator.safetensors")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.array(3.5, dtype=np.float16),
        np.empty((0, 3), dtype=np.int8),
        np.array(["a", "bcd"]),
        np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
        np.array([1 + 2j]),
        np.arange(3, dtype=">i4"),
        np.array([(1, 2.5)], dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        np.array([("x", 1)], dtype=[("task", object), ("loss", float)]),
        np.array([["x", 1, None], [2.5, ("a", 1), float("inf")]], dtype=object),
        np.arange(10)[::3],
    ],
    ids=[
        "fortran",
        "half",
        "empty",
        "text",
        "dates",
        "complex",
        "big",
        "records",
        "mixed",
        "objects",
        "strided",
    ],
)
def test_arrays_keep_type_shape_and_order_of_memory(array, tmp_path):
    found = saved_and_loaded(StandardScaler(with_mean=array), tmp_path).with_mean
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.flags.f_contiguous == array.flags.f_contiguous or array.ndim == 1
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


def test_values_keep_their_type_and_what_is_shared_stays_shared(tmp_path):
    shared = np.ones(3)
    loop = [shared]
    loop.append(loop)
    values = {
        "loop": loop,
        "shared": shared,
        2: (1, -1.5, True, None, 10**30),
        ("a", 1): {3, 4},
        "frozen": frozenset("a"),
        "slice": slice(1, None),
        "types": [np.dtype("f4"), torch.float64, float, nn.Linear, torch.optim.Adam, np.float32],
        "device": torch.device("cpu"),
        "size": torch.Size([2, 3]),
        "nan": np.float64("nan"),
    }
    found = saved_and_loaded(StandardScaler(with_mean=values), tmp_path).with_mean
    assert found["loop"][1] is found["loop"]
    assert found["loop"][0] is found["shared"]
    assert np.isnan(found["nan"])
    plain = [2, ("a", 1), "frozen", "slice", "types", "device", "size"]
    assert [found[name] for name in plain] == [values[name] for name in plain]
    assert type(found["size"]) is torch.Size


def test_a_device_that_is_missing_becomes_the_cpu(tmp_path):
    tasks = skmeta.make_linear_tasks(10, 6, random_state=0)
    model = RidgeHeadRegressor(**_QUICK).fit(tasks.data, tasks.target)
    path = tmp_path / "estimator.safetensors"
    skmeta.save(model, path)
    rewritten(path, change=lambda text: text.replace('"cpu"', '"cuda:99"'))
    with pytest.warns(UserWarning, match="the device 'cuda:99'.*on the CPU"):
        loaded = skmeta.load(path)
    assert loaded.device == "cpu"
    assert_same(loaded, model, tasks.data)
