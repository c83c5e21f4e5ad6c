"""The learners that adapt by gradient steps."""

import skmeta

REGRESSORS = [
    skmeta.ANILRegressor,
    skmeta.BootstrappedMAMLRegressor,
    skmeta.CAVIARegressor,
    skmeta.IMAMLRegressor,
    skmeta.MAMLRegressor,
    skmeta.MetaSGDRegressor,
    skmeta.MinibatchProxRegressor,
    skmeta.ReptileRegressor,
]
