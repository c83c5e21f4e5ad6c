"""scikit-learn's own battery, for every public estimator and with no expected failure.

It runs without task information, and with tasks in a column, which is no affair of
meta-transformers but of the learners in them. The battery puts continuous numbers
into that column, and as labels they would make each row a task; so the learners that are checked
round them down first.
"""

from collections import Counter

import numpy as np
import pytest
from _instances import INSTANCES, shortened
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.validation import has_fit_parameter


def _coarse(cls):
    """Return a subclass that rounds task labels down."""

    def _separate(self, X, groups):
        features, labels = cls._separate(self, X, groups)
        return features, np.floor(labels)

    name = f"Coarse{cls.__name__}"
    body = {"_separate": _separate, "__init__": cls.__init__, "__module__": __name__}
    globals()[name] = type(name, (cls,), body)  # where pickle looks for it
    return globals()[name]


def _with_task_column(estimator):
    parameters = clone(estimator).set_params(task_column=0).get_params(deep=False)
    return _COARSE[type(estimator)](**parameters)


_LEARNERS = {type(estimator) for estimator in INSTANCES if not hasattr(estimator, "estimator")}
_COARSE = {cls: _coarse(cls) for cls in _LEARNERS}
_COLUMN = [_with_task_column(e) for e in INSTANCES if not hasattr(e, "estimator")]

# Checks of scores and of labels found again; the rest holds after any training.
_CHECKS_OF_LEARNING = {
    "check_classifiers_train",
    "check_classifiers_classes",
    "check_regressors_train",
}


def _run(check, estimator):
    learns = check.func.__name__ in _CHECKS_OF_LEARNING
    check(estimator if learns else shortened(estimator))


_UNSCALED = "ignore::skmeta.DivergenceWarning"  # gradient steps on features that are not scaled

# An automatic learner has nothing to choose by if there is one task, or none is large enough.
_ONE_TASK = "ignore:All rows are one task:UserWarning"
_SMALL_TASKS = "ignore:No learner has a score:UserWarning"

# The array API check needs SCIPY_ARRAY_API in the environment, and skips itself without.


@pytest.mark.filterwarnings(_UNSCALED)
@pytest.mark.filterwarnings(_ONE_TASK)
@parametrize_with_checks(INSTANCES)
def test_passes_scikit_learns_checks_without_tasks(estimator, check):
    _run(check, estimator)


@pytest.mark.filterwarnings(_UNSCALED)
@pytest.mark.filterwarnings(_ONE_TASK)
@pytest.mark.filterwarnings(_SMALL_TASKS)
@pytest.mark.filterwarnings("ignore::skmeta.UnseenTaskWarning")  # rows of new tasks
@parametrize_with_checks(_COLUMN)
def test_passes_scikit_learns_checks_with_a_task_column(estimator, check):
    _run(check, estimator)


@pytest.mark.parametrize("estimator", INSTANCES + _COLUMN, ids=repr)
def test_scikit_learn_runs_its_whole_battery(estimator):
    count = Counter(check.func.__name__ for _, check in estimator_checks_generator(estimator))
    more = hasattr(estimator, "transform") or has_fit_parameter(estimator, "sample_weight")
    assert count.total() >= (55 if more else 53)
    assert count["check_estimators_pickle"] == 2


@pytest.mark.parametrize("estimator", _COLUMN, ids=repr)
def test_the_battery_meets_several_tasks(estimator):
    rows = np.random.default_rng(0).normal(size=(30, 4))
    model = clone(estimator).fit(rows, rows[:, 1] > 0)
    assert 3 <= len(model.tasks_) <= 8
