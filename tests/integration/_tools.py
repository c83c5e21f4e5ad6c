"""Which tools of scikit-learn and others work around a meta-learner: the table that is tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import _data_checks as data
import _model_checks as model
import _selection_checks as selection
from _given import Given


@dataclass(frozen=True)
class Tool:
    """A tool, and what holds of it.

    Parameters
    ----------
    topic, name : str
        The part of the page, and the row in it.
    check : callable
        Fails if the tool does not work with what it is given.
    says : str
        What the check compares.
    column, groups : str or None
        A note on tasks in a column, and on groups under metadata routing; None if it does not
        work, and then `check` raises a `ValueError` or a `TypeError`.
    why : str, default=""
        Why it does not work.
    """

    topic: str
    name: str
    check: Callable[[Given], Any]
    says: str
    column: str | None = ""
    groups: str | None = ""
    why: str = ""

    def works(self, routed: bool) -> bool:
        """Tell whether it works with groups, if routed, or with a column."""
        return (self.groups if routed else self.column) is not None


_ONLY_X = "its `predict` takes X alone"
_INSIDE = "it predicts inside `fit`, and passes X alone"

TOOLS = [
    Tool(
        "Tables",
        "NumPy array",
        data.arrays,
        "predictions equal those from a frame",
        "`task_column` is an index, labels are numbers",
    ),
    Tool(
        "Tables",
        "pandas `DataFrame`",
        data.pandas_frames,
        "`feature_names_in_` are the columns, a wrong name raises, rows are predicted by their "
        "task",
    ),
    Tool("Tables", "polars `DataFrame`", data.polars_frames, "predictions equal those from pandas"),
    Tool("Tables", "pyarrow `Table`", data.arrow_tables, "predictions equal those from pandas"),
    Tool(
        "Tables",
        '`set_output(transform="pandas")`, `"polars"`',
        data.set_output,
        "steps give frames with the task column, learners with named features; predictions stay",
    ),
    Tool(
        "Composition",
        "`Pipeline(memory=...)`",
        data.cached_pipeline,
        "the second `fit` reads the first steps from the cache and predicts the same",
        "transformers in `Shared` or `PerTask`",
    ),
    Tool(
        "Composition",
        "`PerTask` in a `Pipeline`",
        data.per_task_transformer,
        "equals scaling each task by hand",
    ),
    Tool(
        "Composition",
        "`ColumnTransformer`",
        data.column_transformer,
        "equals `Shared(StandardScaler())`",
        '`remainder="passthrough"`, `verbose_feature_names_out=False` and '
        '`set_output(transform="pandas")`, so that the column keeps its name',
    ),
    Tool(
        "Composition",
        "`TransformedTargetRegressor`",
        data.transformed_target,
        "equals transforming targets and predictions by hand",
    ),
    Tool(
        "Composition",
        "`MultiOutputRegressor`",
        model.one_learner_for_each_output,
        "equals a fit to one output",
        groups=None,
        why=_ONLY_X,
    ),
    Tool(
        "Composition",
        "`joblib.dump`, `joblib.load`",
        data.joblib_files,
        "the same predictions, to the bit",
    ),
    Tool(
        "Model selection",
        "`cross_val_score`, `cross_validate`",
        selection.cross_validation,
        "scores equal a loop over folds",
    ),
    Tool(
        "Model selection",
        '`scoring="r2"` and other names',
        selection.named_scorer,
        "scores equal a loop over folds",
        groups=None,
        why="named scorers pass X alone: leave `scoring` out or take `task_scorer`",
    ),
    Tool(
        "Model selection",
        "`scoring=task_scorer(...)`",
        selection.scorer_by_task,
        "scores equal a loop over folds and tasks",
    ),
    Tool(
        "Model selection",
        "`cross_val_predict`",
        selection.out_of_fold_predictions,
        "predictions equal a loop over folds",
        groups=None,
        why="it routes `params` to `fit` alone",
    ),
    Tool(
        "Model selection",
        "`GridSearchCV`, `RandomizedSearchCV`",
        selection.grid_search,
        "scores equal a loop over folds, predictions those of the best parameters",
        groups="predict by `best_estimator_`, for the search's own `predict` takes X alone",
    ),
    Tool(
        "Model selection",
        "`HalvingGridSearchCV`",
        selection.halving_search,
        "the largest resource wins, and predicts as a fit with it does",
        '`resource="max_iter"`: `"n_samples"` thins out tasks, and the splitter may find too few '
        "rows of them",
        '`resource="max_iter"`; predict by `best_estimator_`',
    ),
    Tool(
        "Model selection",
        "`learning_curve`, `LearningCurveDisplay`",
        selection.curve_over_rows,
        "the score with all rows equals a loop over folds",
        "it leaves out whole tasks, which the prior then predicts, with a warning; rows of a "
        "new task are what `adaptation_curve` counts",
        "the function alone, likewise: the display passes no `params`",
    ),
    Tool(
        "Model selection",
        "`validation_curve`, `ValidationCurveDisplay`",
        selection.curve_over_parameter,
        "scores equal a loop over folds",
        groups="the function alone: the display passes no `params`",
    ),
    Tool(
        "Model selection",
        "`permutation_test_score`",
        selection.permuted_targets,
        "the score equals a loop over folds; what is permuted",
        "targets are permuted over all tasks, within tasks with `groups=labels`",
        "targets are permuted over all tasks",
    ),
    Tool(
        "Model selection",
        "`SequentialFeatureSelector`",
        selection.feature_selection,
        "keeps the feature that alone scores best",
        column=None,
        why="it tries columns of X without that of the task, and an index then names a feature",
    ),
    Tool(
        "Model selection",
        "Optuna, `cross_val_score` in the objective",
        selection.optuna_study,
        "each trial equals a loop over folds; see [examples/tuning.py](../examples/tuning.py)",
    ),
    Tool(
        "Ensembles",
        "`StackingRegressor`",
        model.stacked_regressors,
        "equals a linear regression on predictions out of fold",
        "folds by rows, see below",
        None,
        _INSIDE,
    ),
    Tool(
        "Ensembles",
        "`StackingClassifier`",
        model.stacked_classifiers,
        "equals a logistic regression on probabilities out of fold",
        "folds by rows, see below",
        None,
        _INSIDE,
    ),
    Tool(
        "Ensembles",
        "`VotingRegressor`",
        model.averaged_regressors,
        "the mean of its members' predictions",
        groups=None,
        why=_ONLY_X,
    ),
    Tool(
        "Ensembles",
        "`VotingClassifier`",
        model.averaged_classifiers,
        "the mean of its members' probabilities",
        groups=None,
        why=_ONLY_X,
    ),
    Tool(
        "Ensembles",
        "`BaggingRegressor`",
        model.bagged_regressors,
        "the mean of its members, which know all tasks and differ",
        "it makes an array of X: `task_column` is an index; `max_features=1.0`",
        "",
    ),
    Tool(
        "Classifiers",
        "`CalibratedClassifierCV`",
        model.calibrated,
        "equals its calibrators on probabilities of a fit to each fold",
        "folds by rows, see below",
        None,
        _INSIDE,
    ),
    Tool(
        "Classifiers",
        "`TunedThresholdClassifierCV`",
        model.tuned_threshold,
        "classes are probabilities at its threshold",
        "folds by rows, see below",
        None,
        _INSIDE,
    ),
    Tool(
        "Classifiers",
        "`FixedThresholdClassifier`",
        model.fixed_threshold,
        "classes are probabilities at its threshold",
        groups=None,
        why=_ONLY_X,
    ),
    Tool(
        "Classifiers",
        "`OneVsRestClassifier`",
        model.one_against_rest,
        "equals a fit to one class against the others",
        groups=None,
        why=_ONLY_X,
    ),
    Tool(
        "Inspection",
        "`permutation_importance`",
        model.importance,
        "the task column matters",
        "also says what the task is worth",
        None,
        _ONLY_X,
    ),
    Tool(
        "Inspection",
        "`PartialDependenceDisplay`",
        model.partial_dependence_plot,
        "the curve equals means of predictions with the feature set",
        groups=None,
        why=_ONLY_X,
    ),
]
