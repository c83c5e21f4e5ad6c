"""How much each task of a meta-batch has a say in the meta-update."""

from skmeta.balancing._task_balancing import TaskBalancing

__all__ = ["TaskBalancing"]
