"""scikit-learn's own checks, in both ways of naming tasks."""

import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmeta.compose import PerTask, Shared


@pytest.mark.filterwarnings("ignore::skmeta.UnseenTaskWarning")  # rows of new tasks
@parametrize_with_checks(
    [
        meta(StandardScaler(), task_column=task_column)
        for meta in (Shared, PerTask)
        for task_column in (None, 0)
    ]
)
def test_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)
