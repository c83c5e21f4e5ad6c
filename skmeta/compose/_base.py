"""What meta-transformers share: the task column is taken out before and put back after."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any, ClassVar

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from skmeta.base._callbacks import CallbackSupportMixin
from skmeta.compose._columns import as_frame, join_arrays, join_frames
from skmeta.tasks import separate_tasks

__all__ = ["BaseTaskTransformer", "transformer_has"]


def transformer_has(method: str) -> Any:
    """Make a method available where the wrapped transformer has it."""
    return available_if(
        lambda self: hasattr(getattr(self, "transformer_", self.transformer), method)
    )


class BaseTaskTransformer(TransformerMixin, CallbackSupportMixin, BaseEstimator):
    """Base of the meta-transformers, which apply a transformer beside the task column."""

    __metadata_request__fit: ClassVar = {"groups": True}
    __metadata_request__transform: ClassVar = {"groups": True}
    __metadata_request__inverse_transform: ClassVar = {"groups": True}

    transformer: Any
    task_column: Hashable | None
    _task_index: int

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.transformer)
        tags.input_tags = inner.input_tags
        if self.task_column is not None:
            tags.input_tags = replace(inner.input_tags, sparse=False, allow_nan=False)
        tags.target_tags.required = inner.target_tags.required
        tags.transformer_tags = inner.transformer_tags or tags.transformer_tags
        return tags

    @transformer_has("get_feature_names_out")  # type: ignore[untyped-decorator]
    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the output columns, with the task column among them.

        Parameters
        ----------
        input_features : array-like of str of shape (n_columns,), default=None
            Names of all columns of X; None takes those seen in `fit`, or "x0", "x1", ...

        Returns
        -------
        names : ndarray of str
            The names the transformer gives, and the unchanged name of the task column.
        """
        names = self._names_in(input_features)
        if self.task_column is None:
            return np.asarray(self.transformer_.get_feature_names_out(names), dtype=object)
        features = np.delete(names, self._task_index)
        features = self.transformer_.get_feature_names_out(features)
        task = names[self._task_index]
        position = self._position(len(features))
        return np.insert(np.asarray(features, dtype=object), position, task)

    def _names_in(self, input_features: Any = None) -> NDArray[Any]:
        # This mixin is scikit-learn's public way to check names against those seen in fit.
        return np.asarray(OneToOneFeatureMixin.get_feature_names_out(self, input_features))

    def _separate(
        self, X: Any, groups: Any, *, reset: bool = False
    ) -> tuple[Any, NDArray[Any] | None]:
        if getattr(X, "ndim", 2) != 2:
            raise ValueError(f"Expected 2D array, got {X.ndim}D array instead. Reshape your data.")
        features, labels = separate_tasks(X, groups, self.task_column)
        if not reset:
            validate_data(self, X, reset=False, skip_check_array=True)
        if labels is not None and len(labels) == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        if self.task_column is not None and features.shape[1] == 0:
            raise ValueError(
                f"X has 1 feature(s), and it is the task column {self.task_column!r}; there is "
                "nothing to transform."
            )
        return features, labels

    def _set_fitted(self, X: Any, transformer: Any) -> None:
        """Store what `fit` learned, once nothing can go wrong any more."""
        validate_data(self, X, reset=True, skip_check_array=True)
        self.transformer_ = transformer
        if self.task_column is not None:
            if isinstance(self.task_column, int | np.integer):
                self._task_index = int(self.task_column) % self.n_features_in_
            else:
                self._task_index = self.feature_names_in_.tolist().index(self.task_column)

    def _join(
        self, output: Any, X: Any, labels: NDArray[Any] | None, names: NDArray[Any] | None = None
    ) -> Any:
        """Put the task column of X back beside the other columns, called `names` in a frame."""
        if labels is None or self.task_column is None:
            return output
        if issparse(output):
            raise ValueError(
                "The transformer gives a sparse matrix, which has no place for a task column; "
                "let it give a dense one (sparse_output=False), or pass the tasks as groups."
            )
        width = output.shape[1]
        position, frame, out = self._position(width), as_frame(X), as_frame(output)
        name = str(self._names_in()[self._task_index])
        if frame is not None:
            column: Any = self.task_column
            if isinstance(column, int | np.integer):
                column = frame.columns[column]
            task = frame.get_column(column).alias(name)
        elif out is not None:
            task = nw.new_series(name, labels.tolist(), backend=out.implementation)
        else:
            return join_arrays(output, labels, position)
        names = self._names_out(width) if names is None else names
        if len(names) != width:
            raise ValueError(
                f"The transformer gives {width} columns for these rows, but was fitted to give "
                f"{len(names)}: {names.tolist()}."
            )
        return join_frames(output, task, position, names.tolist())

    def _position(self, width: int) -> int:
        """Return where the task column stands among `width` other columns."""
        if not isinstance(self.task_column, int | np.integer):
            return min(self._task_index, width)
        position = int(self.task_column)
        if position < 0:
            position += width + 1
        if not 0 <= position <= width:
            raise ValueError(
                f"task_column={self.task_column} is no column of the transformed rows, which "
                f"have {width + 1} with the task; put the task first or last, with "
                "task_column=0 or -1."
            )
        return position

    def _names_out(self, width: int) -> NDArray[Any]:
        """Return names for the transformed features, made up if the transformer has none."""
        features = np.delete(self._names_in(), self._task_index)
        if hasattr(self.transformer_, "get_feature_names_out"):
            return np.asarray(self.transformer_.get_feature_names_out(features), dtype=object)
        if len(features) == width:
            return features
        return np.array([f"x{column}" for column in range(width)], dtype=object)
