"""What a meta-learner has to beat."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmeta.compose import Shared
from skmeta.empirical_bayes import EmpiricalBayesClassifier, EmpiricalBayesRegressor
from skmeta.model_selection._separate import SeparateModels
from skmeta.tasks import separate_tasks

__all__ = ["make_baselines"]


_PENALTIES = (0.01, 0.1, 10.0, 100.0)


def make_baselines(
    task_column: Hashable | None, *, support: str, classification: bool
) -> dict[str, Any]:
    """Return the classical ways to treat tasks: pool them, separate them, or mix both.

    Parameters
    ----------
    task_column : str or int or None
        The column of X that holds the tasks; None if they come as groups.
    support : {"random", "first"}
        Which rows of a new task will be known.
    classification : bool
        Whether the targets are classes.

    Returns
    -------
    baselines : dict of str to estimator
        All but the boosting impute and scale the features. The first of several models is the
        one that is not tuned.
    """
    linear: list[Any] = [Ridge(), *(Ridge(penalty) for penalty in _PENALTIES)]
    if classification:
        linear = [LogisticRegression(C=C, max_iter=1000) for C in (1.0, 0.1, 10.0)]
    boosting = HistGradientBoostingClassifier if classification else HistGradientBoostingRegressor
    bayes: Any = EmpiricalBayesClassifier if classification else EmpiricalBayesRegressor
    without_tasks = FunctionTransformer(_without_tasks, kw_args={"task_column": task_column})
    scaled = make_pipeline(SimpleImputer(), StandardScaler())
    shared = Shared(scaled, task_column=task_column)
    separate = SeparateModels(linear, support=support, task_column=task_column)
    return {
        "pooled linear": make_pipeline(without_tasks, scaled, linear[0]),
        "pooled boosting": make_pipeline(without_tasks, boosting(random_state=0)),
        "per-task linear": make_pipeline(shared, separate),
        "mixed effects": make_pipeline(shared, bayes(task_column=task_column)),
    }


def _without_tasks(X: Any, task_column: Hashable | None) -> Any:
    return separate_tasks(X, None, task_column)[0]
