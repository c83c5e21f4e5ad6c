"""Models made of models, and tools that look into one, compared with doing it by hand."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from _given import FEATURES, FOLDS, GROUPS, LABELS, Y, close
from numpy.testing import assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor

# Ensembles


def stacked_regressors(given):
    stack = StackingRegressor([("one", given.regressor)], LinearRegression(), cv=FOLDS)
    predicted = given.fit(stack).predict(given.X)
    known = given.out_of_fold(given.regressor)[:, None]
    head = LinearRegression().fit(known, Y)
    close(predicted, head.predict(given.ask(given.fit(given.regressor))[:, None]))


def stacked_classifiers(given):
    stack = StackingClassifier([("one", given.classifier)], LogisticRegression(), cv=FOLDS)
    proba = given.fit(stack, LABELS).predict_proba(given.X)
    known = given.out_of_fold(given.classifier, LABELS, "predict_proba")[:, 1:]
    head = LogisticRegression().fit(known, LABELS)
    alone = given.ask(given.fit(given.classifier, LABELS), method="predict_proba")[:, 1:]
    close(proba, head.predict_proba(alone))


def averaged_regressors(given):
    members = [("one", given.regressor), ("two", given.regressor.set_params(max_iter=1))]
    predicted = given.fit(VotingRegressor(members)).predict(given.X)
    close(predicted, np.mean([given.ask(given.fit(m)) for _, m in members], axis=0))


def averaged_classifiers(given):
    members = [("one", given.classifier), ("two", given.classifier.set_params(max_iter=1))]
    vote = given.fit(VotingClassifier(members, voting="soft"), LABELS)
    alone = [given.ask(given.fit(m, LABELS), method="predict_proba") for _, m in members]
    close(vote.predict_proba(given.X), np.mean(alone, axis=0))


def bagged_regressors(given):
    options = {"max_samples": 0.9, "bootstrap": False, "random_state": 0}
    if given.routed:
        bag = given.fit(BaggingRegressor(given.regressor, 2, **options))
        rows = FEATURES.to_numpy()
        parts = [member.predict(rows, groups=GROUPS) for member in bag.estimators_]
        close(given.ask(bag), np.mean(parts, axis=0))
    else:
        X = np.column_stack([np.unique(GROUPS, return_inverse=True)[1], FEATURES])
        bag = BaggingRegressor(given.regressor.set_params(task_column=0), 2, **options).fit(X, Y)
        parts = [member.predict(X) for member in bag.estimators_]
        close(bag.predict(X), np.mean(parts, axis=0))
    assert len(bag.estimators_[0].tasks_) == len(np.unique(GROUPS))
    assert not np.allclose(*parts)


# Classifiers


def calibrated(given):
    model = given.fit(CalibratedClassifierCV(given.classifier, cv=FOLDS), LABELS)
    proba = model.predict_proba(given.X)
    parts = []
    for (train, _), member in zip(FOLDS, model.calibrated_classifiers_, strict=True):
        alone = given.fit(given.classifier, LABELS, train)
        score = given.ask(alone, method="predict_proba")[:, 1]
        parts.append(member.calibrators[0].predict(score))
    close(proba[:, 1], np.mean(parts, axis=0))


def tuned_threshold(given):
    tuned = TunedThresholdClassifierCV(given.classifier, cv=FOLDS, thresholds=20)
    tuned = given.fit(tuned, LABELS == "high")
    known = given.out_of_fold(given.classifier, LABELS == "high", "predict_proba")[:, 1]
    proba = given.ask(given.fit(given.classifier, LABELS == "high"), method="predict_proba")[:, 1]
    assert_array_equal(tuned.predict(given.X), proba >= tuned.best_threshold_)
    best = balanced_accuracy_score(LABELS == "high", known >= tuned.best_threshold_)
    assert best > balanced_accuracy_score(LABELS == "high", known >= 0.9) - 1e-9


def fixed_threshold(given):
    fixed = FixedThresholdClassifier(given.classifier, threshold=0.4)
    fixed = given.fit(fixed, LABELS == "high")
    proba = given.ask(given.fit(given.classifier, LABELS == "high"), method="predict_proba")[:, 1]
    assert_array_equal(fixed.predict(given.X), proba >= 0.4)


def one_against_rest(given):
    model = given.fit(OneVsRestClassifier(given.classifier), LABELS)
    alone = given.fit(given.classifier, (LABELS == "low").astype(int))
    close(model.predict_proba(given.X)[:, 1], given.ask(alone, method="predict_proba")[:, 1])


# Inspection, and several outputs


def importance(given):
    model = given.fit(given.regressor)
    found = permutation_importance(model, given.X, Y, n_repeats=2, random_state=0)
    task = list(given.X.columns).index("school") if given.column else 0
    assert found.importances_mean[task] > 0  # the task tells something about y


def partial_dependence_plot(given):
    model = given.fit(given.regressor)
    display = PartialDependenceDisplay.from_estimator(model, given.X, ["a"], grid_resolution=3)
    found = display.pd_results[0]
    for value, average in zip(found["grid_values"][0], found["average"][0], strict=True):
        close(average, model.predict(given.X.assign(a=value), **given.groups()).mean())
    plt.close("all")


def one_learner_for_each_output(given):
    both = np.column_stack([Y, -Y])
    predicted = given.fit(MultiOutputRegressor(given.regressor), both).predict(given.X)
    close(predicted[:, 0], given.ask(given.fit(given.regressor)))
