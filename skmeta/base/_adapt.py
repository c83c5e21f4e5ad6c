"""Adapt whatever ends in a meta-learner."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

__all__ = ["adapt", "groups_for", "last_fitted_step", "last_step"]


def adapt(fitted: Any, X: Any, y: Any, groups: Any = None) -> Any:
    """Adapt a fitted meta-learner, or a pipeline or search that ends in one, to new tasks.

    Parameters
    ----------
    fitted : estimator
        A fitted meta-learner; a `Pipeline` whose last step is one; or a search, such as
        `GridSearchCV`, whose best estimator is one of these.
    X : array-like or data frame of shape (n_samples, n_features)
        Support rows of the new tasks, as `fitted` takes them.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their targets.
    groups : array-like of shape (n_samples,), default=None
        The task of each row; see the estimator's `adapt`.

    Returns
    -------
    adapted : estimator
        Of the same kind, with `fitted`'s transformers; a search gives its adapted best
        estimator. `fitted` is left as it was.

    Raises
    ------
    TypeError
        If `fitted` does not end in something with a method `adapt`.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(30, 10, random_state=0)
    >>> model = make_pipeline(
    ...     skmeta.Shared(StandardScaler(), task_column=0),
    ...     skmeta.EmpiricalBayesRegressor(task_column=0),
    ... )
    >>> import numpy as np
    >>> rows = np.column_stack([tasks.groups, tasks.data])
    >>> model = model.fit(rows, tasks.target)
    >>> new = skmeta.adapt(model, rows[:3], tasks.target[:3])
    >>> new.predict(rows[3:5]).shape
    (2,)
    """
    if hasattr(fitted, "best_estimator_"):
        return adapt(fitted.best_estimator_, X, y, groups)
    if isinstance(fitted, Pipeline):
        steps = []
        for name, step in fitted.steps[:-1]:
            if step is not None and step != "passthrough":
                if hasattr(step, "adapt"):
                    step = step.adapt(X, y, groups)
                X = step.transform(X, **groups_for(step, groups))
            steps.append((name, step))
        name, last = fitted.steps[-1]
        return Pipeline([*steps, (name, adapt(last, X, y, groups))])
    if not hasattr(fitted, "adapt"):
        raise TypeError(
            f"{type(fitted).__name__} cannot adapt; expected a fitted meta-learner, or a Pipeline "
            "or a search that ends in one."
        )
    return fitted.adapt(X, y, groups)


def last_step(estimator: Any) -> Any:
    """Return what an estimator, fitted or not, ends in: the step that `adapt` needs one of."""
    if hasattr(estimator, "return_train_score"):  # searches have no public class in common
        return last_step(estimator.estimator)
    return last_step(estimator.steps[-1][1]) if isinstance(estimator, Pipeline) else estimator


def last_fitted_step(estimator: Any) -> Any:
    """Return what a fitted estimator ends in, of a search that of its best estimator."""
    return last_step(getattr(estimator, "best_estimator_", estimator))


def groups_for(step: Any, groups: Any) -> dict[str, Any]:
    """Return what of `groups` the method `transform` of a step takes."""
    if groups is None or not hasattr(step, "get_metadata_routing"):
        return {}
    wanted = step.get_metadata_routing().consumes("transform", ["groups"])
    return {"groups": groups} if wanted else {}
