"""Training on episodes: what is held out, drawn, trained and then concluded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from skmeta.base._learner import groups_keyword
from skmeta.base._memory import activation_bytes
from skmeta.base._network import NetworkLearner, reject_diverged, reject_running_statistics
from skmeta.base._validation import Validation, choose_held_out
from skmeta.tasks import EpisodeSampler, TaskData, shots_range
from skmeta.training import EpisodeStream

__all__ = ["BaseDeepLearner"]


class BaseDeepLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkLearner):
    """Base of learners whose body is a torch network, trained by skorch."""

    __metadata_request__transform = {"groups": True}

    _class_way: int | None = None
    _by_class = False
    _merges_tasks = False  # whether training forgets which task a row is of
    _loss_is_likelihood = False  # minus its logarithm, which may be negative
    _likelihood_is_of_rows = True  # all outputs of a row together, or the mean over outputs
    _validation: Validation | None = None  # in fit
    # Fewer are too noisy to stop by, and more cost more than the updates of an epoch.
    _n_validation_episodes = 64, 512

    @abstractmethod
    def _prepare(self, data: TaskData) -> TaskData:
        """Learn what encoding targets needs; return data to train on."""

    def _summary(self) -> dict[str, Any]:
        told = super()._summary()
        shots = getattr(self, "n_shots", None)
        if shots is not None:
            low, high = shots_range(shots)
            by_class = " of each class" if self._by_class or self._class_way else ""
            told["Shots in training"] = (f"{low}" if low == high else f"{low} to {high}") + by_class
        told["Meta-updates"] = self.n_iter_
        history = self.net_.history
        if history:
            told["Meta-loss of the last epoch"] = f"{history[-1]['train_loss']:.4g}"
        validated = [row["valid_loss"] for row in history if "valid_loss" in row]
        if validated:
            told["Validation loss of the best epoch"] = f"{np.nanmin(validated):.4g}"
        return told

    def transform(self, X: Any, groups: Any = None) -> NDArray[Any]:
        """Return the meta-learned representation of rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows, with the task column if `task_column` names one.
        groups : array-like of shape (n_samples,), default=None
            The task of each row; the representation is the same for all tasks.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            What the network computes before its head.
        """
        features, _ = self._read_features(X, groups)
        return self._represent(features)

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
        return self.fit(X, y, **groups_keyword(groups)).transform(X, **groups_keyword(groups))

    def _fit_prior(self, data: TaskData) -> None:
        seed = check_random_state(self.random_state).randint(2**31)
        random = np.random.default_rng(seed)
        training = self._prepare(data)
        if self.validation_fraction is None:
            self.validation_tasks_ = data.table.labels[:0]
        else:
            self._hold_out(data, random.spawn(1)[0])
            training = training.keep(self._seen_rows(data))
        sampler = self._sampler(training, random)
        with _seeded(seed, torch.device(self.device)):
            self.net_ = self._make_net(training).initialize()
            reject_running_statistics(self.net_.module_)
            self._measure(training)
            self._before_training(training, sampler)
            self.net_.partial_fit(self._stream(training, sampler))
        self.__dict__.pop("_validation", None)
        reject_diverged(self.net_.module_)
        self._conclude(training)

    def _conclude(self, data: TaskData) -> None:
        self.net_.module_.eval()
        self._finish(data)
        self.n_iter_ = getattr(self.net_, "n_updates_", 0)

    def _measure(self, data: TaskData) -> None:
        """Find how much the network makes of a row, which adaptation to validate needs already."""
        self.net_.module_.eval()
        # Two rows and more, for layers that take statistics over them.
        self._n_features_out = self._represent(data.X[[0, 0]]).shape[1]
        rows = self._tensor(data.X[[0, 0, 0, 0]])
        self._activation_bytes = activation_bytes(self._rule.represent, rows)
        self.net_.module_.train()

    def _finish(self, data: TaskData, quick: bool = False) -> None:
        """Learn what follows from the network; quickly will do to compare epochs."""

    def _hold_out(self, data: TaskData, random: np.random.Generator) -> None:
        """Choose what is not trained on, and fix the episodes to validate on."""
        rows = self._numbered(data)
        sampler, by_class = self._validation_sampler(rows, random), self._holds_out_classes(data)
        self.validation_tasks_ = choose_held_out(
            self.validation_fraction,
            self.classes_ if by_class else data.table.labels,
            np.unique(sampler.cell_class) if by_class else sampler.eligible,
            random,
            n_way=sampler.n_way if by_class else None,
        )
        held_out = ~self._seen_rows(data)
        sampler = self._validation_sampler(rows.keep(held_out), random)
        self._validation = Validation(data.keep(held_out), sampler, self._n_validation_episodes)

    def _numbered(self, data: TaskData) -> TaskData:
        """Return rows with their targets as episodes are drawn by."""
        return data

    def _validation_sampler(self, data: TaskData, random: np.random.Generator) -> EpisodeSampler:
        """Draw episodes as tasks will be met in use: of a support and a query."""
        return EpisodeSampler(
            data,
            getattr(self, "n_shots", 1),
            self.n_queries,
            n_way=getattr(self, "n_way", None),
            stratify=self._by_class,
            random=random,
            by_half=not hasattr(self, "n_shots"),
        )

    def _holds_out_classes(self, data: TaskData) -> bool:
        """Whether it is classes, out of which episodes are drawn, that are held out."""
        return getattr(self, "n_way", None) is not None and data.table.n_tasks == 1

    def _seen_rows(self, data: TaskData) -> NDArray[np.bool_]:
        """Return which of the rows of fit were trained on."""
        if self._holds_out_classes(data):
            held_out: NDArray[np.bool_] = np.isin(self.classes_[data.y], self.validation_tasks_)
            return ~held_out
        seen = np.ones(data.table.n_tasks, dtype=bool)
        seen[data.table.lookup(self.validation_tasks_)] = False
        return np.repeat(seen, data.sizes)

    def _validate(self, data: TaskData) -> float:
        """Return the loss on the held-out tasks, were `data` all that is trained on."""
        assert self._validation is not None
        self._finish(data, quick=True)
        return self._validation.loss(self._query_losses)

    @abstractmethod
    def _query_losses(self, support: TaskData, query: TaskData) -> NDArray[np.float64]:
        """Return the loss of each query row after adapting to the support of its task."""

    @property
    def _shots(self) -> int | tuple[int, int]:
        """Return the number of support rows of a training episode."""
        return 0

    def _before_training(self, data: TaskData, sampler: EpisodeSampler) -> None:
        """Do what needs the initialised network and the episodes."""

    def _sampler(self, data: TaskData, random: np.random.Generator) -> EpisodeSampler:
        return EpisodeSampler(
            data,
            self._shots,
            self.n_queries,
            n_way=self._class_way,
            stratify=self._by_class,
            random=random,
            choose=self._outer.choose,
        )

    def _stream(self, data: TaskData, sampler: EpisodeSampler) -> EpisodeStream:
        n_tasks = self.meta_batch_size
        if self._class_way is None:
            n_tasks = min(n_tasks, len(sampler.eligible))
        augment = None
        if self._outer.augment is not None:
            # Of a source of its own, so that the episodes are those of the learner alone.
            augment = self._outer.augment(self._rule, sampler.random.spawn(1)[0])
        return EpisodeStream(
            self._tensor(data.X),
            self._tensor(self._encode(data)),
            sampler,
            n_tasks=n_tasks,
            n_updates=self.max_iter,
            per_epoch=self._updates_per_epoch,
            augment=augment,
            validate=None if self._validation is None else partial(self._validate, data),
        )


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch for a while, and wake no device that is not used."""
    on_cpu = device.type == "cpu"
    with torch.random.fork_rng([] if on_cpu else [device], device_type=device.type):
        torch.default_generator.manual_seed(seed)
        if not on_cpu:
            torch.manual_seed(seed)
        yield
