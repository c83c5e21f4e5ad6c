"""Meta-training on tasks that are not all worth the same."""

from skmeta.robust._hetrom import HeTRoM

__all__ = ["HeTRoM"]
