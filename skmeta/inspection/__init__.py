"""Pictures and tables of tasks, and of what learners make of them."""

from skmeta.inspection._adaptation_curve import AdaptationCurveDisplay

__all__ = ["AdaptationCurveDisplay"]
