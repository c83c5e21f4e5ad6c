"""Tools that choose and measure, compared with a loop over folds."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from _given import FEATURES, FOLDS, GROUPS, Y, close
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    LearningCurveDisplay,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    permutation_test_score,
    validation_curve,
)

from skmeta import EpisodicKFold, UnseenTaskWarning, task_scorer


def _scores(given, estimator=None):
    """Return R2 of each fold, by a loop."""
    estimator = given.regressor if estimator is None else estimator
    return [
        r2_score(Y[test], given.ask(given.fit(clone(estimator), Y, train), test))
        for train, test in FOLDS
    ]


def cross_validation(given):
    scores = cross_val_score(given.regressor, given.X, Y, cv=FOLDS, params=given.groups())
    close(scores, _scores(given))


def named_scorer(given):
    options = {"cv": FOLDS, "params": given.groups(), "error_score": "raise"}
    close(cross_val_score(given.regressor, given.X, Y, scoring="r2", **options), _scores(given))


def scorer_by_task(given):
    scoring = task_scorer("neg_mean_absolute_error", task_column=given.column)
    options = {"cv": FOLDS, "params": given.groups(), "error_score": "raise"}
    error = np.abs(given.out_of_fold(given.regressor) - Y)
    by_hand = [
        -np.mean([error[test][GROUPS[test] == g].mean() for g in np.unique(GROUPS[test])])
        for _, test in FOLDS
    ]
    close(cross_val_score(given.regressor, given.X, Y, scoring=scoring, **options), by_hand)


def out_of_fold_predictions(given):
    predicted = cross_val_predict(given.regressor, given.X, Y, cv=FOLDS, params=given.groups())
    close(predicted, given.out_of_fold(given.regressor))


def grid_search(given):
    search = given.fit(GridSearchCV(given.regressor, {"max_iter": [1, 3]}, cv=FOLDS))
    found = search.cv_results_
    for params, score in zip(found["params"], found["mean_test_score"], strict=True):
        close(score, np.mean(_scores(given, given.regressor.set_params(**params))))
    best = given.fit(given.regressor.set_params(**search.best_params_))
    close(given.ask(search.best_estimator_ if given.routed else search), given.ask(best))


def halving_search(given):
    search = HalvingGridSearchCV(
        given.regressor,
        {"task_column": [given.column], "unseen": ["prior", "raise"]},
        resource="max_iter",
        min_resources=1,
        max_resources=2,
        factor=2,
        cv=EpisodicKFold(2, n_shots=2, task_column=given.column, random_state=0),
        random_state=0,
    )
    found = given.fit(search)
    assert found.best_params_["max_iter"] == 2
    best = given.fit(given.regressor.set_params(max_iter=2))
    close(given.ask(found.best_estimator_), given.ask(best))


def curve_over_parameter(given):
    options = {"cv": FOLDS, "params": given.groups(), "error_score": "raise"}
    _, test = validation_curve(
        given.regressor, given.X, Y, param_name="max_iter", param_range=[1, 3], **options
    )
    for scores, value in zip(test, (1, 3), strict=True):
        close(scores, _scores(given, given.regressor.set_params(max_iter=value)))


def curve_over_rows(given):
    options = {"cv": FOLDS, "params": given.groups(), "error_score": "raise"}
    with pytest.warns(UnseenTaskWarning):
        sizes, _, test = learning_curve(
            given.regressor, given.X, Y, train_sizes=[0.5, 1.0], **options
        )
    close(test[-1], _scores(given))
    LearningCurveDisplay(train_sizes=sizes, train_scores=test, test_scores=test).plot()
    plt.close("all")


def permuted_targets(given):
    options = {"cv": FOLDS, "params": given.groups(), "random_state": 0, "n_permutations": 1}
    score, _, _ = permutation_test_score(given.regressor, given.X, Y, **options)
    close(score, np.mean(_scores(given)))
    within, seen = not given.routed, []
    permutation_test_score(
        given.regressor,
        given.X,
        Y,
        groups=GROUPS if within else None,
        scoring=lambda model, X, y, **tasks: seen.append(y) or 0.0,
        **options,
    )
    permuted = np.empty_like(Y)
    permuted[np.concatenate([test for _, test in FOLDS])] = np.concatenate(seen[-2:])
    assert not np.array_equal(permuted, Y)
    assert np.allclose(_means(permuted), _means(Y)) == within


def _means(targets):
    return [targets[task == GROUPS].mean() for task in np.unique(GROUPS)]


def feature_selection(given):
    selector = SequentialFeatureSelector(given.regressor, n_features_to_select=1, cv=FOLDS)
    given.fit(selector)
    best = [np.mean(list(_scores_of_column(given, name))) for name in FEATURES]
    assert selector.get_support().tolist() == [i == np.argmax(best) for i in range(2)]


def _scores_of_column(given, name):
    for train, test in FOLDS:
        X = FEATURES[[name]].to_numpy()
        model = given.regressor.fit(X[train], Y[train], **given.groups(train))
        yield r2_score(Y[test], model.predict(X[test], **given.groups(test)))


def optuna_study(given):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        model = given.regressor.set_params(max_iter=trial.suggest_categorical("max_iter", [1, 3]))
        return cross_val_score(model, given.X, Y, cv=FOLDS, params=given.groups()).mean()

    sampler = optuna.samplers.GridSampler({"max_iter": [1, 3]}, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=2)
    for trial in study.trials:
        close(trial.value, np.mean(_scores(given, given.regressor.set_params(**trial.params))))
