"""What a fitted learner makes of its tasks, in tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skmeta.inspection._fitted_tasks import FittedTasks
from skmeta.utils._tables import as_table, table_library

__all__ = ["TaskExplanation", "explain_tasks"]

_COMPONENTS = ("shared", "level of the task", "slopes of the task", "noise")
_NAMED = 3  # features and tasks in the summary


@dataclass(frozen=True)
class TaskExplanation:
    """What `explain_tasks` returns; printed, it is the summary.

    Parameters
    ----------
    tasks : data frame
        One row for each task.
    variance : data frame or None
        One row for each output.
    features : data frame or None
        One row for each output and feature.
    summary : str
        The main findings in a few lines.
    """

    tasks: Any = field(repr=False)
    variance: Any = field(repr=False)
    features: Any = field(repr=False)
    summary: str

    def __str__(self) -> str:
        return self.summary

    __repr__ = __str__


def explain_tasks(fitted: Any, feature_names: Sequence[str] | None = None) -> TaskExplanation:
    """Say how tasks differ: in how much, in what, and which of them the most.

    Three questions, answered from a fitted model alone: how much of the variance lies between
    tasks; the effects of which features vary across tasks; and how far each task's model has
    moved from what all tasks share. Learners with an estimated prior, `EmpiricalBayesRegressor`,
    `EmpiricalBayesClassifier` and `MultiHeadRegressor` with ``head="bayes"``, answer the first and
    the last, the empirical-Bayes ones all three; any other meta-learner says how far the
    predictions for each task moved.

    Parameters
    ----------
    fitted : estimator
        A fitted meta-learner; a meta-transformer around one, or a `Pipeline` or a search that ends
        in one. If it was adapted, it explains the tasks that it was adapted to. Of an automatic
        learner pass ``estimator_``, the chosen one.
    feature_names : sequence of str, default=None
        Names of the features, without the task column. None takes those seen in fit, or makes
        some up.

    Returns
    -------
    explanation : TaskExplanation
        ``print`` shows its `summary`, a str. Its data frames, of the library of the data frame
        that the learner was fitted to, else of pandas, are:

        - `tasks`, one row for each task, the farthest first: `task`, `rows` (those known);
          `shift`: how far the predictions for the task's own rows are from those of the prior,
          which is what an unseen task gets (root mean square in the units of y; for classifiers
          the mean total variation distance of the probabilities, from 0 to 1). With a prior also
          `distance`, ``√(m'Ω⁻¹m)``: the Mahalanobis distance of the task's coefficients from the
          prior mean, in prior standard deviations; and `learned`, the effective number of
          coefficients that the task's rows have determined. ``distance² / learned`` is 1 on
          average; a task far above is one that the others say little about. `shift` is left out
          where label sets differ.
        - `variance`, one row for each output, None without a prior: `output`; the components
          `shared` (what the features explain alike in all tasks), `level` (differences between
          tasks at the mean row), `slopes` (what tasks differ in beyond that, mean over the rows
          of fit) and `noise` (within tasks), in squared units of y; `icc`, the intraclass
          correlation, which is the share of ``level + slopes`` in all but `shared`; and
          `r2_marginal`, `r2_conditional`: the shares of the total that the shared part explains,
          and that it explains together with the tasks.
        - `features`, one row for each output and feature, None without named coefficients:
          `output`, `feature`; `effect` and `sd`: mean and standard deviation over tasks of what
          one standard deviation of the feature adds to y.

    Raises
    ------
    ImportError
        If the learner was fitted to no data frame and pandas is not installed.
    TypeError
        If `fitted` does not end in a meta-learner.
    ValueError
        If the tasks have label sets of their own and no prior says how they differ, or
        `feature_names` has another length.

    See Also
    --------
    describe_tasks : What to look at before anything is fitted.
    TaskVariationDisplay : The same as a picture.

    Notes
    -----
    With random slopes the intraclass correlation depends on x [1]_; here it is ``mean(z'Ωz)``
    over the rows of fit against σ², as in Johnson's R² [3]_ for Nakagawa and Schielzeth's marginal
    and conditional R² [2]_. For classifiers everything is on the scale of the logit, where the
    noise is π²/3; of more than two classes, each is told from the rest. With label sets of their
    own, that is any class of a task. Variances are plug-in maximum likelihood estimates: with few
    tasks, those between tasks are too small.

    `shift` can be compared between learners; `distance` cannot, for it counts in the coefficients
    of one. A distance between weights of networks is left out on purpose: many weights make
    the same function.

    References
    ----------
    .. [1] H. Goldstein, W. Browne, J. Rasbash (2002). Partitioning variation in multilevel
       models. Understanding Statistics 1, 223-231.
    .. [2] S. Nakagawa, H. Schielzeth (2013). A general and simple method for obtaining R² from
       generalized linear mixed-effects models. Methods in Ecology and Evolution 4, 133-142.
    .. [3] P. C. D. Johnson (2014). Extension of Nakagawa & Schielzeth's R²_GLMM to random slopes
       models. Methods in Ecology and Evolution 5, 944-946.

    Examples
    --------
    >>> import skmeta
    >>> data = skmeta.load_gapminder()
    >>> model = skmeta.EmpiricalBayesRegressor("intercept")
    >>> model = model.fit(data.data, data.target, groups=data.groups)
    >>> print(skmeta.explain_tasks(model, data.feature_names))  # doctest: +ELLIPSIS
    142 task(s), 1704 known rows
    Variance: 76% shared, 16% level of the task, 0% slopes of the task, 8% noise; ICC 0.67
    Farthest from the prior: Afghanistan (3.59), Reunion (2.78), Angola (2.53) ...
    """
    found = FittedTasks.of(fitted, feature_names)
    library = found.library or table_library(None, "explain_tasks")
    columns = {
        "task": found.tasks,
        "rows": found.n_rows,
        "shift": found.shift,
        "distance": found.distance,
        "learned": found.learned,
    }
    order = np.argsort(-found.moved, kind="stable")
    tasks = {name: values[order] for name, values in columns.items() if values is not None}
    variance, features = _variance(found), _features(found)
    return TaskExplanation(
        as_table(tasks, library),
        None if variance is None else as_table(variance, library),
        None if features is None else as_table(features, library),
        _summary(found, variance),
    )


def _variance(found: FittedTasks) -> dict[str, Any] | None:
    if found.components is None:
        return None
    shared, level, slopes, noise = found.components.T
    between = level + slopes
    with np.errstate(invalid="ignore"):  # of a constant target
        return {
            "output": found.outputs,
            "shared": shared,
            "level": level,
            "slopes": slopes,
            "noise": noise,
            "icc": between / (between + noise),
            "r2_marginal": shared / (shared + between + noise),
            "r2_conditional": (shared + between) / (shared + between + noise),
        }


def _features(found: FittedTasks) -> dict[str, Any] | None:
    if found.features is None or found.effects is None or found.spreads is None:
        return None
    return {
        "output": np.repeat(np.array(found.outputs, dtype=object), len(found.features)),
        "feature": found.features * len(found.outputs),
        "effect": found.effects.ravel(),
        "sd": found.spreads.ravel(),
    }


def _summary(found: FittedTasks, variance: dict[str, Any] | None) -> str:
    lines = [f"{len(found.tasks)} task(s), {found.n_rows.sum()} known rows"]
    several = len(found.outputs) > 1
    for number, output in enumerate(found.outputs):
        name = f" of {output!r}" if several else ""
        if variance is not None and found.components is not None:
            parts = found.components[number] / found.components[number].sum()
            text = ", ".join(
                f"{share:.0%} {kind}" for share, kind in zip(parts, _COMPONENTS, strict=True)
            )
            lines.append(f"Variance{name}: {text}; ICC {variance['icc'][number]:.2f}")
        if found.features and found.effects is not None and found.spreads is not None:
            effects, spreads = found.effects[number], found.spreads[number]
            most = np.argsort(-spreads, kind="stable")[:_NAMED]
            most = most[spreads[most] > 0]
            text = ", ".join(
                f"{found.features[f]} ({effects[f]:.3g} ± {spreads[f]:.2g})" for f in most
            )
            if text:
                lines.append(f"Effects that vary most{name}: {text}")
    most = np.argsort(-found.moved, kind="stable")[:_NAMED]
    text = ", ".join(f"{found.tasks[task]} ({found.moved[task]:.3g})" for task in most)
    if len(found.tasks) == 1:
        lines.append(f"Distance from the prior: {found.moved[0]:.3g} {found.unit}")
    else:
        lines.append(f"Farthest from the prior: {text} {found.unit}")
    return "\n".join(lines)
