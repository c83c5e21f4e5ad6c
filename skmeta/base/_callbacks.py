"""What scikit-learn's callbacks, such as its progress bars, are told of a fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Takes no callbacks."""

        def _init_callback_context(self, **kwargs: Any) -> _NoContext:
            return _NoContext()

    def with_callbacks(method: Any) -> Any:
        """Return a method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "EpochTasks", "FitTask", "whole_fit", "with_callbacks"]


class _NoContext:
    """A context without callbacks."""

    def subcontext(self, **kwargs: Any) -> _NoContext:
        return self

    def call_on_fit_task_begin(self, **kwargs: Any) -> None:
        pass

    def call_on_fit_task_end(self, **kwargs: Any) -> bool:
        return False

    def propagate_callback_context(self, estimator: Any) -> nullcontext[None]:
        return nullcontext()


class FitTask:
    """A fit, or a part of one, as scikit-learn's callbacks see it.

    Parameters
    ----------
    estimator : estimator
        What is fitted.
    context : CallbackContext
        The place of the task in the tree of tasks.
    rows : dict
        X, y and metadata, if there are any.
    """

    def __init__(self, estimator: Any, context: Any, rows: dict[str, Any]) -> None:
        self.estimator = estimator
        self.context = context
        self.rows = rows

    @classmethod
    def of_fit(cls, estimator: Any, n_parts: int, X: Any, y: Any, metadata: Any) -> FitTask:
        """Begin the fit of an estimator in so many parts."""
        context = estimator._init_callback_context(max_subtasks=n_parts)
        known = {name: value for name, value in metadata.items() if value is not None}
        task = cls(estimator, context, {"X": X, "y": y, "metadata": known or None})
        return task._begun()

    def part(self, name: str) -> FitTask:
        """Begin a part of it."""
        return self._part(name)._begun()

    @contextmanager
    def fit_of(self, estimator: Any) -> Iterator[None]:
        """Let a part be the fit of another estimator, to which callbacks are passed on."""
        part = self._part(f"fit-{type(estimator).__name__}")
        with part.context.propagate_callback_context(estimator):
            part._begun()
            yield
        part.end()

    def _part(self, name: str) -> FitTask:
        return FitTask(self.estimator, self.context.subcontext(task_name=name), self.rows)

    def end(self, fitted: Any = dict) -> bool:
        """End it.

        Parameters
        ----------
        fitted : callable
            Makes the attributes that a copy of the estimator needs to be used as it is by now.

        Returns
        -------
        stop : bool
            Whether a callback asks for an end of the whole.
        """
        stop: bool = self.context.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=fitted, **self.rows
        )
        return stop

    def _begun(self) -> FitTask:
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.rows)
        return self


@contextmanager
def whole_fit(estimator: Any, X: Any, y: Any, groups: Any) -> Iterator[None]:
    """Tell callbacks of a fit that has no parts."""
    task = FitTask.of_fit(estimator, 0, X, y, {"groups": groups})
    yield
    task.end()


class EpochTasks(Callback):
    """Makes each epoch of a skorch net a part of the fit of a learner.

    Parameters
    ----------
    fit : FitTask
        The fit.
    fitted : callable
        Makes the attributes that a copy of the learner needs to be used as it is by now.
    """

    def __init__(self, fit: FitTask, fitted: Any) -> None:
        self.running = fit, fitted

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Begin a part."""
        self.epoch = self.running[0].part("epoch")

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """End it; skorch stops by this exception."""
        if self.epoch.end(self.running[1]):
            raise KeyboardInterrupt

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Let go of what is of this fit alone."""
        self.__dict__.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {}
