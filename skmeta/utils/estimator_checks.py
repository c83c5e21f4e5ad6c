"""Checks of the meta-learner contract, to be run beside those of scikit-learn.

Each check takes an unfitted meta-learner, works on clones of it, and fails with an
`AssertionError`. A learner needs tasks to train on: the collections here have twelve tasks of 1
to 24 rows and three features.
"""

from __future__ import annotations

import importlib
import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skmeta.exceptions import UnseenTaskWarning

__all__ = ["check_meta_learner", "meta_learner_checks"]

Check = Callable[[Any], None]

_SIZES = (1, 1, 2, 3, 6, 8, 12, 14, 16, 18, 20, 24)
_RTOL = 1e-6


def check_meta_learner(estimator: Any) -> None:
    """Check that an estimator keeps the contract of a meta-learner.

    Parameters
    ----------
    estimator : estimator
        An unfitted meta-learner, a regressor or a classifier. It is cloned, never fitted.

    Raises
    ------
    AssertionError
        If it breaks the contract.

    Examples
    --------
    >>> from skmeta import EmpiricalBayesRegressor
    >>> from skmeta.utils import check_meta_learner
    >>> check_meta_learner(EmpiricalBayesRegressor())
    """
    for check in meta_learner_checks(estimator):
        check(estimator)


def meta_learner_checks(estimator: Any) -> Iterator[Check]:
    """Yield the checks that apply to an estimator, for a test runner to name and count.

    Parameters
    ----------
    estimator : estimator
        An unfitted meta-learner.

    Yields
    ------
    check : callable
        A function of the estimator, named after the property that it checks.

    Examples
    --------
    >>> from skmeta import EmpiricalBayesClassifier
    >>> from skmeta.utils import meta_learner_checks
    >>> model = EmpiricalBayesClassifier()
    >>> names = [check.__name__ for check in meta_learner_checks(model)]
    >>> "check_proba_sums_to_one" in names
    True
    """
    yield from _CHECKS
    if is_classifier(estimator):
        yield from _CLASSIFIER_CHECKS
        if _value(estimator, "offset") is None:  # a pooled model needs one label set
            yield from _OWN_LABEL_CHECKS
        if _value(estimator, "n_way") is None:
            yield from _SHARED_LABEL_CHECKS
    else:
        yield check_adapt_rejects_another_number_of_outputs
        yield check_targets_must_be_finite
        if get_tags(estimator).target_tags.multi_output:
            yield check_several_outputs
        if "return_std" in inspect.signature(estimator.predict).parameters:
            yield check_std_is_positive
    if hasattr(estimator, "transform"):
        yield check_transform_shape_and_names
    if has_fit_parameter(estimator, "sample_weight"):
        yield check_a_row_of_weight_zero_is_no_row
    if _parameter(estimator, "random_state") is not None:
        yield check_same_random_state_same_result


# The collections, and ways of looking at a learner


class _Rows(NamedTuple):
    X: NDArray[Any]
    y: NDArray[Any]
    groups: Any

    def take(self, rows: Any) -> _Rows:
        return _Rows(self.X[rows], self.y[rows], self.groups[rows])


def _rows(estimator: Any, seed: int = 0) -> _Rows:
    """Return the rows of twelve tasks; classes are shared and evenly spread over each task."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(_SIZES)), _SIZES)
    coefficients = 1.0 + 0.3 * random.normal(size=(len(_SIZES), 3))
    X = random.normal(size=(len(groups), 3))
    signal = (X * coefficients[groups]).sum(axis=1) + 0.1 * random.normal(size=len(groups))
    if not is_classifier(estimator):
        return _Rows(X, signal, groups)
    y = np.empty(len(groups), dtype=object)
    for task in range(len(_SIZES)):
        there = np.flatnonzero(groups == task)
        ranked = there[np.argsort(signal[there])]
        y[ranked] = np.where(np.arange(len(there)) < len(there) / 2, "low", "high")
    return _Rows(X, y.astype(str), groups)


def _own_label_rows() -> _Rows:
    """Return the rows of tasks with two classes each, which no other task has."""
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(10), 16)
    half = np.tile(np.repeat([0, 1], 8), 10)
    X = random.normal(size=(len(groups), 3))
    X[:, 0] += 4.0 * half
    return _Rows(X, 2 * groups + half, groups)


def _parameter(estimator: Any, name: str) -> str | None:
    """Return the full name of a parameter, which may belong to a nested estimator."""
    names = estimator.get_params()
    found = [key for key in names if key == name or key.endswith(f"__{name}")]
    # Those of the learner, where a meta-transformer has something else with parameters.
    return min(found, key=lambda key: (not key.startswith("estimator__"), len(key)), default=None)


def _value(estimator: Any, parameter: str) -> Any:
    name = _parameter(estimator, parameter)
    return None if name is None else estimator.get_params()[name]


def _copy(estimator: Any, **parameters: Any) -> Any:
    """Return a clone that is deterministic and has some parameters set."""
    parameters = {"random_state": 0, "task_column": None, "unseen": "prior", **parameters}
    full = {_parameter(estimator, name): value for name, value in parameters.items()}
    copy = clone(estimator)
    copy.set_params(**{name: value for name, value in full.items() if name is not None})
    return copy


def _fitted(estimator: Any, rows: _Rows | None = None, **parameters: Any) -> Any:
    rows = _rows(estimator) if rows is None else rows
    return _copy(estimator, **parameters).fit(rows.X, rows.y, groups=rows.groups)


def _outputs(model: Any, X: Any, groups: Any = None) -> NDArray[Any]:
    """Return what a learner predicts, as numbers."""
    method = model.predict_proba if is_classifier(model) else model.predict
    given = {} if groups is None else {"groups": groups}
    outputs: NDArray[Any] = method(X, **given)
    return outputs


def _assert_close(actual: NDArray[Any], expected: NDArray[Any], rtol: float = _RTOL) -> None:
    scale = float(np.abs(expected).max(initial=0.0)) or 1.0
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale)


def _assert_raises(
    kind: type[Exception], what: str, function: Callable[..., Any], *args: Any, **kwargs: Any
) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnseenTaskWarning)
            function(*args, **kwargs)
    except kind:
        return
    raise AssertionError(f"Did not raise {kind.__name__} for {what}.")


def _count_unseen_warnings(function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    return sum(issubclass(entry.category, UnseenTaskWarning) for entry in caught)


def _frames(rows: _Rows) -> Iterator[Any]:
    """Yield data frames that hold the tasks in a column in their middle."""
    columns = {"a": rows.X[:, 0], "task": rows.groups, "b": rows.X[:, 1], "c": rows.X[:, 2]}
    for library in ("pandas", "polars"):
        try:
            module = importlib.import_module(library)
        except ImportError:
            continue
        yield module.DataFrame(columns)


# Tasks: what may name them, and what must not matter


def check_row_order_does_not_matter(estimator: Any) -> None:
    """The order of training rows changes no bit of a prediction."""
    rows = _rows(estimator)
    shuffled = rows.take(np.random.default_rng(2).permutation(len(rows.X)))
    assert_array_equal(
        _outputs(_fitted(estimator, shuffled), rows.X, rows.groups),
        _outputs(_fitted(estimator, rows), rows.X, rows.groups),
    )


def check_names_of_tasks_do_not_matter(estimator: Any) -> None:
    """Other labels in another order, of any hashable kind, change no bit of a prediction."""
    rows = _rows(estimator)
    expected = _outputs(_fitted(estimator, rows), rows.X, rows.groups)
    numbers = np.random.default_rng(3).permutation(len(_SIZES))[rows.groups]
    strings = np.array([f"task {number}" for number in numbers])
    tuples = [("task", int(number)) for number in numbers]
    for labels in (numbers / 4, strings, tuples):
        model = _fitted(estimator, rows._replace(groups=labels))
        assert_array_equal(_outputs(model, rows.X, labels), expected)
        assert set(model.tasks_) == set(labels)


def check_task_column_equals_groups(estimator: Any) -> None:
    """A task column, in an array or in any data frame, gives what groups give."""
    rows = _rows(estimator)
    expected = _outputs(_fitted(estimator, rows), rows.X, rows.groups)
    array = np.column_stack([rows.X, rows.groups])
    for column in (3, -1):
        model = _copy(estimator, task_column=column).fit(array, rows.y)
        assert_array_equal(_outputs(model, array), expected)
    for frame in _frames(rows):
        model = _copy(estimator, task_column="task").fit(frame, rows.y)
        assert_array_equal(_outputs(model, frame), expected)
        adapted = model.adapt(frame[-20:], rows.y[-20:])
        assert_array_equal(adapted.tasks_, [11])


def check_rows_without_task_information(estimator: Any) -> None:
    """A model that knows several tasks does not guess; one that knows a single task predicts."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    _assert_raises(ValueError, "rows without tasks", model.predict, rows.X)
    _assert_raises(ValueError, "rows without tasks", model.score, rows.X, rows.y)
    last = rows.take(rows.groups == 11)
    named = model.adapt(last.X, last.y, groups=last.groups)
    assert_array_equal(_outputs(model.adapt(last.X, last.y), rows.X), _outputs(named, rows.X))


def check_column_and_groups_at_once_raise(estimator: Any) -> None:
    """Two sources of labels are an error, in every method."""
    rows = _rows(estimator)
    array = np.column_stack([rows.X, rows.groups])
    model = _copy(estimator, task_column=3)
    _assert_raises(ValueError, "both in fit", model.fit, array, rows.y, groups=rows.groups)
    model.fit(array, rows.y)
    _assert_raises(ValueError, "both in predict", model.predict, array, groups=rows.groups)
    _assert_raises(ValueError, "both in adapt", model.adapt, array, rows.y, groups=rows.groups)


def check_groups_are_requested_by_default(estimator: Any) -> None:
    """With metadata routing, groups reach the learner without any set-up."""
    routing = _copy(estimator).get_metadata_routing()
    methods = ["fit", "predict", "score"]
    methods += [name for name in ("predict_proba", "transform") if hasattr(estimator, name)]
    for method in methods:
        assert routing.consumes(method, ["groups"]), f"{method} does not request groups."


def check_unseen_tasks_are_predicted_with_one_warning(estimator: Any) -> None:
    """Rows of tasks never seen get the prior's prediction, whatever the tasks are called."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows, unseen="prior")
    unseen = np.where(rows.groups > 5, rows.groups + 100, rows.groups)
    assert _count_unseen_warnings(model.predict, rows.X, groups=unseen) == 1
    assert _count_unseen_warnings(model.score, rows.X, rows.y, groups=unseen) == 1
    assert _count_unseen_warnings(model.predict, rows.X, groups=rows.groups) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenTaskWarning)
        outputs = _outputs(model, rows.X, unseen)
        other = _outputs(model, rows.X, np.where(unseen > 100, -1, unseen))
    assert np.isfinite(outputs).all()
    _assert_close(outputs, other)
    _assert_close(
        outputs[rows.groups <= 5],
        _outputs(model, rows.X, rows.groups)[rows.groups <= 5],
    )


def check_unseen_tasks_raise_if_asked_to(estimator: Any) -> None:
    """With unseen="raise", rows of a task never seen are an error; others are not."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows, unseen="raise")
    assert model.predict(rows.X, groups=rows.groups).shape == rows.y.shape
    _assert_raises(
        ValueError, "unseen tasks", model.predict, rows.X, groups=np.full(len(rows.X), 99)
    )
    adapted = model.adapt(rows.X[-9:], rows.y[-9:], groups=np.full(9, 99))
    assert adapted.predict(rows.X, groups=np.full(len(rows.X), 99)).shape == rows.y.shape
    _assert_raises(ValueError, "forgotten tasks", adapted.predict, rows.X, groups=rows.groups)


# Adaptation


def check_adapting_to_a_task_of_fit_changes_nothing(estimator: Any) -> None:
    """`adapt` on a task's own rows predicts as `fit` does."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    adapted = model.adapt(rows.X, rows.y, groups=rows.groups)
    expected = _outputs(model, rows.X, rows.groups)
    _assert_close(_outputs(adapted, rows.X, rows.groups), expected)
    one = rows.take(rows.groups == 8)
    alone = model.adapt(one.X, one.y)
    _assert_close(_outputs(alone, one.X), expected[rows.groups == 8])


def check_adapting_many_tasks_equals_one_at_a_time(estimator: Any) -> None:
    """One call for ragged tasks gives what a call for each gives."""
    model = _fitted(estimator)
    new = _rows(estimator, seed=4)
    new = new.take(new.groups > 2)  # the others have one class, which not all learners take alone
    together = _outputs(model.adapt(new.X, new.y, groups=new.groups), new.X, new.groups)
    for task in np.unique(new.groups):
        there = new.groups == task
        alone = model.adapt(new.X[there], new.y[there])
        _assert_close(_outputs(alone, new.X[there]), together[there])


def check_adapt_and_predict_leave_the_model_as_it_was(estimator: Any) -> None:
    """Neither changes a byte of the model."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    outputs, content = _outputs(model, rows.X, rows.groups), pickle.dumps(model)
    new = _rows(estimator, seed=5)
    adapted = model.adapt(new.X, new.y, groups=new.groups)
    adapted.predict(new.X, groups=new.groups)
    assert pickle.dumps(model) == content
    assert_array_equal(_outputs(model, rows.X, rows.groups), outputs)
    assert type(adapted) is type(model)
    assert adapted is not model


def check_support_order_does_not_matter(estimator: Any) -> None:
    """The order of support rows changes no bit of a prediction."""
    model = _fitted(estimator)
    new = _rows(estimator, seed=6)
    shuffled = new.take(np.random.default_rng(7).permutation(len(new.X)))
    assert_array_equal(
        _outputs(model.adapt(*shuffled), new.X, new.groups),
        _outputs(model.adapt(*new), new.X, new.groups),
    )


def check_predictions_do_not_depend_on_other_rows(estimator: Any) -> None:
    """A row is predicted alike, alone and among others."""
    rows = _rows(estimator)
    fitted = _fitted(estimator, rows)
    for model in (fitted, fitted.adapt(*rows)):
        together = _outputs(model, rows.X, rows.groups)
        for row in (0, 5, 60, -1):
            alone = _outputs(model, rows.X[[row]], rows.groups[[row]])
            _assert_close(alone, together[[row]])


def check_one_row_tasks(estimator: Any) -> None:
    """A task of one row is adapted to, and its prediction is finite."""
    model = _fitted(estimator)
    new = _rows(estimator, seed=8)
    _, first = np.unique(new.groups, return_index=True)
    last = np.append(first[1:], len(new.X)) - 1
    one = new.take(np.where(new.groups[first] % 2 == 0, first, last))  # of both classes
    adapted = model.adapt(*one)
    assert_array_equal(np.sort(adapted.tasks_), np.arange(len(_SIZES)))
    assert np.isfinite(_outputs(adapted, new.X, new.groups)).all()


def check_adapt_from_adapted(estimator: Any) -> None:
    """What `adapt` returns can adapt on, and knows the new tasks alone."""
    model = _fitted(estimator)
    first, second = _rows(estimator, seed=9), _rows(estimator, seed=10)
    again = model.adapt(*first).adapt(*second)
    _assert_close(
        _outputs(again, first.X, first.groups),
        _outputs(model.adapt(*second), first.X, first.groups),
    )


# What scikit-learn's users expect of any estimator, with tasks


def check_pickle_round_trip(estimator: Any) -> None:
    """Fitted and adapted models predict the same after a pickle."""
    rows = _rows(estimator)
    fitted = _fitted(estimator, rows)
    for model in (fitted, fitted.adapt(*rows)):
        again = pickle.loads(pickle.dumps(model))
        assert_array_equal(
            _outputs(again, rows.X, rows.groups), _outputs(model, rows.X, rows.groups)
        )
        assert_array_equal(again.tasks_, model.tasks_)


def check_clone_is_unfitted_and_equal(estimator: Any) -> None:
    """A clone of a fitted model knows nothing, and learns the same."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    copy = clone(model)
    assert not hasattr(copy, "tasks_")
    assert repr(copy.get_params()) == repr(model.get_params())
    assert_array_equal(
        _outputs(copy.fit(*rows), rows.X, rows.groups), _outputs(model, rows.X, rows.groups)
    )


def check_fit_twice_equals_fit_once(estimator: Any) -> None:
    """A second fit starts from nothing."""
    rows, other = _rows(estimator), _rows(estimator, seed=11)
    model = _fitted(estimator, other).fit(*rows)
    assert_array_equal(
        _outputs(model, rows.X, rows.groups),
        _outputs(_fitted(estimator, rows), rows.X, rows.groups),
    )


def check_fit_leaves_its_input_as_it_was(estimator: Any) -> None:
    """Neither data nor parameters are changed, and nothing fitted aliases the data."""
    rows = _rows(estimator)
    given = _Rows(*(array.copy() for array in rows))
    model = _copy(estimator)
    before = repr(model.get_params())
    model.fit(*given)
    outputs = _outputs(model, given.X, given.groups)
    adapted = model.adapt(*given)
    for now, then in zip(given, rows, strict=True):
        assert_array_equal(now, then)
    assert repr(model.get_params()) == before
    given.X[:] = 0.0
    assert_array_equal(_outputs(model, rows.X, rows.groups), outputs)
    _assert_close(_outputs(adapted, rows.X, rows.groups), outputs)


def check_read_only_input(estimator: Any) -> None:
    """Memory that joblib shares between processes is enough."""
    rows = _Rows(*(array.copy() for array in _rows(estimator)))
    for array in rows:
        array.flags.writeable = False
    model = _fitted(estimator, rows)
    assert len(model.adapt(*rows).predict(rows.X, groups=rows.groups)) == len(rows.X)


def check_float_type_is_kept(estimator: Any) -> None:
    """float32 in, float32 out; float64 in, float64 out; integers give float64."""
    rows = _rows(estimator)
    for dtype in (np.float32, np.float64):
        model = _fitted(estimator, rows._replace(X=rows.X.astype(dtype)))
        outputs = _outputs(model, rows.X.astype(dtype), rows.groups)
        assert outputs.dtype == dtype, f"{dtype.__name__} gave {outputs.dtype}."
        adapted = model.adapt(rows.X.astype(dtype), rows.y, groups=rows.groups)
        assert _outputs(adapted, rows.X.astype(dtype), rows.groups).dtype == dtype
    integers = np.round(10 * rows.X).astype(int)
    model = _fitted(estimator, rows._replace(X=integers))
    assert _outputs(model, integers, rows.groups).dtype == np.float64


def check_score_is_that_of_scikit_learn(estimator: Any) -> None:
    """`score` is R2 or accuracy over all rows."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    metric = accuracy_score if is_classifier(model) else r2_score
    predicted = model.predict(rows.X, groups=rows.groups)
    score = model.score(rows.X, rows.y, groups=rows.groups)
    assert isinstance(score, float)
    assert_allclose(score, metric(rows.y, predicted), rtol=1e-12)
    weight = np.random.default_rng(12).random(len(rows.X))
    weighted = model.score(rows.X, rows.y, groups=rows.groups, sample_weight=weight)
    assert_allclose(weighted, metric(rows.y, predicted, sample_weight=weight), rtol=1e-12)


def check_parameters_can_be_set(estimator: Any) -> None:
    """`set_params` with what `get_params` gives changes nothing; unknown names raise."""
    model = _copy(estimator)
    before = repr(model)
    assert repr(model.set_params(**model.get_params(deep=False))) == before
    _assert_raises(ValueError, "an unknown parameter", model.set_params, no_such_parameter=1)
    for name in ("task_column", "unseen"):
        assert _parameter(model, name) is not None, f"There is no parameter {name}."


def check_wrong_unseen_raises(estimator: Any) -> None:
    """`unseen` is one of two words."""
    rows = _rows(estimator)
    model = _copy(estimator, unseen="no such thing")
    _assert_raises(ValueError, "unseen='no such thing'", model.fit, *rows)


def check_bad_input_raises_and_changes_nothing(estimator: Any) -> None:
    """Bad rows or labels are a ValueError in fit, adapt and predict, which leave the model."""
    rows = _rows(estimator)
    X, y, groups = rows
    model = _fitted(estimator, rows)
    outputs = _outputs(model, X, groups)
    spoiled = {"NaN": X.copy(), "infinity": X.copy()}
    spoiled["NaN"][3, 1], spoiled["infinity"][3, 1] = np.nan, np.inf
    lost = groups.astype(float)
    lost[0] = np.nan
    nameless = groups.astype(object)
    nameless[0] = None
    cases = {f"{what} in X": (bad, y, groups) for what, bad in spoiled.items()}
    cases["groups too short"] = (X, y, groups[:-1])
    cases["NaN in groups"] = (X, y, lost)
    cases["None in groups"] = (X, y, nameless)
    cases["a table of groups"] = (X, y, np.column_stack([groups, groups]))
    cases["no rows"] = (X[:0], y[:0], groups[:0])
    for what, case in cases.items():
        _assert_raises(ValueError, f"{what} in fit", model.fit, *case)
        _assert_raises(ValueError, f"{what} in adapt", model.adapt, *case)
        _assert_raises(ValueError, f"{what} in predict", model.predict, case[0], groups=case[2])
        assert_array_equal(_outputs(model, X, groups), outputs)
    _assert_raises(ValueError, "y too short in fit", model.fit, X, y[:-1], groups)
    _assert_raises(ValueError, "y too short in adapt", model.adapt, X, y[:-1], groups)
    _assert_raises(ValueError, "features in adapt", model.adapt, X[:, :2], y, groups)
    _assert_raises(ValueError, "features in predict", model.predict, X[:, :2], groups=groups)
    assert_array_equal(_outputs(model, X, groups), outputs)


def check_missing_task_column_raises(estimator: Any) -> None:
    """A task column that X does not have is an error, and so is X without features."""
    rows = _rows(estimator)
    _assert_raises(ValueError, "column 7 of 3", _copy(estimator, task_column=7).fit, rows.X, rows.y)
    _assert_raises(
        ValueError, "a name in an array", _copy(estimator, task_column="t").fit, rows.X, rows.y
    )
    lone = rows.groups[:, None].astype(float)
    _assert_raises(ValueError, "no features", _copy(estimator, task_column=0).fit, lone, rows.y)
    for frame in _frames(rows):
        _assert_raises(
            ValueError, "a missing name", _copy(estimator, task_column="t").fit, frame, rows.y
        )


def check_same_random_state_same_result(estimator: Any) -> None:
    """The same seed gives the same bits, and a RandomState works as a seed does."""
    rows = _rows(estimator)
    for seed in (int, np.random.RandomState):
        first, second = (
            _outputs(_fitted(estimator, rows, random_state=seed(1)), rows.X, rows.groups)
            for _ in range(2)
        )
        assert_array_equal(first, second)


def check_a_row_of_weight_zero_is_no_row(estimator: Any) -> None:
    """Rows of weight 0 may as well be left out."""
    rows = _rows(estimator)
    kept = np.arange(len(rows.X)) % 5 > 0
    weighted = _copy(estimator).fit(
        rows.X, rows.y, groups=rows.groups, sample_weight=kept.astype(float)
    )
    fewer = _copy(estimator).fit(*rows.take(kept), sample_weight=np.ones(kept.sum()))
    assert_array_equal(
        _outputs(weighted, *_queries(rows.take(kept))), _outputs(fewer, *_queries(rows.take(kept)))
    )


def _queries(rows: _Rows) -> tuple[NDArray[Any], NDArray[Any]]:
    return rows.X, rows.groups


def check_transform_shape_and_names(estimator: Any) -> None:
    """The representation has a row for each row, and a name for each column."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    values = model.transform(rows.X, groups=rows.groups)
    names = model.get_feature_names_out()
    assert values.shape == (len(rows.X), len(names))
    assert values.dtype == rows.X.dtype
    assert np.isfinite(values).all()
    assert len(set(names)) == len(names)
    assert names.dtype == object


# Regressors


def check_adapt_rejects_another_number_of_outputs(estimator: Any) -> None:
    """Support targets have as many outputs as those of fit."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    two = np.column_stack([rows.y, rows.y])
    _assert_raises(ValueError, "two outputs instead of one", model.adapt, rows.X, two, rows.groups)


def check_targets_must_be_finite(estimator: Any) -> None:
    """NaN and infinity are no targets."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    for bad in (np.nan, np.inf):
        y = rows.y.copy()
        y[2] = bad
        _assert_raises(ValueError, f"{bad} in y of fit", model.fit, rows.X, y, rows.groups)
        _assert_raises(ValueError, f"{bad} in y of adapt", model.adapt, rows.X, y, rows.groups)


def check_several_outputs(estimator: Any) -> None:
    """Targets with several columns are predicted with as many, one column with one."""
    rows = _rows(estimator)
    for y in (np.column_stack([rows.y, -2 * rows.y]), rows.y[:, None]):
        model = _fitted(estimator, rows._replace(y=y))
        assert model.predict(rows.X, groups=rows.groups).shape == y.shape
        new = model.adapt(rows.X[-20:], y[-20:])
        assert new.predict(rows.X).shape == y.shape
        assert model.score(rows.X, y, groups=rows.groups) <= 1


def check_std_is_positive(estimator: Any) -> None:
    """`return_std` adds a positive deviation in the shape and float type of the prediction."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    for dtype in (np.float32, np.float64):
        X = rows.X.astype(dtype)
        mean, std = model.predict(X, groups=rows.groups, return_std=True)
        assert_array_equal(mean, model.predict(X, groups=rows.groups))
        assert std.shape == mean.shape
        assert std.dtype == mean.dtype
        assert (std > 0).all()


# Classifiers


def check_proba_sums_to_one(estimator: Any) -> None:
    """Probabilities are such, and `predict` names the most probable class."""
    rows = _rows(estimator)
    fitted = _fitted(estimator, rows)
    for model in (fitted, fitted.adapt(*rows)):
        proba = model.predict_proba(rows.X, groups=rows.groups)
        assert proba.shape == (len(rows.X), len(model.classes_))
        assert proba.min() >= 0
        assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
        predicted = model.predict(rows.X, groups=rows.groups)
        assert_array_equal(predicted, model.classes_[proba.argmax(axis=1)])
        with np.errstate(divide="ignore"):
            log_proba = np.log(proba)
        assert_allclose(
            model.predict_log_proba(rows.X, groups=rows.groups), log_proba, rtol=1e-6, atol=1e-9
        )


def check_own_label_sets(estimator: Any) -> None:
    """A class that a task does not have gets probability 0; `adapt` has its support's classes."""
    rows = _own_label_rows()
    model = _fitted(estimator, rows, label_sets="own")
    assert_array_equal(model.classes_, np.arange(20))
    proba = model.predict_proba(rows.X, groups=rows.groups)
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    owner = np.arange(20) // 2
    assert (proba[owner != rows.groups[:, None]] == 0).all()
    there = np.isin(rows.groups, [3, 6])
    adapted = model.adapt(*rows.take(there))
    assert_array_equal(adapted.classes_, [6, 7, 12, 13])
    assert_allclose(
        adapted.predict_proba(rows.X[there], groups=rows.groups[there]),
        proba[there][:, [6, 7, 12, 13]],
        rtol=1e-5,
        atol=1e-6,
    )
    names = np.where(rows.y % 2 == 0, "even", "odd")  # labels that fit has not seen
    new = model.adapt(rows.X[:16], names[:16])
    assert_array_equal(new.classes_, ["even", "odd"])
    assert set(new.predict(rows.X)) <= {"even", "odd"}


def check_own_label_sets_need_two_classes(estimator: Any) -> None:
    """One class cannot be told from itself."""
    rows = _own_label_rows()
    model = _fitted(estimator, rows, label_sets="own")
    _assert_raises(ValueError, "a support of one class", model.adapt, rows.X[:8], rows.y[:8])


def check_one_class_in_fit_raises(estimator: Any) -> None:
    """A classifier needs two classes, and is left as it was without them."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows)
    same = np.full(len(rows.y), "low")
    _assert_raises(ValueError, "one class", model.fit, rows.X, same, rows.groups)
    assert_array_equal(model.classes_, ["high", "low"])


def check_shared_label_set_is_kept(estimator: Any) -> None:
    """A task whose rows show some of the classes has all of them."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows, label_sets="shared")
    assert_array_equal(model.classes_, ["high", "low"])
    for word in model.classes_:  # tasks of one class
        some = rows.take((rows.y == word) & (rows.groups > 5))
        adapted = model.adapt(*some)
        assert_array_equal(adapted.classes_, model.classes_)
        proba = adapted.predict_proba(some.X, groups=some.groups)
        assert proba.shape == (len(some.X), 2)
        assert np.isfinite(proba).all()


def check_labels_unknown_to_a_shared_label_set_raise(estimator: Any) -> None:
    """A shared label set is that of fit."""
    rows = _rows(estimator)
    model = _fitted(estimator, rows, label_sets="shared")
    y = np.where(rows.y == "low", "middle", rows.y)
    _assert_raises(ValueError, "an unknown label", model.adapt, rows.X, y, rows.groups)


def check_names_of_classes_do_not_matter(estimator: Any) -> None:
    """Classes named by numbers are predicted as classes named by strings."""
    rows = _rows(estimator)
    numbers = np.where(rows.y == "low", 7, -3)  # in the order of the strings
    assert_array_equal(
        _outputs(_fitted(estimator, rows._replace(y=numbers)), rows.X, rows.groups),
        _outputs(_fitted(estimator, rows), rows.X, rows.groups),
    )


_CHECKS: list[Check] = [
    check_row_order_does_not_matter,
    check_names_of_tasks_do_not_matter,
    check_task_column_equals_groups,
    check_rows_without_task_information,
    check_column_and_groups_at_once_raise,
    check_groups_are_requested_by_default,
    check_unseen_tasks_are_predicted_with_one_warning,
    check_unseen_tasks_raise_if_asked_to,
    check_adapting_to_a_task_of_fit_changes_nothing,
    check_adapting_many_tasks_equals_one_at_a_time,
    check_adapt_and_predict_leave_the_model_as_it_was,
    check_support_order_does_not_matter,
    check_predictions_do_not_depend_on_other_rows,
    check_one_row_tasks,
    check_adapt_from_adapted,
    check_pickle_round_trip,
    check_clone_is_unfitted_and_equal,
    check_fit_twice_equals_fit_once,
    check_fit_leaves_its_input_as_it_was,
    check_read_only_input,
    check_float_type_is_kept,
    check_score_is_that_of_scikit_learn,
    check_parameters_can_be_set,
    check_wrong_unseen_raises,
    check_bad_input_raises_and_changes_nothing,
    check_missing_task_column_raises,
]
_CLASSIFIER_CHECKS: list[Check] = [
    check_proba_sums_to_one,
    check_one_class_in_fit_raises,
    check_names_of_classes_do_not_matter,
]
_OWN_LABEL_CHECKS: list[Check] = [
    check_own_label_sets,
    check_own_label_sets_need_two_classes,
]
_SHARED_LABEL_CHECKS: list[Check] = [
    check_shared_label_set_is_kept,
    check_labels_unknown_to_a_shared_label_set_raise,
]
