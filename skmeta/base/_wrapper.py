"""Meta-transformers: from a meta-learner to one that is trained with another outer loop."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any, Self

from numpy.typing import NDArray
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skmeta.base._callbacks import CallbackSupportMixin, FitTask, with_callbacks
from skmeta.base._deep import BaseDeepLearner
from skmeta.base._html import SummaryInNotebooks
from skmeta.base._learner import groups_keyword
from skmeta.training import OuterLoop

__all__ = ["BaseMetaTransformer"]


def _learner_has(method: str) -> Any:
    return available_if(lambda self: hasattr(getattr(self, "estimator_", self.estimator), method))


class BaseMetaTransformer(MetaEstimatorMixin, CallbackSupportMixin, SummaryInNotebooks):
    """Base of estimators that train a meta-learner with another outer loop.

    Whatever a fitted learner does, this one does through it. They nest: each adds its part to the
    outer loop that the learner at last is trained with.
    """

    __metadata_request__fit = {"groups": True}
    __metadata_request__predict = {"groups": True}
    __metadata_request__predict_proba = {"groups": True}
    __metadata_request__predict_log_proba = {"groups": True}
    __metadata_request__transform = {"groups": True}
    __metadata_request__score = {"groups": True}

    estimator: Any
    estimator_: Any
    _outer = OuterLoop()

    @abstractmethod
    def _extend(self, outer: OuterLoop) -> OuterLoop:
        """Return an outer loop with this one's part in it."""

    def _before_fit(self, X: Any, y: Any, groups: Any) -> None:
        """Learn from the rows what the outer loop needs."""

    def _after_fit(self, learner: BaseDeepLearner) -> None:
        """Set what is to be known of the training."""

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Train the learner on a collection of tasks.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            The rows of all tasks, with the task column if the learner's `task_column` names one.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        self : estimator
            The fitted meta-transformer.
        """
        if not hasattr(self.estimator, "_outer"):
            raise TypeError(
                f"{type(self).__name__} needs a learner of skmeta that is trained on meta-batches "
                f"of tasks, got {type(self.estimator).__name__}."
            )
        if self._unfitted._merges_tasks:
            raise ValueError(
                f"{type(self).__name__} acts on the tasks of meta-batches, but "
                f"{type(self._unfitted).__name__} is trained on the rows of all tasks merged."
            )
        task = FitTask.of_fit(self, 1, X, y, {"groups": groups})
        before = vars(self).copy()
        try:
            self._before_fit(X, y, groups)
            learner = clone(self.estimator)
            learner._outer = self._extend(self._outer)
            with task.fit_of(learner):
                self.estimator_ = learner.fit(X, y, **groups_keyword(groups))
            self._after_fit(self._learner)
        except Exception:
            self.__dict__ = before
            raise
        task.end()
        return self

    def adapt(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Adapt to the labelled rows of one or many new tasks.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Support rows, a few of each new task.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        adapted : estimator
            A fitted estimator that knows these tasks alone; this one is left as it was.
        """
        check_is_fitted(self)
        return self._around(self.estimator_.adapt(X, y, **groups_keyword(groups)))

    @_learner_has("partial_adapt")  # type: ignore[untyped-decorator]
    def partial_adapt(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Take in further labelled rows of tasks, keeping what their earlier rows said.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        adapted : estimator
            A fitted estimator that knows the tasks that this one knows, and the new ones; this one
            is left as it was.
        """
        check_is_fitted(self)
        return self._around(self.estimator_.partial_adapt(X, y, groups))

    @_learner_has("calibrate")  # type: ignore[untyped-decorator]
    def calibrate(self, parameters: Any) -> Self:
        """Learn what the parameters of tasks mean, from tasks whose quantities are known.

        Parameters
        ----------
        parameters : array-like of shape (n_tasks,) or (n_tasks, n_quantities)
            The quantities of the known tasks, in the order of `tasks_`.

        Returns
        -------
        calibrated : estimator
            A fitted estimator that knows the quantities of tasks; this one is left as it was.
        """
        check_is_fitted(self)
        return self._around(self.estimator_.calibrate(parameters))

    @_learner_has("set_output")  # type: ignore[untyped-decorator]
    def set_output(self, *, transform: str | None = None) -> Self:
        """Set what `transform` and `fit_transform` return.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            An array, or a data frame of which library; None leaves it as it is.

        Returns
        -------
        self : estimator
            This estimator.
        """
        self.estimator.set_output(transform=transform)
        if "estimator_" in vars(self):
            self.estimator_.set_output(transform=transform)
        return self

    def predict(self, X: Any, groups: Any = None, **options: Any) -> Any:
        """Predict each row by the model of its task.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.
        **options : Any
            What else the learner's `predict` takes, such as `return_std`.

        Returns
        -------
        y : ndarray
            What the learner predicts.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X, **groups_keyword(groups), **options)

    @_learner_has("predict_proba")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Return class probabilities of each row by the model of its task.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X, **groups_keyword(groups))

    @_learner_has("predict_log_proba")  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X, **groups_keyword(groups))

    @_learner_has("transform")  # type: ignore[untyped-decorator]
    def transform(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Return the meta-learned representation of rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            What the learner's network computes before its head.
        """
        check_is_fitted(self)
        return self.estimator_.transform(X, **groups_keyword(groups))

    @_learner_has("transform")  # type: ignore[untyped-decorator]
    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> NDArray[Any]:
        """Fit, then transform the same rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            The representation.
        """
        return self.fit(X, y, groups).transform(X, groups)

    @_learner_has("get_feature_names_out")  # type: ignore[untyped-decorator]
    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the representation's features.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Not used.

        Returns
        -------
        names : ndarray of str
            The learner's.
        """
        check_is_fitted(self)
        return self.estimator_.get_feature_names_out(input_features)

    def score(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> float:
        """Return the learner's score: R2, or accuracy, over all rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            The score.
        """
        check_is_fitted(self)
        return float(
            self.estimator_.score(X, y, **groups_keyword(groups), sample_weight=sample_weight)
        )

    @property
    def tasks_(self) -> NDArray[Any]:
        """Labels of the tasks that this estimator knows."""
        check_is_fitted(self)
        labels: NDArray[Any] = self.estimator_.tasks_
        return labels

    def _around(self, learner: Any) -> Self:
        """Return a copy of this one around another fitted learner."""
        other = copy.copy(self)
        other.estimator_ = learner
        return other

    def _summary(self) -> dict[str, Any]:
        return self._learner._summary()

    @property
    def _learner(self) -> BaseDeepLearner:
        """Return the learner at the bottom."""
        inner = self.estimator_
        return inner._learner if isinstance(inner, BaseMetaTransformer) else inner

    @property
    def _unfitted(self) -> Any:
        """Return the learner at the bottom, as a parameter."""
        learner = self.estimator
        while isinstance(learner, BaseMetaTransformer):
            learner = learner.estimator
        return learner

    def __getattr__(self, name: str) -> Any:
        # What fit set on the learner: classes_, n_features_in_, feature_names_in_, net_ ...
        if name.endswith("_") and not name.endswith("__") and "estimator_" in vars(self):
            return getattr(self.estimator_, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_is_fitted__(self) -> bool:
        return "estimator_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)
