"""
Tuning with Optuna
==================

A network for the life expectancy of countries never seen, after three surveys.

The objective is scikit-learn's `cross_val_score` on whole countries held out; folds are reported
one by one, so that Optuna gives poor settings up early. Needs
``pip install optuna``.

``python examples/tuning.py`` prints what it found and draws every setting that was tried.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib.colors import LogNorm
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta

N_TRIALS = 9
N_FOLDS = 2
DATA = skmeta.load_gapminder()
X = np.column_stack([np.unique(DATA.groups, return_inverse=True)[1], DATA.data])


def learner(lr: float = 1e-3, width: int = 64, weight_decay: float = 0.0) -> Pipeline:
    """Scale the features in front of a network, the country being column 0."""
    network = skmeta.RidgeHeadRegressor(max_iter=30, lr=lr, task_column=0, random_state=0)
    network.set_params(module__hidden_layer_sizes=(width,), optimizer__weight_decay=weight_decay)
    return make_pipeline(skmeta.Shared(StandardScaler(), task_column=0), network)


def errors(model: Pipeline, seed: int, fold: int | None = None) -> float:
    """Return the error in years on the later surveys of held-out countries."""
    cv = skmeta.EpisodicKFold(N_FOLDS, n_shots=3, support="first", task_column=0, random_state=seed)
    splits = list(cv.split(X))
    some = splits if fold is None else splits[fold : fold + 1]
    scoring = skmeta.task_scorer("neg_root_mean_squared_error", task_column=0)
    return -float(cross_val_score(model, X, DATA.target, cv=some, scoring=scoring).mean())


def objective(trial: optuna.Trial) -> float:
    """Return the error of one setting."""
    model = learner(
        lr=trial.suggest_float("lr", 1e-3, 3e-2, log=True),
        width=trial.suggest_int("width", 8, 128, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
    )
    found = []
    for fold in range(N_FOLDS):
        found.append(errors(model, 0, fold))
        trial.report(float(np.mean(found)), fold)
        if trial.should_prune():
            raise optuna.TrialPruned
    return float(np.mean(found))


def draw(study: optuna.Study, as_it_is: float) -> None:
    """Show the error of each setting against its learning rate, and which were given up."""
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for state, marker, label in (
        (optuna.trial.TrialState.COMPLETE, "o", "both folds"),
        (optuna.trial.TrialState.PRUNED, "x", "given up after the first"),
    ):
        trials = study.get_trials(states=[state])
        points = axis.scatter(
            [trial.params["lr"] for trial in trials],
            [trial.value for trial in trials],
            c=[trial.params["width"] for trial in trials],
            norm=LogNorm(8, 128),
            marker=marker,
            label=label,
        )
    figure.colorbar(points, label="width of the network", format="%d", ticks=[8, 16, 32, 64, 128])
    axis.axhline(as_it_is, color="black", linestyle="--", label="as it is")
    axis.set_xscale("log")
    axis.set_xticks([0.001, 0.003, 0.01, 0.03], ["0.001", "0.003", "0.01", "0.03"])
    axis.minorticks_off()
    axis.set(
        xlabel="learning rate (lr)",
        ylabel="error (years)",
        title="New countries, three surveys known",
    )
    axis.legend()
    plt.show()


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
    )
    study.optimize(objective, n_trials=N_TRIALS)
    pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    print(f"{N_TRIALS} settings, {pruned} given up early; the best: {study.best_params}")
    for name, model in {"as it is": learner(), "tuned": learner(**study.best_params)}.items():
        print(f"{name:>9}: {errors(model, seed=1):.2f} years off, on other folds")
    draw(study, errors(learner(), seed=0))


if __name__ == "__main__":
    main()
