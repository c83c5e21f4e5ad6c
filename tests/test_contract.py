"""Our own battery, for every public estimator."""

import inspect

import numpy as np
import pytest
from _instances import INSTANCES, VARIANTS, shortened
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils.metadata_routing import MetadataRequest

import skmeta
from skmeta import EmpiricalBayesClassifier, EmpiricalBayesRegressor
from skmeta.base import BaseMetaLearner
from skmeta.utils import check_meta_learner, meta_learner_checks

_UNSCALED = "ignore::skmeta.DivergenceWarning"  # gradient steps on features that are not scaled


def _cases(estimator):
    name, short = repr(estimator), shortened(estimator)
    return [
        pytest.param(short, check, id=f"{name}-{check.__name__}")
        for check in meta_learner_checks(short)
    ]


@pytest.mark.filterwarnings(_UNSCALED)
@pytest.mark.parametrize(
    ("estimator", "check"), [case for e in INSTANCES + VARIANTS for case in _cases(e)]
)
def test_keeps_the_contract(estimator, check):
    check(estimator)


def test_every_public_learner_is_checked():
    public = [getattr(skmeta, name) for name in skmeta.__all__]
    learners = {
        cls
        for cls in public
        if inspect.isclass(cls) and issubclass(cls, BaseEstimator) and hasattr(cls, "adapt")
        if hasattr(cls, "predict")
    }
    assert learners >= {EmpiricalBayesClassifier, EmpiricalBayesRegressor}
    assert learners == {type(estimator) for estimator in INSTANCES}


@pytest.mark.parametrize("estimator", INSTANCES + VARIANTS, ids=repr)
def test_no_check_is_left_out(estimator):
    names = [check.__name__ for check in meta_learner_checks(estimator)]
    assert len(names) == len(set(names)) >= 29


def _broken(**methods):
    """Return a learner with something wrong in it."""
    body = {"__init__": _init, "__module__": __name__, **methods}
    globals()["Broken"] = type("Broken", (EmpiricalBayesRegressor,), body)  # for pickle to find
    return globals()["Broken"]()


def _init(self, effects="full", *, offset=None, task_column=None, unseen="prior"):
    EmpiricalBayesRegressor.__init__(
        self, effects, offset=offset, task_column=task_column, unseen=unseen
    )


def _fit_by_row_number(self, X, y, groups=None, sample_weight=None):
    EmpiricalBayesRegressor.fit(self, X, y, groups, sample_weight)
    self.priors_[0].mean[0] += 1e-9 * y[0]
    return self


def _adapt_in_place(self, X, y, groups=None, sample_weight=None):
    self.__dict__ = EmpiricalBayesRegressor.adapt(self, X, y, groups, sample_weight).__dict__
    return self


def _predict_centred(self, X, groups=None, return_std=False):
    outputs = EmpiricalBayesRegressor.predict(self, X, groups)
    return outputs - outputs.mean()


def _predict_in_double(self, X, groups=None, return_std=False):
    return EmpiricalBayesRegressor.predict(self, X, groups).astype(np.float64)


def _predict_pooled(self, X, groups=None, return_std=False):
    X = self._read_features(X, groups)[0]
    return X.sum(axis=1)


def _read_any_features(self, X, groups):
    X, groups = self._separate(X, groups)
    return np.nan_to_num(X)[:, : self.n_features_in_], groups


def _no_request(self):
    return MetadataRequest(owner="Broken")


@pytest.mark.parametrize(
    ("check", "methods"),
    [
        ("check_row_order_does_not_matter", {"fit": _fit_by_row_number}),
        ("check_adapt_and_predict_leave_the_model_as_it_was", {"adapt": _adapt_in_place}),
        ("check_predictions_do_not_depend_on_other_rows", {"predict": _predict_centred}),
        ("check_float_type_is_kept", {"predict": _predict_in_double}),
        ("check_rows_without_task_information", {"predict": _predict_pooled}),
        ("check_unseen_tasks_are_predicted_with_one_warning", {"predict": _predict_pooled}),
        ("check_unseen_tasks_raise_if_asked_to", {"predict": _predict_pooled}),
        ("check_bad_input_raises_and_changes_nothing", {"_read_features": _read_any_features}),
        ("check_groups_are_requested_by_default", {"get_metadata_routing": _no_request}),
    ],
)
def test_the_battery_catches(check, methods):
    broken = _broken(**methods)
    checks = {check.__name__: check for check in meta_learner_checks(broken)}
    with pytest.raises(AssertionError):
        checks[check](broken)


def test_the_battery_rejects_what_is_no_meta_learner():
    assert not issubclass(KNeighborsRegressor, BaseMetaLearner)
    with pytest.raises((AssertionError, TypeError)):
        check_meta_learner(KNeighborsRegressor())
