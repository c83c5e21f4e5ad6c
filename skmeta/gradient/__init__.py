"""Gradient meta-learners."""

from skmeta.gradient._anil import ANILClassifier, ANILRegressor
from skmeta.gradient._bootstrapped_maml import BootstrappedMAMLClassifier, BootstrappedMAMLRegressor
from skmeta.gradient._cavia import CAVIAClassifier, CAVIARegressor
from skmeta.gradient._imaml import IMAMLClassifier, IMAMLRegressor
from skmeta.gradient._maml import MAMLClassifier, MAMLRegressor
from skmeta.gradient._meta_sgd import MetaSGDClassifier, MetaSGDRegressor
from skmeta.gradient._minibatch_prox import MinibatchProxClassifier, MinibatchProxRegressor
from skmeta.gradient._reptile import ReptileClassifier, ReptileRegressor

__all__ = [
    "ANILClassifier",
    "ANILRegressor",
    "BootstrappedMAMLClassifier",
    "BootstrappedMAMLRegressor",
    "CAVIAClassifier",
    "CAVIARegressor",
    "IMAMLClassifier",
    "IMAMLRegressor",
    "MAMLClassifier",
    "MAMLRegressor",
    "MetaSGDClassifier",
    "MetaSGDRegressor",
    "MinibatchProxClassifier",
    "MinibatchProxRegressor",
    "ReptileClassifier",
    "ReptileRegressor",
]
