"""Which tasks are alike: embeddings of tasks, their dissimilarities, groups, diverse subsets."""

from skmeta.grouping._dissimilarity import task_dissimilarity
from skmeta.grouping._diverse_batches import DiverseBatches
from skmeta.grouping._group_tasks import group_tasks
from skmeta.grouping._task_embedding import TaskEmbedding
from skmeta.grouping._task_grouping import TaskGrouping

__all__ = ["DiverseBatches", "TaskEmbedding", "TaskGrouping", "group_tasks", "task_dissimilarity"]
