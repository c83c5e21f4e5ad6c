"""What tasks do to fit, predict, score and adapt, beyond the battery."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmeta import EmpiricalBayesClassifier, EmpiricalBayesRegressor, UnseenTaskWarning


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), [2, 3, 5, 8, 10, 12, 14, 16])
    X = random.normal(size=(70, 3))
    w = 1 + 0.5 * random.normal(size=(8, 3))
    return X, (X * w[groups]).sum(axis=1) + 0.1 * random.normal(size=70), groups


@pytest.fixture(scope="module")
def model(rows):
    X, y, groups = rows
    return EmpiricalBayesRegressor().fit(X, y, groups=groups)


def test_messages_say_what_is_wrong_and_what_would_be_right(rows, model):
    X, y, groups = rows
    for match, call in {
        "knows 8 tasks, and the rows do not say to which": lambda: model.predict(X),
        "groups has 69 labels for the 70 rows": lambda: model.predict(X, groups=groups[1:]),
        "X has 2 features, but EmpiricalBayesRegressor is expecting 3": lambda: model.predict(
            X[:, :2], groups=groups
        ),
        "contains NaN": lambda: model.adapt(X * np.nan, y),
        "Found array with 0 sample": lambda: model.adapt(X[:0], y[:0]),
        "unseen='never' must be 'prior' or 'raise'": lambda: EmpiricalBayesRegressor(
            unseen="never"
        ).fit(X, y),
        r"y has shape \(70, 2\), but fit had 1 output": lambda: model.adapt(X, np.ones((70, 2))),
        "it is the task column 0; at least one more": lambda: EmpiricalBayesRegressor(
            task_column=0
        ).fit(X[:, :1], y),
        r"sample_weight has shape \(3,\), expected \(70,\)": lambda: model.fit(
            X, y, groups, sample_weight=np.ones(3)
        ),
        "sample_weight must not be negative": lambda: model.fit(
            X, y, groups, sample_weight=-np.ones(70)
        ),
        "nor zero for every row": lambda: model.fit(X, y, groups, sample_weight=np.zeros(70)),
    }.items():
        with pytest.raises(ValueError, match=match):
            call()


def test_unseen_tasks_are_named(rows, model):
    X = rows[0]
    with pytest.warns(UnseenTaskWarning, match=r"2 task\(s\) never seen in fit or adapt: \[50, 51"):
        model.predict(X[:3], groups=[50, 51, 0])
    strict = clone(model).set_params(unseen="raise").fit(*rows)
    with pytest.raises(ValueError, match=r"1 task\(s\) never seen in fit or adapt: \['x'\]. Adapt"):
        strict.predict(X[:2], groups=["x", 3])


def test_the_warning_points_to_the_caller(rows, model):
    with pytest.warns(UnseenTaskWarning) as caught:
        model.predict(rows[0], groups=np.full(70, 99))
    assert [entry.filename for entry in caught] == [__file__]


def test_unfitted(rows):
    X, y, groups = rows
    for call in (
        lambda m: m.predict(X, groups=groups),
        lambda m: m.adapt(X, y),
        lambda m: m.score(X, y),
        lambda m: m.tasks_,
    ):
        with pytest.raises(NotFittedError):
            call(EmpiricalBayesRegressor())


def test_a_failed_first_fit_leaves_the_estimator_unfitted(rows):
    X, y, groups = rows
    model = EmpiricalBayesRegressor(effects="no such effects")
    with pytest.raises(ValueError, match="effects='no such effects' must be"):
        model.fit(X, y, groups=groups)
    assert vars(model).keys() == EmpiricalBayesRegressor().get_params().keys()


def test_one_named_task_is_predicted_without_its_name(rows):
    X, y, _ = rows
    named = EmpiricalBayesRegressor().fit(X, y, groups=np.full(70, 3))
    nameless = EmpiricalBayesRegressor().fit(X, y)
    assert_array_equal(named.tasks_, [3])
    assert_array_equal(nameless.tasks_, [None])
    assert_array_equal(named.predict(X), nameless.predict(X))
    assert_array_equal(named.predict(X, groups=np.full(70, 3)), nameless.predict(X))


def test_a_model_of_one_nameless_task_does_not_know_a_named_one(rows):
    X, y, groups = rows
    model = EmpiricalBayesRegressor().fit(X, y)
    with pytest.warns(UnseenTaskWarning, match="8 task"):
        assert_array_equal(model.predict(X, groups=groups), model.predict(X))


def test_labels_of_other_kinds_are_other_tasks(rows, model):
    X, _, groups = rows
    assert_array_equal(
        model.predict(X, groups=groups.astype(float)), model.predict(X, groups=groups)
    )
    with pytest.warns(UnseenTaskWarning, match="8 task"):
        model.predict(X, groups=groups.astype(str))


def test_adapted_models_share_what_was_learned(rows, model):
    X, y, groups = rows
    adapted = model.adapt(X, y, groups=groups)
    assert adapted.priors_ is model.priors_
    assert adapted.get_params() == model.get_params()
    rest = {"prior_mean_", "noise_variance_"}
    assert all(getattr(adapted, name) is getattr(model, name) for name in rest)


def test_a_pickled_model_does_not_grow_with_predictions(rows, model):
    before = len(pickle.dumps(model))
    model.predict(rows[0], groups=rows[2])
    assert len(pickle.dumps(model)) == before


def test_a_subset_of_tasks_is_predicted_as_all(rows, model):
    X, _, groups = rows
    expected = model.predict(X, groups=groups)
    for task in range(8):
        there = groups == task
        assert_allclose(model.predict(X[there], groups=groups[there]), expected[there], rtol=1e-10)


def test_feature_names(rows):
    X, y, groups = rows
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(task=groups)
    model = EmpiricalBayesRegressor(task_column="task").fit(frame, y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "task"]
    assert model.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="is not a column of X"):
        model.predict(frame.drop(columns="task"))
    by_groups = EmpiricalBayesRegressor().fit(frame[["a", "b", "c"]], y, groups=frame["task"])
    assert by_groups.feature_names_in_.tolist() == ["a", "b", "c"]
    assert_array_equal(
        by_groups.predict(frame[["a", "b", "c"]], groups=frame["task"]), model.predict(frame)
    )


def test_string_columns_of_tasks_beside_numbers(rows):
    X, y, groups = rows
    array = np.empty((70, 4), dtype=object)
    array[:, 0] = [f"school {group}" for group in groups]
    array[:, 1:] = X
    model = EmpiricalBayesRegressor(task_column=0).fit(array, y)
    by_groups = EmpiricalBayesRegressor().fit(X, y, groups=groups)
    assert_array_equal(model.predict(array), by_groups.predict(X, groups=groups))
    adapted = model.adapt(array[:5], y[:5])
    assert set(adapted.tasks_) == {"school 0", "school 1"}


def test_rows_of_weight_zero_may_take_a_task_away(rows):
    X, y, groups = rows
    weight = (groups != 7).astype(float)
    model = EmpiricalBayesRegressor().fit(X, y, groups=groups, sample_weight=weight)
    assert set(model.tasks_) == set(range(7))


def test_several_outputs_are_learned_as_single_ones(rows):
    X, y, groups = rows
    both = np.column_stack([y, X[:, 0] - groups + 0.2 * X[:, 1] ** 2])
    model = EmpiricalBayesRegressor().fit(X, both, groups=groups)
    mean, std = model.predict(X, groups=groups, return_std=True)
    assert mean.shape == std.shape == (70, 2)
    assert model.prior_mean_.shape == (2, 4)
    assert model.prior_covariance_.shape == (2, 4, 4)
    for output in range(2):
        one = EmpiricalBayesRegressor().fit(X, both[:, output], groups=groups)
        alone = one.predict(X, groups=groups, return_std=True)
        assert_allclose(mean[:, output], alone[0], rtol=1e-9, atol=1e-9)
        assert_allclose(std[:, output], alone[1], rtol=1e-9)
    assert model.score(X, both, groups=groups) > 0.9
    with pytest.raises(ValueError, match="but fit had 2"):
        model.adapt(X, y, groups=groups)
    column = EmpiricalBayesRegressor().fit(X, y[:, None], groups=groups)
    assert column.predict(X, groups=groups).shape == (70, 1)


# Label sets


def _classes(n_tasks, n_rows, n_classes, own, seed=0, imbalance=0.0):
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    share = np.exp(-imbalance * np.arange(n_classes))
    y = random.choice(n_classes, p=share / share.sum(), size=len(groups))
    X = random.normal(size=(len(groups), 2)) + y[:, None]
    return X, y + own * n_classes * groups, groups


@pytest.mark.parametrize(
    ("collection", "own"),
    [
        ((20, 10, 2, 0), False),
        ((20, 10, 2, 1), True),
        ((5, 30, 10, 0), False),
        ((5, 30, 10, 1), True),
        ((100, 3, 2, 0), False),  # most tasks show one class or two of two
        ((100, 4, 2, 1), True),
        ((30, 4, 20, 0), False),  # tasks show a fifth of the shared classes
        ((2, 10, 2, 1), True),
        ((2, 10, 5, 1), True),  # no class is found in both tasks
        ((1, 50, 5, 0), False),
    ],
)
def test_the_automatic_rule_for_label_sets(collection, own):
    X, y, groups = _classes(*collection)
    model = EmpiricalBayesClassifier(max_iter=3).fit(X, y, groups=groups)
    proba = model.predict_proba(X, groups=groups)
    assert (proba == 0).any() == own
    explicit = EmpiricalBayesClassifier(max_iter=3, label_sets="own" if own else "shared")
    assert_array_equal(explicit.fit(X, y, groups=groups).predict_proba(X, groups=groups), proba)


def test_the_automatic_rule_bears_imbalance():
    X, y, groups = _classes(50, 8, 6, 0, imbalance=1.0)
    model = EmpiricalBayesClassifier(max_iter=3).fit(X, y, groups=groups)
    assert (model.predict_proba(X, groups=groups) > 0).all()


def test_all_classes_of_a_shared_set_stay_possible():
    X, y, groups = _classes(20, 10, 3, 0)
    model = EmpiricalBayesClassifier(label_sets="shared").fit(X, np.array(list("abc"))[y], groups)
    adapted = model.adapt(X[:2], ["b", "b"])
    assert adapted.classes_.tolist() == ["a", "b", "c"]
    assert (adapted.predict_proba(X) > 0).all()
    with pytest.raises(ValueError, match=r"labels \['d'\], unknown to the shared label set \['a',"):
        model.adapt(X[:2], ["b", "d"])


def test_own_label_sets_of_ragged_numbers_of_classes():
    random = np.random.default_rng(3)
    ways = np.array([2, 5, 3, 2, 4])
    y = np.concatenate([10 * task + np.repeat(np.arange(n), 6) for task, n in enumerate(ways)])
    groups = y // 10
    X = random.normal(size=(len(y), 2)) + 3 * (y % 10)[:, None]
    model = EmpiricalBayesClassifier(label_sets="own").fit(X, y, groups=groups)
    proba = model.predict_proba(X, groups=groups)
    assert_array_equal(proba > 0, model.classes_ // 10 == groups[:, None])
    assert_array_equal(model.predict(X, groups=groups) // 10, groups)
    with pytest.warns(UnseenTaskWarning):  # of a task without rows nothing is known
        assert_allclose(model.predict_proba(X[:1], groups=[9]), 1 / len(model.classes_))
    one_of_one = model.adapt(X[:8], y[:8], groups=[0] * 7 + [1])  # task 1 shows one class
    assert_array_equal(one_of_one.predict_proba(X[:1], groups=[1]), [[0, 1]])
    log_proba = model.predict_log_proba(X[:1], groups=groups[:1])  # without a warning
    assert_array_equal(np.isneginf(log_proba), proba[:1] == 0)


def test_few_rows_of_many_classes_are_no_regression_problem():
    X, y, groups = _classes(10, 12, 6, 1)
    model = EmpiricalBayesClassifier(label_sets="own").fit(X, y, groups=groups)
    ways = np.arange(5 * 6)
    adapted = model.adapt(np.random.default_rng(4).normal(size=(30, 2)), ways, groups=ways // 6)
    assert_array_equal(adapted.classes_, ways)
    with pytest.warns(UserWarning, match="could represent a regression problem"):
        EmpiricalBayesClassifier(max_iter=1).fit(X, np.arange(120))


def test_wrong_label_sets():
    X, y, groups = _classes(5, 10, 2, 0)
    with pytest.raises(ValueError, match="label_sets='both' must be 'auto', 'shared' or 'own'"):
        EmpiricalBayesClassifier(label_sets="both").fit(X, y, groups=groups)
    with pytest.raises(ValueError, match=r"y has 1 class, \[0\]; a classifier needs at least 2"):
        EmpiricalBayesClassifier().fit(X, np.zeros(50, dtype=int), groups=groups)
    own = EmpiricalBayesClassifier(label_sets="own").fit(X, y, groups=groups)
    with pytest.raises(
        ValueError, match=r"support rows have one class, \[1\]; a task with labels of"
    ):
        own.adapt(X[y == 1], y[y == 1])
