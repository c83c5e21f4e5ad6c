"""skmeta: meta-learning as scikit-learn estimators."""

from skmeta._version import __version__
from skmeta.amortised import ConditionalNeuralProcessRegressor
from skmeta.augmentation import IntervalInterpolation, TaskInterpolation
from skmeta.auto import AutoMetaClassifier, AutoMetaRegressor
from skmeta.balancing import TaskBalancing
from skmeta.base import adapt, select_context
from skmeta.compose import PerTask, Shared
from skmeta.datasets import (
    bayes_linear_mse,
    bayes_linear_predict,
    list_collections,
    load_collection,
    load_gapminder,
    load_glyphs,
    make_classification_tasks,
    make_linear_tasks,
    make_sinusoid_tasks,
)
from skmeta.empirical_bayes import EmpiricalBayesClassifier, EmpiricalBayesRegressor
from skmeta.exceptions import DivergenceWarning, UnseenTaskWarning
from skmeta.gradient import (
    ANILClassifier,
    ANILRegressor,
    BootstrappedMAMLClassifier,
    BootstrappedMAMLRegressor,
    CAVIAClassifier,
    CAVIARegressor,
    IMAMLClassifier,
    IMAMLRegressor,
    MAMLClassifier,
    MAMLRegressor,
    MetaSGDClassifier,
    MetaSGDRegressor,
    MinibatchProxClassifier,
    MinibatchProxRegressor,
    ReptileClassifier,
    ReptileRegressor,
)
from skmeta.grouping import (
    DiverseBatches,
    TaskEmbedding,
    TaskGrouping,
    group_tasks,
    task_dissimilarity,
)
from skmeta.heads import (
    BayesianHeadRegressor,
    DeepKernelClassifier,
    DeepKernelRegressor,
    LogisticHeadClassifier,
    MatchingClassifier,
    PrototypicalClassifier,
    RidgeHeadClassifier,
    RidgeHeadRegressor,
    SVMHeadClassifier,
    SVMHeadRegressor,
)
from skmeta.inspection import (
    AdaptationCurveDisplay,
    HeTRoMDisplay,
    PredictionBandDisplay,
    TaskErrorDisplay,
    TaskGroupingDisplay,
    TaskMapDisplay,
    TrainingHistoryDisplay,
    describe_tasks,
)
from skmeta.metrics import task_scorer
from skmeta.model_selection import (
    EpisodicKFold,
    EpisodicShuffleSplit,
    TaskKFold,
    adaptation_curve,
    compare_learners,
)
from skmeta.modules import MLP, Conv4, ResNet12
from skmeta.multitask import (
    CAMELRegressor,
    GoodEmbeddingClassifier,
    GoodEmbeddingRegressor,
    MultiHeadClassifier,
    MultiHeadRegressor,
)
from skmeta.optim import SAM
from skmeta.robust import HeTRoM
from skmeta.saving import load, save
from skmeta.utils.estimator_checks import check_meta_learner

__all__ = [
    "MLP",
    "SAM",
    "ANILClassifier",
    "ANILRegressor",
    "AdaptationCurveDisplay",
    "AutoMetaClassifier",
    "AutoMetaRegressor",
    "BayesianHeadRegressor",
    "BootstrappedMAMLClassifier",
    "BootstrappedMAMLRegressor",
    "CAMELRegressor",
    "CAVIAClassifier",
    "CAVIARegressor",
    "ConditionalNeuralProcessRegressor",
    "Conv4",
    "DeepKernelClassifier",
    "DeepKernelRegressor",
    "DivergenceWarning",
    "DiverseBatches",
    "EmpiricalBayesClassifier",
    "EmpiricalBayesRegressor",
    "EpisodicKFold",
    "EpisodicShuffleSplit",
    "GoodEmbeddingClassifier",
    "GoodEmbeddingRegressor",
    "HeTRoM",
    "HeTRoMDisplay",
    "IMAMLClassifier",
    "IMAMLRegressor",
    "IntervalInterpolation",
    "LogisticHeadClassifier",
    "MAMLClassifier",
    "MAMLRegressor",
    "MatchingClassifier",
    "MetaSGDClassifier",
    "MetaSGDRegressor",
    "MinibatchProxClassifier",
    "MinibatchProxRegressor",
    "MultiHeadClassifier",
    "MultiHeadRegressor",
    "PerTask",
    "PredictionBandDisplay",
    "PrototypicalClassifier",
    "ReptileClassifier",
    "ReptileRegressor",
    "ResNet12",
    "RidgeHeadClassifier",
    "RidgeHeadRegressor",
    "SVMHeadClassifier",
    "SVMHeadRegressor",
    "Shared",
    "TaskBalancing",
    "TaskEmbedding",
    "TaskErrorDisplay",
    "TaskGrouping",
    "TaskGroupingDisplay",
    "TaskInterpolation",
    "TaskKFold",
    "TaskMapDisplay",
    "TrainingHistoryDisplay",
    "UnseenTaskWarning",
    "__version__",
    "adapt",
    "adaptation_curve",
    "bayes_linear_mse",
    "bayes_linear_predict",
    "check_meta_learner",
    "compare_learners",
    "describe_tasks",
    "group_tasks",
    "list_collections",
    "load",
    "load_collection",
    "load_gapminder",
    "load_glyphs",
    "make_classification_tasks",
    "make_linear_tasks",
    "make_sinusoid_tasks",
    "save",
    "select_context",
    "task_dissimilarity",
    "task_scorer",
]
