"""Meta-transformers that draw meta-batches by what tasks are like."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.base import clone, is_classifier

from skmeta.base._wrapper import BaseMetaTransformer
from skmeta.grouping._task_embedding import TaskEmbedding

__all__ = ["EmbeddedTasks"]


class EmbeddedTasks(BaseMetaTransformer):
    """Base of meta-transformers that embed the training tasks first."""

    embedding: Any
    random_state: Any
    embedding_: TaskEmbedding
    task_embeddings_: NDArray[Any]

    def _embed(self, X: Any, y: Any, groups: Any, seed: int) -> None:
        """Describe each training task, in the order of the numbers that it has in training."""
        # As the learner will see them, so that tasks have the same numbers and wrong input the same
        # errors.
        data = clone(self._unfitted)._read(X, y, groups, None, reset=True)
        embedding = self._make_embedding(seed)
        y = data.y[:, 0] if data.y.ndim == 2 and data.y.shape[1] == 1 else data.y
        self.task_embeddings_ = embedding.fit_transform(data.X, y, groups=data.owners)
        self.embedding_ = embedding

    def _make_embedding(self, seed: int) -> TaskEmbedding:
        if isinstance(self.embedding, TaskEmbedding):
            return clone(self.embedding)
        learner = self._unfitted
        classes = is_classifier(learner)
        return TaskEmbedding(
            self.embedding,
            target_type="multiclass" if classes else "continuous",
            label_sets=learner.label_sets if classes else "auto",
            device=learner.device,
            random_state=seed,
        )
