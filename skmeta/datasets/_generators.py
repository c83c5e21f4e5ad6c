"""Synthetic collections of tasks, whose best possible error is known."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_random_state, check_scalar

__all__ = ["make_classification_tasks", "make_linear_tasks", "make_sinusoid_tasks"]


def make_sinusoid_tasks(
    n_tasks: int = 100,
    n_samples_per_task: int | tuple[int, int] = 20,
    *,
    free_frequency: bool = False,
    noise: float = 0.0,
    random_state: int | RandomState | None = None,
) -> Bunch:
    r"""Draw sine waves: the classic regression benchmark of meta-learning.

    Each task is :math:`y = A \sin(\omega x - \phi)` with :math:`A \sim U[0.1, 5]`,
    :math:`\phi \sim U[0, \pi]` and :math:`x \sim U[-5, 5]`, as in [1]_. Predicting 0 has a mean
    squared error of 4.25, and the best predictor that ignores the task, one of about 2.95.

    Parameters
    ----------
    n_tasks : int, default=100
        Number of tasks.
    n_samples_per_task : int or (low, high), default=20
        Rows of each task; a range (both ends included) gives tasks of different sizes.
    free_frequency : bool, default=False
        Draw :math:`\omega \sim U[0.5, 2]` for each task instead of 1.
    noise : float, default=0.0
        Standard deviation of Gaussian noise on the target.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw.

    Returns
    -------
    tasks : :class:`~sklearn.utils.Bunch`
        `data` of shape (n_samples, 1), `target`, `groups` (0 to n_tasks - 1, rows of a task
        together), `feature_names`, `DESCR`, and the parameters of the tasks: `amplitude`, `phase`
        and `frequency`, each of shape (n_tasks,), and `noise`.

    References
    ----------
    .. [1] Finn, C., Abbeel, P. and Levine, S. (2017). "Model-agnostic meta-learning for fast
       adaptation of deep networks". ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.datasets import make_sinusoid_tasks
    >>> tasks = make_sinusoid_tasks(n_tasks=3, n_samples_per_task=(5, 10), random_state=0)
    >>> tasks.data.shape, np.bincount(tasks.groups)
    ((24, 1), array([ 9, 10,  5]))
    """
    check_scalar(noise, "noise", Real, min_val=0)
    rng = check_random_state(random_state)
    groups = _draw_groups(rng, n_tasks, n_samples_per_task)
    amplitude = rng.uniform(0.1, 5, n_tasks)
    phase = rng.uniform(0, np.pi, n_tasks)
    frequency = rng.uniform(0.5, 2, n_tasks) if free_frequency else np.ones(n_tasks)
    x = rng.uniform(-5, 5, len(groups))
    y = amplitude[groups] * np.sin(frequency[groups] * x - phase[groups])
    return Bunch(
        data=x[:, None],
        target=y + noise * rng.standard_normal(len(groups)),
        groups=groups,
        feature_names=["x"],
        amplitude=amplitude,
        phase=phase,
        frequency=frequency,
        noise=noise,
        DESCR="Sine waves y = A sin(omega x - phi), x ~ U[-5, 5]: one task per wave.",
    )


def make_linear_tasks(
    n_tasks: int = 100,
    n_samples_per_task: int | tuple[int, int] = 20,
    n_features: int = 5,
    *,
    noise: float = 1.0,
    prior_mean: ArrayLike | None = None,
    prior_covariance: ArrayLike | None = None,
    random_state: int | RandomState | None = None,
) -> Bunch:
    r"""Draw linear regressions whose coefficients come from one known prior.

    Each task is :math:`y = w_t^\top [1, x] + \epsilon` with :math:`w_t \sim N(w_0, \Omega)`,
    standard normal features and Gaussian noise. As the prior is known, so is the best possible
    predictor: see :func:`bayes_linear_predict` and :func:`bayes_linear_mse`.

    Parameters
    ----------
    n_tasks : int, default=100
        Number of tasks.
    n_samples_per_task : int or (low, high), default=20
        Rows of each task; a range (both ends included) gives tasks of different sizes.
    n_features : int, default=5
        Number of features.
    noise : float, default=1.0
        Standard deviation of the noise.
    prior_mean : array-like of shape (n_features + 1,), default=None
        Mean of the coefficients over tasks, the intercept first. None draws it from N(0, I).
    prior_covariance : array-like of shape (n_features + 1, n_features + 1), default=None
        Covariance of the coefficients over tasks. None takes random orthogonal directions with
        variances 4, 2, 1, 1/2, ...: tasks differ in few ways.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw.

    Returns
    -------
    tasks : :class:`~sklearn.utils.Bunch`
        `data`, `target`, `groups` (0 to n_tasks - 1, rows of a task together), `feature_names`,
        `DESCR`, and what generated them: `coef` of shape (n_tasks, n_features + 1),
        `prior_mean`, `prior_covariance` and `noise`.

    Examples
    --------
    >>> from skmeta.datasets import bayes_linear_mse, make_linear_tasks
    >>> tasks = make_linear_tasks(n_tasks=50, n_samples_per_task=8, random_state=0)
    >>> tasks.data.shape, tasks.coef.shape
    ((400, 5), (50, 6))
    >>> bound = {"prior_covariance": tasks.prior_covariance, "noise": tasks.noise}
    >>> [round(bayes_linear_mse(k, random_state=0, **bound), 1) for k in (0, 5, 20)]
    [8.9, 3.0, 1.4]
    """
    check_scalar(n_features, "n_features", Integral, min_val=1)
    check_scalar(noise, "noise", Real, min_val=0)
    rng = check_random_state(random_state)
    groups = _draw_groups(rng, n_tasks, n_samples_per_task)
    mean, covariance = _prior(rng, n_features + 1, prior_mean, prior_covariance)
    coef = _draw_normal(rng, n_tasks, mean, covariance)
    X = rng.standard_normal((len(groups), n_features))
    return Bunch(
        data=X,
        target=_linear(coef, X, groups) + noise * rng.standard_normal(len(groups)),
        groups=groups,
        feature_names=[f"x{j}" for j in range(n_features)],
        coef=coef,
        prior_mean=mean,
        prior_covariance=covariance,
        noise=noise,
        DESCR="Linear tasks y = w.[1, x] + noise with w ~ N(prior_mean, prior_covariance).",
    )


def make_classification_tasks(
    n_tasks: int = 100,
    n_samples_per_task: int | tuple[int, int] = 20,
    n_features: int = 5,
    *,
    shared_labels: bool = True,
    n_classes: int = 20,
    n_ways: int = 5,
    prior_mean: ArrayLike | None = None,
    prior_covariance: ArrayLike | None = None,
    random_state: int | RandomState | None = None,
) -> Bunch:
    r"""Draw classification tasks with one shared label set, or with label sets of their own.

    With shared labels every task is a logistic regression,
    :math:`P(y = 1) = 1 / (1 + \exp(-w_t^\top [1, x]))`, with standard normal features and
    :math:`w_t \sim N(w_0, \Omega)`. Otherwise there are `n_classes` prototypes
    :math:`\mu_c \sim N(w_0, \Omega)`, every task has `n_ways` of the classes, and
    :math:`x \sim N(\mu_y, I)`: the best metric, which is shared, looks along the directions in
    which prototypes differ.

    Parameters
    ----------
    n_tasks : int, default=100
        Number of tasks.
    n_samples_per_task : int or (low, high), default=20
        Rows of each task; a range (both ends included) gives tasks of different sizes.
    n_features : int, default=5
        Number of features.
    shared_labels : bool, default=True
        Whether all tasks have the labels 0 and 1.
    n_classes : int, default=20
        Number of classes in all, when labels are not shared.
    n_ways : int, default=5
        Number of classes of each task, when labels are not shared. The classes of a task take
        turns, so its first `k * n_ways` rows hold `k` of each.
    prior_mean : array-like of shape (n_coefficients,), default=None
        Mean of the coefficients (n_features + 1 of them, the intercept first) or of the
        prototypes (n_features). None draws it from N(0, I).
    prior_covariance : array-like of shape (n_coefficients, n_coefficients), default=None
        Their covariance. None takes random orthogonal directions with variances 4, 2, 1, ...
    random_state : int, RandomState instance or None, default=None
        Seed of the draw.

    Returns
    -------
    tasks : :class:`~sklearn.utils.Bunch`
        `data`, `target`, `groups` (0 to n_tasks - 1, rows of a task together), `feature_names`,
        `DESCR`, `prior_mean` and `prior_covariance`; with shared labels `coef` of shape
        (n_tasks, n_features + 1), otherwise `prototypes` of shape (n_classes, n_features) and
        `task_classes` of shape (n_tasks, n_ways).

    Examples
    --------
    >>> from skmeta.datasets import make_classification_tasks
    >>> tasks = make_classification_tasks(shared_labels=False, random_state=0)
    >>> tasks.data.shape, tasks.task_classes[0], tasks.target[:6]
    ((2000, 5), array([ 2,  9, 15,  7, 16]), array([ 2,  9, 15,  7, 16,  2]))
    """
    check_scalar(n_features, "n_features", Integral, min_val=1)
    rng = check_random_state(random_state)
    groups = _draw_groups(rng, n_tasks, n_samples_per_task)
    common = {"groups": groups, "feature_names": [f"x{j}" for j in range(n_features)]}
    if shared_labels:
        mean, covariance = _prior(rng, n_features + 1, prior_mean, prior_covariance)
        coef = _draw_normal(rng, n_tasks, mean, covariance)
        X = rng.standard_normal((len(groups), n_features))
        logit = _linear(coef, X, groups) + rng.logistic(size=len(groups))
        return Bunch(
            data=X,
            target=(logit > 0).astype(np.int64),
            coef=coef,
            prior_mean=mean,
            prior_covariance=covariance,
            DESCR="Logistic tasks with coefficients from N(prior_mean, prior_covariance).",
            **common,
        )
    check_scalar(n_classes, "n_classes", Integral, min_val=2)
    check_scalar(n_ways, "n_ways", Integral, min_val=2, max_val=n_classes)
    smallest = int(np.bincount(groups).min())
    if smallest < n_ways:
        raise ValueError(
            f"n_samples_per_task={n_samples_per_task} gives a task {smallest} rows for "
            f"n_ways={n_ways} classes; give every task at least {n_ways} rows."
        )
    mean, covariance = _prior(rng, n_features, prior_mean, prior_covariance)
    prototypes = _draw_normal(rng, n_classes, mean, covariance)
    task_classes = rng.uniform(size=(n_tasks, n_classes)).argsort(axis=1)[:, :n_ways]
    starts = np.searchsorted(groups, np.arange(n_tasks))
    turn = (np.arange(len(groups)) - starts[groups]) % n_ways
    y = task_classes[groups, turn]
    return Bunch(
        data=prototypes[y] + rng.standard_normal((len(groups), n_features)),
        target=y,
        prototypes=prototypes,
        task_classes=task_classes,
        prior_mean=mean,
        prior_covariance=covariance,
        DESCR="Few-shot tasks: each has some of the classes, Gaussian clouds around prototypes.",
        **common,
    )


def _draw_groups(
    rng: RandomState, n_tasks: int, n_samples_per_task: int | tuple[int, int]
) -> NDArray[np.int64]:
    """Return the task number of each row, task after task."""
    check_scalar(n_tasks, "n_tasks", Integral, min_val=1)
    ends = np.ravel(np.asarray(n_samples_per_task))
    if not (len(ends) in (1, 2) and ends.dtype.kind in "iu" and 1 <= ends[0] <= ends[-1]):
        raise ValueError(
            f"n_samples_per_task={n_samples_per_task!r} must be a number of rows, at least 1, "
            "or a range (low, high) with 1 <= low <= high."
        )
    sizes = rng.randint(ends[0], ends[-1] + 1, n_tasks)
    return np.repeat(np.arange(n_tasks), sizes)


def _prior(
    rng: RandomState, size: int, mean: ArrayLike | None, covariance: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check the prior over tasks, or draw one."""
    if mean is None:
        mean = rng.standard_normal(size)
    if covariance is None:
        directions = np.linalg.qr(rng.standard_normal((size, size)))[0]
        covariance = (directions * (4 / 2.0 ** np.arange(size))) @ directions.T
    mean = np.asarray(mean, dtype=np.float64)
    covariance = np.asarray(covariance, dtype=np.float64)
    if mean.shape != (size,):
        raise ValueError(f"prior_mean has shape {mean.shape}; it must have shape ({size},).")
    if covariance.shape != (size, size):
        raise ValueError(
            f"prior_covariance has shape {covariance.shape}; it must have shape ({size}, {size})."
        )
    if not np.allclose(covariance, covariance.T):
        raise ValueError("prior_covariance is not symmetric; a covariance matrix must be.")
    smallest = np.linalg.eigvalsh(covariance)[0]
    if smallest < -1e-8 * max(np.trace(covariance), 1):
        raise ValueError(
            f"prior_covariance has the eigenvalue {smallest:.3g}; a covariance matrix must have "
            "none below 0."
        )
    return mean, covariance


def _draw_normal(
    rng: RandomState, n: int, mean: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw from a Gaussian whose covariance may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return np.asarray(mean + rng.standard_normal((n, len(mean))) @ root.T)


def _linear(
    coef: NDArray[np.float64], X: NDArray[np.float64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Evaluate the linear function of its task at each row."""
    own = coef[groups]
    return np.asarray(own[:, 0] + np.einsum("ij,ij->i", own[:, 1:], X))
