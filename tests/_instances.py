"""Cheap instances of every public estimator, which the batteries run over."""

from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmeta import (
    ANILClassifier,
    ANILRegressor,
    AutoMetaClassifier,
    AutoMetaRegressor,
    BayesianHeadRegressor,
    BootstrappedMAMLClassifier,
    BootstrappedMAMLRegressor,
    CAMELRegressor,
    CAVIAClassifier,
    CAVIARegressor,
    ConditionalNeuralProcessRegressor,
    DeepKernelClassifier,
    DeepKernelRegressor,
    DiverseBatches,
    EmpiricalBayesClassifier,
    EmpiricalBayesRegressor,
    GoodEmbeddingClassifier,
    GoodEmbeddingRegressor,
    HeTRoM,
    IMAMLClassifier,
    IMAMLRegressor,
    IntervalInterpolation,
    LogisticHeadClassifier,
    MAMLClassifier,
    MAMLRegressor,
    MatchingClassifier,
    MetaSGDClassifier,
    MetaSGDRegressor,
    MinibatchProxClassifier,
    MinibatchProxRegressor,
    MultiHeadClassifier,
    MultiHeadRegressor,
    MultiTaskGaussianProcessRegressor,
    PrototypicalClassifier,
    ReptileClassifier,
    ReptileRegressor,
    RidgeHeadClassifier,
    RidgeHeadRegressor,
    SVMHeadClassifier,
    SVMHeadRegressor,
    TaskBalancing,
    TaskEmbedding,
    TaskGrouping,
    TaskInterpolation,
    TaskModulation,
)

_NET = {
    "hidden_layer_sizes": (8,),
    "max_iter": 25,
    "meta_batch_size": 4,
    "lr": 3e-2,
    "random_state": 0,
}
_QUICK_NET = {**_NET, "max_iter": 14}
_EPISODES = {**_NET, "n_shots": (1, 5)}
_LONGER = {**_EPISODES, "max_iter": 40, "lr": 2e-2}
_QUICK = {**_QUICK_NET, "n_shots": (1, 5)}
_EMBEDDING = TaskEmbedding("head", hidden_layer_sizes=(8,), max_iter=10, random_state=0)
_TREE = {"max_depth": 2, "random_state": 0}
_SEARCH = {"n_splits": 2, "random_state": 0}
_REGRESSORS = {"pooled": Ridge(), "mixed": EmpiricalBayesRegressor("diagonal", max_iter=20)}
_CLASSIFIERS = {
    "pooled": LogisticRegression(),
    "mixed": EmpiricalBayesClassifier("diagonal", max_iter=20),
}

INSTANCES = [
    DiverseBatches(RidgeHeadRegressor(**_QUICK), embedding=_EMBEDDING, random_state=0),
    EmpiricalBayesRegressor(),
    EmpiricalBayesRegressor("diagonal"),
    EmpiricalBayesRegressor(offset=DecisionTreeRegressor(**_TREE)),
    EmpiricalBayesClassifier(),
    EmpiricalBayesClassifier("diagonal"),
    EmpiricalBayesClassifier(offset=DecisionTreeClassifier(**_TREE)),
    ANILClassifier(inner_lr=0.5, **_EPISODES),
    ANILRegressor(**_EPISODES),
    AutoMetaClassifier(candidates=_CLASSIFIERS, **_SEARCH),
    AutoMetaRegressor(candidates=_REGRESSORS, **_SEARCH),
    BayesianHeadRegressor(**{**_EPISODES, "n_shots": (0, 5)}),
    BootstrappedMAMLClassifier(inner_lr=0.5, **_EPISODES),
    BootstrappedMAMLRegressor(**_LONGER),
    CAMELRegressor(n_parameters=2, **_QUICK_NET),
    CAVIAClassifier(**_EPISODES),
    CAVIARegressor(**_QUICK),
    ConditionalNeuralProcessRegressor(**_EPISODES),
    ConditionalNeuralProcessRegressor(attention=True, n_representation=8, **_LONGER),
    DeepKernelClassifier(**_QUICK),
    DeepKernelRegressor(**_QUICK),
    GoodEmbeddingClassifier(n_distillations=1, **_QUICK_NET),
    GoodEmbeddingRegressor(**_NET),
    HeTRoM(MAMLClassifier(inner_lr=0.5, **_QUICK), guidance="lognormal"),
    IMAMLClassifier(n_inner_steps=1, inner_lr=0.5, **_QUICK),
    IMAMLRegressor(n_inner_steps=3, inner_lr=0.1, **{**_EPISODES, "max_iter": 20, "lr": 0.05}),
    IntervalInterpolation(RidgeHeadRegressor(**_QUICK)),
    LogisticHeadClassifier(**_QUICK),
    MAMLClassifier(inner_lr=0.5, **_EPISODES),
    MAMLRegressor(**_EPISODES),
    MatchingClassifier(**_QUICK),
    MetaSGDClassifier(inner_lr=0.5, **_QUICK),
    MetaSGDRegressor(**_EPISODES),
    MinibatchProxClassifier(n_inner_steps=3, inner_lr=0.2, alpha=0.3, **{**_QUICK, "lr": 0.05}),
    MinibatchProxRegressor(n_inner_steps=1, inner_lr=0.1, **_EPISODES),
    MultiHeadClassifier(**_QUICK_NET),
    MultiHeadRegressor(**_QUICK_NET),
    MultiTaskGaussianProcessRegressor(max_iter=20),
    PrototypicalClassifier(**_QUICK),
    ReptileClassifier(n_inner_steps=2, inner_lr=0.5, **{**_QUICK, "lr": 0.5}),
    ReptileRegressor(inner_lr=0.05, max_inner_norm=1.0, **{**_LONGER, "lr": 1.0}),
    RidgeHeadClassifier(**_QUICK),
    RidgeHeadRegressor(**_QUICK),
    SVMHeadClassifier(**_QUICK),
    SVMHeadRegressor(**_QUICK),
    TaskBalancing(RidgeHeadClassifier(**_QUICK), n_splits=2),
    TaskGrouping(RidgeHeadRegressor(**_QUICK), n_groups=2, embedding=_EMBEDDING, random_state=0),
    TaskInterpolation(RidgeHeadClassifier(**_QUICK)),
    TaskModulation(RidgeHeadRegressor(**_QUICK)),
]
"""What scikit-learn's battery and our own run over: each class, and the ways it works."""

VARIANTS = [
    DiverseBatches(
        MAMLClassifier(inner_lr=0.5, **_EPISODES),
        method="farthest",
        embedding=_EMBEDDING,
        random_state=0,
    ),
    EmpiricalBayesRegressor("intercept"),
    EmpiricalBayesRegressor(offset=TweedieRegressor(max_iter=1000)),  # of one output
    EmpiricalBayesClassifier("intercept"),
    HeTRoM(RidgeHeadRegressor(**_QUICK)),
    IntervalInterpolation(MAMLClassifier(inner_lr=0.5, **_EPISODES)),
    MultiHeadClassifier(head="bayes", **_QUICK_NET),
    TaskBalancing(MultiHeadRegressor(**_NET), method="ntk-sr"),
    TaskGrouping(
        MAMLClassifier(inner_lr=0.5, **_EPISODES), n_groups=2, embedding=_EMBEDDING, random_state=0
    ),
    TaskInterpolation(MAMLRegressor(**_EPISODES), layers="hidden"),
    TaskModulation(MAMLClassifier(inner_lr=0.5, **_EPISODES)),
    MultiTaskGaussianProcessRegressor(RBF(2.0), rank=2, max_iter=20),
    DeepKernelClassifier(n_way=2, **_QUICK),
    EmpiricalBayesClassifier(n_way=2, n_shots=2, random_state=0),
    GoodEmbeddingClassifier(n_way=2, head="bayes", **_NET),
    MAMLClassifier(n_way=2, **_QUICK),
    MultiHeadClassifier(n_way=2, **_NET),
    PrototypicalClassifier(n_way=2, **_QUICK),
    RidgeHeadClassifier(n_way=2, **_QUICK),
    TaskInterpolation(PrototypicalClassifier(n_way=2, **_QUICK)),
]
"""Further ways, over which our battery runs too; at last classifiers that draw tasks out of the
classes of y."""


def shortened(estimator):
    """Return a clone that trains for a few updates, for checks that no training must pass."""
    given = estimator.get_params()
    steps = ("max_iter", "estimator__max_iter", "embedding__max_iter")
    return clone(estimator).set_params(**{name: 3 for name in steps if name in given})
