"""Shared and PerTask against the transformer applied by hand."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
    TargetEncoder,
)

from skmeta import UnseenTaskWarning
from skmeta.compose import PerTask, Shared
from skmeta.model_selection import EpisodicKFold, TaskKFold

NAMES = ["north", "south", "east", "west"]
LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


@pytest.fixture
def rows():
    """Features, targets and task numbers of 4 tasks of 10 rows, in mixed order."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(4), 10))
    X = rng.normal(loc=groups[:, None], scale=1 + groups[:, None], size=(40, 3))
    return X, X.sum(axis=1), groups


def as_table(library, X, groups):
    labels = [NAMES[task] for task in groups]
    return LIBRARIES[library]({"a": X[:, 0], "task": labels, "b": X[:, 1], "c": X[:, 2]})


def by_hand(meta, transformer, X, y, groups):
    if meta is Shared:
        return clone(transformer).fit(X, y).transform(X)
    output = None
    for task in np.unique(groups):
        mine = groups == task
        part = clone(transformer).fit(X[mine], y[mine]).transform(X[mine])
        output = np.empty((len(X), part.shape[1])) if output is None else output
        output[mine] = part
    return output


both = pytest.mark.parametrize("meta", [Shared, PerTask])
transformers = pytest.mark.parametrize(
    "transformer",
    [StandardScaler(), PCA(2), SelectKBest(f_regression, k=1)],
    ids=lambda transformer: type(transformer).__name__,
)


@both
@transformers
@pytest.mark.parametrize("task_column", [0, -1])
def test_arrays_with_a_task_column(meta, transformer, task_column, rows):
    X, y, groups = rows
    expected = by_hand(meta, transformer, X, y, groups)
    table = np.insert(X, 0 if task_column == 0 else 3, groups, axis=1)
    model = meta(transformer, task_column=task_column)
    for output in (model.fit_transform(table, y), model.fit(table, y).transform(table)):
        assert output.dtype == np.float64
        assert_array_equal(output[:, task_column], groups)
        assert_allclose(np.delete(output, task_column, axis=1), expected)
    assert model.n_features_in_ == 4


@both
@transformers
def test_groups_beside_x(meta, transformer, rows):
    X, y, groups = rows
    expected = by_hand(meta, transformer, X, y, groups)
    model = meta(transformer)
    assert_allclose(model.fit_transform(X, y, groups=groups), expected)
    assert_allclose(model.fit(X, y, groups=groups).transform(X, groups=groups), expected)
    assert model.n_features_in_ == 3


@both
@transformers
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("task_column", ["task", 1, -3])
def test_frames_in_frames_out(meta, transformer, library, task_column, rows):
    X, y, groups = rows
    if task_column == -3 and type(transformer) is not StandardScaler:
        task_column = 0  # a narrower output has no such column
        table = as_table(library, X, groups)
        table = (
            table.select(["task", "a", "b", "c"])
            if library != "pandas"
            else table.reindex(columns=["task", "a", "b", "c"])
        )
    else:
        table = as_table(library, X, groups)
    model = meta(transformer, task_column=task_column)
    output = model.fit(table, y).transform(table)
    assert type(output) is type(table)
    found = {name: np.asarray(output[name]) for name in model.get_feature_names_out()}
    assert list(found) == list(getattr(output, "column_names", getattr(output, "columns", None)))
    assert found.pop("task").tolist() == [NAMES[task] for task in groups]
    assert_allclose(np.column_stack(list(found.values())), by_hand(meta, transformer, X, y, groups))


@both
def test_index_and_type_of_the_task_column_of_pandas_are_kept(meta, rows):
    X, _, groups = rows
    table = as_table("pandas", X, groups).astype({"task": "category"})
    table.index = np.arange(40)[::-1]
    output = meta(StandardScaler(), task_column="task").fit_transform(table)
    pd.testing.assert_series_equal(output["task"], table["task"])


@both
def test_an_array_of_objects_only_for_labels_that_are_not_numbers(meta, rows):
    X, _, groups = rows
    model = meta(StandardScaler(), task_column=0)
    table = np.column_stack([groups, X])
    named = np.column_stack([np.take(NAMES, groups).astype(object), X.astype(object)])
    assert model.fit_transform(table.astype(object)).dtype == np.float64
    assert model.fit_transform(table.astype(np.float32)).dtype == np.float32
    for given in (named, named.tolist()):
        output = model.fit_transform(given)
        assert output.dtype == object
        assert output[:, 0].tolist() == named[:, 0].tolist()
        assert_allclose(output[:, 1:].astype(float), model.fit_transform(table)[:, 1:])


@both
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_and_global_output(meta, library, rows):
    X, _, groups = rows
    table = np.column_stack([groups, X])
    model = meta(StandardScaler(), task_column=0)
    expected = model.fit_transform(table)
    with config_context(transform_output=library):
        by_config = model.fit_transform(table)
    for output in (by_config, clone(model).set_output(transform=library).fit_transform(table)):
        assert isinstance(output, LIBRARIES[library])
        assert list(output.columns) == ["x0", "x1", "x2", "x3"]
        assert_allclose(output.to_numpy(), expected)
    if library == "pandas":
        assert by_config.index.equals(pd.RangeIndex(40))


@both
def test_names_of_the_output(meta, rows):
    X, _, groups = rows
    model = meta(PCA(2), task_column=2).fit(np.insert(X, 2, groups, axis=1))
    assert model.get_feature_names_out().tolist() == ["pca0", "pca1", "x2"]
    assert model.get_feature_names_out(["a", "b", "who", "c"]).tolist() == ["pca0", "pca1", "who"]
    with pytest.raises(ValueError, match="input_features should have length"):
        model.get_feature_names_out(["a"])
    assert not hasattr(meta(FunctionTransformer()), "get_feature_names_out")


@pytest.mark.parametrize("library", LIBRARIES)
def test_features_without_names_keep_theirs_or_get_some(library, rows):
    X, _, groups = rows
    table = as_table(library, X, groups)

    def names(function):
        shared = Shared(FunctionTransformer(function, validate=True), task_column="task")
        output = shared.fit_transform(table)
        return list(getattr(output, "column_names", getattr(output, "columns", None)))

    assert names(np.abs) == ["a", "task", "b", "c"]
    assert names(lambda X: X[:, :2]) == ["x0", "task", "x1"]


@both
def test_an_index_that_no_longer_fits_is_an_error(meta, rows):
    X, _, groups = rows
    with pytest.raises(ValueError, match=r"task_column=2 is no column .* task_column=0 or -1"):
        meta(PCA(1), task_column=2).fit_transform(np.insert(X, 2, groups, axis=1))


@both
def test_sparse_output_has_no_place_for_a_task_column(meta, rows):
    _, _, groups = rows
    encoder = OneHotEncoder(categories=[[0, 1, 2, 3]])
    table = np.column_stack([groups, groups])
    with pytest.raises(ValueError, match="sparse_output=False"):
        meta(encoder, task_column=0).fit_transform(table)
    output = meta(encoder).fit_transform(groups[:, None], groups=groups)
    assert scipy.sparse.issparse(output)
    assert_array_equal(output.toarray(), np.eye(4)[groups])


@both
def test_sparse_rows_with_groups(meta, rows):
    X, y, groups = rows
    scaler = StandardScaler(with_mean=False)
    for kind in ("csr", "csc", "coo"):
        sparse = scipy.sparse.coo_array(X).asformat(kind)
        output = meta(scaler).fit_transform(sparse, groups=groups)
        assert_allclose(output.toarray(), by_hand(meta, scaler, X, y, groups))


@both
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_column_transformer_inside(meta, library, rows):
    X, y, groups = rows
    table = as_table(library, X, groups)
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), ["c"]), ("kept", "passthrough", ["a"])]
    )
    output = meta(columns, task_column="task").fit_transform(table)
    assert list(output.columns) == ["scaled__c", "task", "kept__a"]
    expected = by_hand(meta, StandardScaler(), X[:, [2]], y, groups)
    assert_allclose(output["scaled__c"].to_numpy(), expected[:, 0])
    assert_allclose(output["kept__a"].to_numpy(), X[:, 0])


def test_a_feature_called_like_the_task_column_is_an_error(rows):
    X, _, groups = rows
    renaming = FunctionTransformer(lambda X: X.rename(columns={"a": "task"}))
    with pytest.raises(ValueError, match="name of the task column, 'task'"):
        Shared(
            renaming.set_params(feature_names_out=lambda self, names: ["task", "b", "c"]),
            task_column="task",
        ).fit_transform(as_table("pandas", X, groups))


@pytest.mark.parametrize("container", ["numpy", "pandas", "polars"])
def test_shared_undoes_what_it_did(container, rows):
    X, _, groups = rows
    if container == "numpy":
        table, column = np.column_stack([X, groups]), -1
    else:
        table, column = as_table(container, X, groups), "task"
    for transformer in (StandardScaler(), PCA()):
        shared = Shared(transformer, task_column=column).fit(table)
        back = shared.inverse_transform(shared.transform(table))
        if container == "numpy":
            assert_allclose(back, table)
        else:
            assert list(back.columns) == list(table.columns)
            assert_allclose(back["a"].to_numpy(), X[:, 0])
            assert back["task"].to_list() == table["task"].to_list()
    plain = Shared(StandardScaler()).fit(X)
    assert_allclose(plain.inverse_transform(plain.transform(X)), X)
    assert not hasattr(Shared(TargetEncoder()), "inverse_transform")


@both
def test_fit_transform_is_that_of_the_transformer(meta, rows):
    """A target encoder encodes its own training rows by cross-fitting, not by `transform`."""
    _, y, groups = rows
    codes = np.column_stack([groups, np.arange(40) % 2])
    model = meta(TargetEncoder(), task_column=0)
    assert not np.allclose(model.fit_transform(codes, y), model.fit(codes, y).transform(codes))


@both
def test_parameters_clone_and_pickle(meta, rows):
    X, _, groups = rows
    table = np.column_stack([groups, X])
    model = meta(StandardScaler(with_mean=False), task_column=0)
    assert model.get_params()["transformer__with_mean"] is False
    model = clone(model.set_params(transformer__with_mean=True)).fit(table)
    assert_array_equal(pickle.loads(pickle.dumps(model)).transform(table), model.transform(table))
    assert not hasattr(model.transformer, "mean_")


@both
def test_bad_input_is_named_and_leaves_the_estimator_as_it_was(meta, rows):
    X, _, groups = rows
    model = meta(StandardScaler(), task_column=0).fit(np.column_stack([groups, X]))
    before = pickle.dumps(model)
    missing = np.column_stack([groups, X])
    missing[3, 0] = np.nan
    infinite = np.column_stack([groups, X])
    infinite[3, 2] = np.inf
    for bad, message in [
        (groups[:, None], "X has 1 feature.s., and it is the task column 0"),
        (missing, "every row needs a task"),
        (infinite, "infinity"),
        (X[:0], "0 sample"),
        (X[:, 0], "Expected 2D array"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(bad)
        assert pickle.dumps(model) == before
    with pytest.raises(ValueError, match="Both groups and task_column"):
        model.fit(X, groups=groups)
    with pytest.raises(ValueError, match=r"3 features, but .* expecting 4"):
        model.transform(X)
    with pytest.raises(ValueError, match="not a data frame"):
        meta(StandardScaler(), task_column="task").fit(X)
    with pytest.raises(ValueError, match="39 labels for the 40 rows"):
        meta(StandardScaler()).fit(X, groups=groups[1:])


def test_rows_of_an_unseen_task(rows):
    X, _, groups = rows
    seen = groups < 3
    model = PerTask(StandardScaler()).fit(X[seen], groups=groups[seen])
    with pytest.warns(UnseenTaskWarning, match=r"1 task\(s\) never seen .*: \[3\]") as caught:
        output = model.transform(X, groups=groups)
    assert caught[0].filename == __file__
    assert_allclose(output[~seen], StandardScaler().fit(X[seen]).transform(X[~seen]))
    assert_allclose(output[seen], model.transform(X[seen], groups=groups[seen]))
    model.set_params(unseen="raise")
    with pytest.raises(ValueError, match="Adapt to them first"):
        model.transform(X, groups=groups)
    with pytest.raises(ValueError, match="unseen='prior' must be"):
        PerTask(StandardScaler(), unseen="prior").fit(X)


@pytest.mark.parametrize("task_column", [None, 0])
def test_adapt_returns_a_copy_that_knows_the_new_tasks_alone(task_column, rows):
    X, y, groups = rows
    table = X if task_column is None else np.column_stack([groups, X])
    seen = groups < 2

    def named(where):
        return {"groups": groups[where]} if task_column is None else {}

    model = PerTask(StandardScaler(), task_column=task_column, unseen="raise")
    model.fit(table[seen], **named(seen))
    before = pickle.dumps(model)
    adapted = model.adapt(table[~seen], y[~seen], **named(~seen))
    adapted.transformer.set_params(with_mean=False)
    assert pickle.dumps(model) == before
    expected = by_hand(PerTask, StandardScaler(), X, y, groups)[~seen]
    output = pickle.loads(pickle.dumps(adapted)).transform(table[~seen], **named(~seen))
    assert_allclose(output[:, -3:], expected)
    assert list(adapted.transformers_) == [2, 3]
    assert adapted.transformer_ is model.transformer_
    with pytest.raises(ValueError, match="never seen"):
        adapted.transform(table[seen], **named(seen))


def test_adapt_to_a_single_task_without_a_name(rows):
    X, _, groups = rows
    adapted = PerTask(StandardScaler()).fit(X, groups=groups).adapt(X[:9])
    assert_allclose(adapted.transform(X[9:]), StandardScaler().fit(X[:9]).transform(X[9:]))


def test_rows_must_say_which_of_several_tasks_they_belong_to(rows):
    X, _, groups = rows
    model = PerTask(StandardScaler()).fit(X, groups=groups)
    with pytest.raises(ValueError, match="knows 4 tasks, and the rows do not say"):
        model.transform(X)


def test_a_task_the_transformer_cannot_be_fitted_on_is_named(rows):
    X, _, groups = rows
    groups = np.where(np.arange(40) == 5, 9, groups)
    with pytest.raises(ValueError, match="n_components") as caught:
        PerTask(PCA(2)).fit(X, groups=groups)
    assert caught.value.__notes__ == ["This is the transformer of task 9, of 1 row(s)."]


def test_tasks_must_give_the_same_columns(rows):
    _, _, groups = rows
    codes = np.where(groups == 0, 0, np.arange(40) % 3)[:, None]
    with pytest.raises(ValueError, match="1 to 3 columns, depending on the task"):
        PerTask(OneHotEncoder()).fit_transform(codes, groups=groups)
    table = pd.DataFrame({"task": groups, "code": groups + 10 * (np.arange(40) % 2)})
    with pytest.raises(ValueError, match="gives 2 columns for these rows, but was fitted to"):
        PerTask(OneHotEncoder(sparse_output=False), task_column="task").fit_transform(table)


@both
def test_names_and_order_of_tasks_do_not_matter(meta, rows):
    X, _, groups = rows
    order = np.random.default_rng(1).permutation(40)
    names = [NAMES[task] for task in groups[order]]
    output = meta(StandardScaler()).fit_transform(X[order], groups=names)
    assert_allclose(output, meta(StandardScaler()).fit_transform(X, groups=groups)[order])


@both
@pytest.mark.parametrize("container", ["numpy", "pandas", "polars"])
def test_in_a_plain_pipeline_with_cross_validation_and_search(meta, container, rows):
    X, y, groups = rows
    table, column = np.column_stack([groups, X]), 0
    if container != "numpy":
        columns = {"task": groups, "a": X[:, 0], "b": X[:, 1], "c": X[:, 2]}
        table, column = LIBRARIES[container](columns), "task"
    pipeline = make_pipeline(
        meta(StandardScaler(), task_column=column), meta(PCA(2), task_column=column), Ridge()
    )
    cv = EpisodicKFold(2, 4, task_column=column, random_state=0)
    scores = cross_val_score(pipeline, table, y, cv=cv, error_score="raise")
    name = f"{meta.__name__.lower()}-1__transformer__with_std"
    search = GridSearchCV(pipeline, {name: [True, False]}, cv=cv, n_jobs=2, error_score="raise")
    assert np.isfinite(scores).all()
    assert np.isfinite(search.fit(table, y).predict(table)).all()


@both
def test_groups_are_routed_through_a_pipeline_without_any_request(meta, rows):
    X, y, groups = rows
    pipeline = make_pipeline(meta(StandardScaler()), meta(MinMaxScaler()), Ridge())
    expected = Ridge()
    once = by_hand(meta, StandardScaler(), X, y, groups)
    twice = by_hand(meta, MinMaxScaler(), once, y, groups)
    with config_context(enable_metadata_routing=True):
        pipeline.fit(X, y, groups=groups)
        assert_allclose(pipeline.predict(X, groups=groups), expected.fit(twice, y).predict(twice))
        scores = cross_val_score(
            pipeline,
            X,
            y,
            cv=EpisodicKFold(2, 4, random_state=0),
            params={"groups": groups},
            scoring="r2" if meta is Shared else None,
            error_score="raise",
        )
    assert np.isfinite(scores).all()


def test_unseen_tasks_in_cross_validation_warn(rows):
    X, y, groups = rows
    pipeline = make_pipeline(PerTask(StandardScaler(), task_column=0), Ridge())
    table = np.column_stack([groups, X])
    with pytest.warns(UnseenTaskWarning):
        scores = cross_val_score(pipeline, table, y, cv=TaskKFold(4, task_column=0))
    assert np.isfinite(scores).all()
