"""Checks of the meta-learner contract, to be run beside those of scikit-learn.

Each check takes an unfitted meta-learner, works on clones of it, and fails with an
`AssertionError`. A learner needs tasks to train on: the collections here have twelve tasks of 1
to 24 rows and three features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.base import is_classifier

from skmeta.utils.estimator_checks._adaptation import ADAPTATION_CHECKS
from skmeta.utils.estimator_checks._classifiers import classifier_checks
from skmeta.utils.estimator_checks._common import Check
from skmeta.utils.estimator_checks._estimator import ESTIMATOR_CHECKS
from skmeta.utils.estimator_checks._input import INPUT_CHECKS
from skmeta.utils.estimator_checks._optional import optional_checks
from skmeta.utils.estimator_checks._regressors import regressor_checks
from skmeta.utils.estimator_checks._tasks import TASK_CHECKS

__all__ = ["check_meta_learner", "meta_learner_checks"]


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
    yield from TASK_CHECKS
    yield from ADAPTATION_CHECKS
    yield from ESTIMATOR_CHECKS
    yield from INPUT_CHECKS
    of_kind = classifier_checks if is_classifier(estimator) else regressor_checks
    yield from of_kind(estimator)
    yield from optional_checks(estimator)
