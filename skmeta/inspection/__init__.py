"""Pictures and tables of tasks, and of what learners make of them."""

from skmeta.inspection._adaptation_curve import AdaptationCurveDisplay
from skmeta.inspection._describe_tasks import describe_tasks
from skmeta.inspection._task_error import TaskErrorDisplay

__all__ = ["AdaptationCurveDisplay", "TaskErrorDisplay", "describe_tasks"]
