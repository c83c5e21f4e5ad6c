"""Pictures and tables of tasks, and of what learners make of them."""

from skmeta.inspection._adaptation_curve import AdaptationCurveDisplay
from skmeta.inspection._describe_tasks import describe_tasks
from skmeta.inspection._explain_tasks import explain_tasks
from skmeta.inspection._hetrom import HeTRoMDisplay
from skmeta.inspection._prediction_band import PredictionBandDisplay
from skmeta.inspection._task_error import TaskErrorDisplay
from skmeta.inspection._task_grouping import TaskGroupingDisplay
from skmeta.inspection._task_map import TaskMapDisplay
from skmeta.inspection._task_variation import TaskVariationDisplay
from skmeta.inspection._training_history import TrainingHistoryDisplay

__all__ = [
    "AdaptationCurveDisplay",
    "HeTRoMDisplay",
    "PredictionBandDisplay",
    "TaskErrorDisplay",
    "TaskGroupingDisplay",
    "TaskMapDisplay",
    "TaskVariationDisplay",
    "TrainingHistoryDisplay",
    "describe_tasks",
    "explain_tasks",
]
