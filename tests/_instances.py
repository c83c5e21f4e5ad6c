"""Cheap instances of every public estimator, which the batteries run over."""

from sklearn.linear_model import TweedieRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmeta import (
    ANILClassifier,
    ANILRegressor,
    BayesianHeadRegressor,
    BootstrappedMAMLClassifier,
    BootstrappedMAMLRegressor,
    CAMELRegressor,
    CAVIAClassifier,
    CAVIARegressor,
    ConditionalNeuralProcessRegressor,
    DeepKernelClassifier,
    DeepKernelRegressor,
    EmpiricalBayesClassifier,
    EmpiricalBayesRegressor,
    GoodEmbeddingClassifier,
    GoodEmbeddingRegressor,
    IMAMLClassifier,
    IMAMLRegressor,
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
    PrototypicalClassifier,
    ReptileClassifier,
    ReptileRegressor,
    RidgeHeadClassifier,
    RidgeHeadRegressor,
    SVMHeadClassifier,
    SVMHeadRegressor,
)

_NET = {
    "hidden_layer_sizes": (8,),
    "max_iter": 40,
    "meta_batch_size": 4,
    "lr": 2e-2,
    "random_state": 0,
}
_EPISODES = {**_NET, "n_shots": (1, 5)}
_TREE = {"max_depth": 2, "random_state": 0}

INSTANCES = [
    EmpiricalBayesRegressor(),
    EmpiricalBayesRegressor("diagonal"),
    EmpiricalBayesRegressor("intercept"),
    EmpiricalBayesRegressor(offset=DecisionTreeRegressor(**_TREE)),
    EmpiricalBayesRegressor(offset=TweedieRegressor(max_iter=1000)),  # of one output
    EmpiricalBayesClassifier(),
    EmpiricalBayesClassifier("diagonal"),
    EmpiricalBayesClassifier("intercept"),
    EmpiricalBayesClassifier(offset=DecisionTreeClassifier(**_TREE)),
    ANILClassifier(inner_lr=0.5, **_EPISODES),
    ANILRegressor(**_EPISODES),
    BayesianHeadRegressor(**{**_EPISODES, "n_shots": (0, 5)}),
    BootstrappedMAMLClassifier(inner_lr=0.5, **_EPISODES),
    BootstrappedMAMLRegressor(**_EPISODES),
    CAMELRegressor(n_parameters=2, **_NET),
    CAVIAClassifier(**_EPISODES),
    CAVIARegressor(**_EPISODES),
    ConditionalNeuralProcessRegressor(**_EPISODES),
    ConditionalNeuralProcessRegressor(attention=True, n_representation=8, **_EPISODES),
    DeepKernelClassifier(**_EPISODES),
    DeepKernelRegressor(**_EPISODES),
    GoodEmbeddingClassifier(n_distillations=1, **_NET),
    GoodEmbeddingRegressor(**_NET),
    IMAMLClassifier(inner_lr=0.5, **_EPISODES),
    IMAMLRegressor(**{**_EPISODES, "max_iter": 80}),
    LogisticHeadClassifier(**_EPISODES),
    MAMLClassifier(inner_lr=0.5, **_EPISODES),
    MAMLRegressor(**_EPISODES),
    MatchingClassifier(**_EPISODES),
    MetaSGDClassifier(inner_lr=0.5, **_EPISODES),
    MetaSGDRegressor(**_EPISODES),
    MinibatchProxClassifier(inner_lr=0.2, alpha=0.3, **{**_EPISODES, "max_iter": 100}),
    MinibatchProxRegressor(**_EPISODES),
    MultiHeadClassifier(**_NET),
    MultiHeadRegressor(**_NET),
    PrototypicalClassifier(**_EPISODES),
    ReptileClassifier(**{**_EPISODES, "inner_lr": 0.5, "lr": 0.5}),
    ReptileRegressor(max_inner_norm=1.0, **{**_EPISODES, "lr": 1.0, "max_iter": 120}),
    RidgeHeadClassifier(**_EPISODES),
    RidgeHeadRegressor(**_EPISODES),
    SVMHeadClassifier(**_EPISODES),
    SVMHeadRegressor(**_EPISODES),
]
"""What scikit-learn's battery and our own run over: each class, and each way it works."""

DRAWN_TASKS = [
    DeepKernelClassifier(n_way=2, **_EPISODES),
    EmpiricalBayesClassifier(n_way=2, n_shots=2, random_state=0),
    GoodEmbeddingClassifier(n_way=2, **_NET),
    MAMLClassifier(n_way=2, **_EPISODES),
    MultiHeadClassifier(n_way=2, **_NET),
    PrototypicalClassifier(n_way=2, **_EPISODES),
    RidgeHeadClassifier(n_way=2, **_EPISODES),
]
"""Classifiers that draw tasks out of the classes of y; our battery runs over them too."""
