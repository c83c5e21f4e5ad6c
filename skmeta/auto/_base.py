"""What the automatic regressor and classifier share."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from skmeta.auto._numbers import check_numbers
from skmeta.auto._search import (
    Trial,
    failure,
    leaderboard,
    leave_out_undefined,
    ranking,
    shortcomings,
    try_candidates,
)
from skmeta.base import BaseMetaLearner, State, adapt
from skmeta.base._adapt import last_step
from skmeta.base._learner import groups_keyword
from skmeta.exceptions import UnseenTaskWarning
from skmeta.model_selection._curve import as_seed, check_metric, check_shots
from skmeta.model_selection._episodic import check_support
from skmeta.model_selection._folds import Fold, Rows, make_folds
from skmeta.model_selection._rows import support_mask
from skmeta.tasks import TaskData
from skmeta.utils._tables import as_table, table_library

__all__ = ["BaseAutoMeta"]

# Lets groups reach the steps of a candidate that is a pipeline.
_routed = partial(config_context, enable_metadata_routing=True)

_MOST_SHOTS = 10  # by default: a new task has few rows


class BaseAutoMeta(BaseMetaLearner):
    """Base of learners that choose another one, and then are it."""

    time_budget: float
    candidates: Mapping[str, Any] | None
    shots: int | Sequence[int] | None
    n_splits: int
    support: str
    scoring: str | Callable[..., float] | None
    random_state: Any
    verbose: int

    estimator_: Any
    best_name_: str
    shots_: NDArray[np.int64]

    _default_scoring: str
    _shortcomings: list[str]

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Try the candidates on held-out tasks, choose one and fit it to all tasks.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            The rows of all tasks, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. Without it and without `task_column`, all rows are one task.

        Returns
        -------
        self : estimator
            The fitted estimator. It knows the tasks of the rows, so it predicts them.

        Raises
        ------
        ValueError
            If rows, tasks or parameters are not what they should be, no two tasks have more rows
            than the `shots` asked for, `scoring` is undefined for nearly all of them, every
            candidate fails, or X has missing values or text.

        Warns
        -----
        UserWarning
            If nothing says which rows belong to which task, the choice was made without any
            score, or candidates were skipped for lack of time.
        """
        super().fit(X, y, groups)
        for said in self.__dict__.pop("_shortcomings"):
            warnings.warn(said, UserWarning, stacklevel=2)
        return self

    def _separate(self, X: Any, groups: Any) -> tuple[Any, NDArray[Any] | None]:
        features, labels = super()._separate(X, groups)
        check_numbers(features, self)
        return features, labels

    def _summary(self) -> dict[str, Any]:
        of_shots = zip(*(self._leaderboard[name] for name in ("status", "score")), strict=True)
        scores = [score for status, score in of_shots if status == "chosen"]
        return {
            **super()._summary(),
            "Chosen": self.best_name_,
            "Shots": ", ".join(map(str, self.shots_.tolist())),
            f"Score ({self._scoring})": ", ".join(f"{score:.4g}" for score in scores),
        }

    @property
    def _scoring(self) -> str | Callable[..., float]:
        return self._default_scoring if self.scoring is None else self.scoring

    @property
    def leaderboard_(self) -> Any:
        """What was found of each candidate, as a data frame."""
        check_is_fitted(self)
        library = self._table_library or table_library(None, "leaderboard_")
        return as_table(self._leaderboard, library)

    @abstractmethod
    def _default_candidates(
        self, shots: tuple[int, int], n_features: int, seed: int
    ) -> dict[str, Any]:
        """Return learners by name."""

    @abstractmethod
    def _pooled(self, estimator: Any) -> BaseMetaLearner:
        """Return a meta-learner that ignores tasks."""

    @abstractmethod
    def _targets(self, data: TaskData) -> NDArray[Any]:
        """Return targets as users give them."""

    def _fit_prior(self, data: TaskData) -> None:
        check_scalar(self.time_budget, "time_budget", Real, min_val=0)
        check_scalar(self.n_splits, "n_splits", Integral, min_val=2)
        check_support(self.support)
        scoring = self._scoring
        check_metric(scoring)
        codes = data.owners
        if self.support == "first":  # of each task in the order given; else the order is of content
            data = data.reorder(np.lexsort((data.table.order, codes)))
        cells = self._cells(data, codes)
        self.shots_ = self._check_shots(np.bincount(cells))
        seed = as_seed(self.random_state)
        candidates = self._check_candidates(data.X.shape[1], seed)
        rows = Rows(data.X, self._targets(data), codes)
        folds = self._folds(rows.y, codes, cells, seed)
        trials: list[Trial] = []
        for trial in try_candidates(candidates, rows, folds, scoring, self.time_budget):
            trials.append(trial)
            if self.verbose:
                print(f"[{type(self).__name__}] ({len(trials)} of {len(candidates)}) {trial}")
        leave_out_undefined(trials, scoring)
        labels = None if data.table.n_tasks == 1 else np.repeat(data.table.labels, data.sizes)
        chosen = self._refit(candidates, trials, Rows(rows.X, rows.y, labels))
        self.best_name_ = chosen.name
        self._leaderboard = leaderboard(trials, chosen, self.shots_)
        told = data.table.n_tasks > 1
        self._shortcomings = list(shortcomings(trials, chosen, tasks_told=told))

    def _cells(self, data: TaskData, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what shots are counted in, for each row."""
        return codes

    def _check_shots(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.shots is None:
            half = int(np.median(sizes[sizes > 0])) // 2
            most = min(max(half, 1), _MOST_SHOTS)
            return np.unique([-(-most // 4), most])
        return check_shots(self.shots)

    def _check_candidates(self, n_features: int, seed: int) -> dict[str, Any]:
        if self.candidates is None:
            shots = int(self.shots_[0]), int(self.shots_[-1])
            return self._default_candidates(shots, n_features, seed)
        if not isinstance(self.candidates, Mapping) or not self.candidates:
            raise ValueError(
                f"candidates={self.candidates!r} must be a dict {{name: estimator}} of at least "
                "one, or None."
            )
        kind = "classifier" if is_classifier(self) else "regressor"
        for name, candidate in self.candidates.items():
            if is_classifier(candidate) != is_classifier(self):
                raise ValueError(
                    f"candidates[{name!r}] is {type(candidate).__name__}, which is no {kind}."
                )
        return {
            name: candidate if hasattr(last_step(candidate), "adapt") else self._pooled(candidate)
            for name, candidate in self.candidates.items()
        }

    def _folds(
        self, y: NDArray[Any], codes: NDArray[np.int64], cells: NDArray[np.int64], seed: int
    ) -> list[Fold]:
        most, n_tasks = int(self.shots_[-1]), int(codes[-1]) + 1
        enough = len(np.unique(codes[~support_mask(cells, most, None)]))
        if enough < 2:
            if self.shots is not None and n_tasks > 1:
                raise ValueError(
                    f"shots goes up to {most}, and only {enough} of {n_tasks} tasks have more "
                    "rows than that to be tested on; at least 2 are needed. Ask for fewer shots."
                )
            return []
        return make_folds(
            y,
            codes,
            cells,
            self.shots_,
            n_splits=min(self.n_splits, enough),
            support=self.support,
            stratify=cells is not codes,
            random_state=check_random_state(seed),
        )

    def _refit(self, candidates: dict[str, Any], trials: list[Trial], rows: Rows) -> Trial:
        """Fit the best candidate to all rows, or the next best where that fails."""
        for trial in ranking(trials):
            try:
                with _routed():
                    fitted = clone(candidates[trial.name]).fit(
                        rows.X, rows.y, **groups_keyword(rows.groups)
                    )
                self.estimator_ = getattr(fitted, "best_estimator_", fitted)  # of a search
                return trial
            except Exception as error:
                trial.status, trial.scores = failure(error), None
        said = "; ".join(f"{trial.name!r} {trial.status}" for trial in trials)
        raise ValueError(f"All {len(trials)} candidates failed: {said}")

    def _adapt_tasks(self, data: TaskData) -> State:
        if not data.sizes.any():
            return {"estimator": self.estimator_, "adapted": False}
        with _routed():
            adapted = adapt(self.estimator_, data.X, self._targets(data), data.owners)
        return {"estimator": adapted, "adapted": True}

    def _ask(
        self,
        method: str,
        state: State,
        X: NDArray[Any],
        codes: NDArray[np.int64],
        **options: Any,
    ) -> Any:
        """Let the chosen learner predict; the tasks that it knows are called by number."""
        groups: NDArray[Any] = codes
        if not state["adapted"]:  # it knows those of fit, by any names, and none of these
            groups = np.full(len(X), object(), dtype=object)
        with _routed(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UnseenTaskWarning)  # it was said already
            return getattr(state["estimator"], method)(X, groups=groups, **options)
