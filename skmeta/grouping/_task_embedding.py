"""One row of numbers for each task."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, clone
from sklearn.utils import TransformerTags, get_tags
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import (
    _num_samples,
    check_is_fitted,
    check_scalar,
    has_fit_parameter,
    validate_data,
)

from skmeta.grouping._probe import ProbeClassifier, ProbeRegressor, require_targets
from skmeta.tasks import TaskTable, separate_tasks

__all__ = ["TaskEmbedding"]

_OF_PROBE = ("fisher", "gradient", "head")
_TARGET_TYPES = ("auto", "continuous", "multiclass")


class TaskEmbedding(BaseEstimator):
    """Describe each task by one row of numbers.

    One network, the probe, is trained on the rows of all tasks. What its loss on the rows of a
    task says of its weights is then a description of the task that has the same length for every
    task, however many rows it has: tasks with like descriptions ask for like changes of the probe.
    Any scikit-learn clusterer takes them, and `task_dissimilarity` compares them.

    Pick it to see which tasks are alike, to find groups of tasks (`group_tasks`), or to look for
    outlying ones. ``embedding="fisher"`` says which weights matter to a task and is the choice for
    the groups of task groupings regularization. ``"gradient"`` also says in which direction a task
    pulls them, so it tells apart tasks whose targets are opposite; ``"head"`` does so in far fewer
    numbers.

    Parameters
    ----------
    embedding : {"fisher", "gradient", "head"} or transformer, default="fisher"
        What describes a task:

        - "fisher": the diagonal of the Fisher information of the probe, a number for each weight;
        - "gradient": the mean gradient of the task's loss at the probe, likewise;
        - "head": the weights and the bias of a ridge regression of the task's targets (class
          indicators) on the features that enter the probe's last linear layer;
        - a scikit-learn transformer, or a learner with `transform`: the mean of the transformed
          rows of the task. There is no probe then; a clone is fitted on the rows of all tasks,
          and given `groups` if its `fit` takes them.
    per_sample : bool, default=True
        Whether the Fisher information is the mean over rows of squared gradients; False squares
        the mean gradient, as the authors' code does.
    alpha : float, default=0.1
        The penalty λ of "head", for each row of the task, as in `RidgeHeadRegressor`.
    target_type : {"auto", "continuous", "multiclass"}, default="auto"
        Whether targets are numbers or classes. "auto" asks scikit-learn's `type_of_target`, to
        which whole numbers are classes: set "continuous" for counts. Several columns of targets
        are numbers in any case.
    label_sets : {"auto", "shared", "own"}, default="auto"
        Whether tasks share one label set or have label sets of their own, as for the classifiers.
        Classes of their own are numbered 0, 1, ... in each task.
    module : torch Module class or instance, default=None
        The probe; arguments `n_features_in` and `n_outputs` of a class are filled in from the data.
        None builds an `MLP`. Frozen weights are left out of the description.
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Units of each hidden layer of that MLP.
    activation : {"relu", "tanh", "gelu", "silu"}, default="relu"
        Its nonlinearity.
    max_iter : int, default=1000
        Updates of the probe, each by up to 32 rows of up to 16 tasks. 0 takes `module` as it is,
        such as one that was trained elsewhere.
    lr : float, default=0.001
        The rate of the probe's updates, by Adam.
    device : str, default="cpu"
        Where torch computes.
    random_state : int, RandomState instance or None, default=None
        Draws the first weights of the probe and its minibatches.
    task_column : str or int, default=None
        The column of X that holds the task labels; None if they come as `groups`.

    Attributes
    ----------
    n_iter_ : int
        Updates of the probe, if there is one.
    tasks_ : ndarray of shape (n_tasks,)
        Sorted labels of the tasks seen in `fit`: what the rows of `fit_transform` describe.
    blocks_ : tuple of int or None
        The number of weights of each parameter tensor, in the order of the columns, which
        `task_dissimilarity` needs for a Fisher information; None for other embeddings.
    probe_ : estimator
        What holds the probe (``probe_.net_.module_.network``), or the fitted transformer.
    n_features_in_ : int
        Number of columns of X, the task column included.
    feature_names_in_ : ndarray of str
        Names of all columns of X, if it has any.

    See Also
    --------
    task_dissimilarity : Compares the rows.
    group_tasks : Groups tasks by their dissimilarities.

    Notes
    -----
    The output has a row for each task, not for each row of X, and describing a task takes its
    targets. So this is not a scikit-learn transformer in the strict sense: there is no
    `set_output`, and it can stand in a `Pipeline` only where the pipeline is fitted and asked in
    one call, as by ``make_pipeline(TaskEmbedding(task_column=0), KMeans(3)).fit_predict(X, y)``.

    The authors take a network trained on ImageNet as the probe and square the gradient of one
    batch. A probe that was trained on the tasks themselves is near an optimum, where the mean
    gradient of a task's few rows is mostly noise, and its square more so; hence the mean of squares
    by default. Real targets are scaled to mean 0 and variance 1 over all rows first. Layers that
    mix rows, such as BatchNorm, are refused.

    No description depends on the order of rows or tasks, nor on the names of tasks.

    References
    ----------
    .. [1] Y. Wei, Z. Hu, L. Shen, Z. Wang, Y. Li, C. Yuan, D. Tao (2024). Task groupings
       regularization: data-free meta-learning with heterogeneous pre-trained models. ICML;
       arXiv:2405.16560, the section on task groupings.

    Examples
    --------
    >>> import skmeta
    >>> from sklearn.cluster import KMeans
    >>> tasks = skmeta.make_sinusoid_tasks(30, 20, random_state=0)
    >>> embedding = skmeta.TaskEmbedding("head", max_iter=20, random_state=0)
    >>> E = embedding.fit_transform(tasks.data, tasks.target, groups=tasks.groups)
    >>> E.shape
    (30, 65)
    >>> KMeans(3, random_state=0).fit_predict(E).shape
    (30,)
    """

    __metadata_request__fit: ClassVar = {"groups": True}
    __metadata_request__transform: ClassVar = {"groups": True}

    def __init__(
        self,
        embedding: Any = "fisher",
        *,
        per_sample: bool = True,
        alpha: float = 0.1,
        target_type: str = "auto",
        label_sets: str = "auto",
        module: Any = None,
        hidden_layer_sizes: tuple[int, ...] = (64, 64),
        activation: str = "relu",
        max_iter: int = 1000,
        lr: float = 1e-3,
        device: str = "cpu",
        random_state: Any = None,
        task_column: Hashable | None = None,
    ) -> None:
        self.embedding = embedding
        self.per_sample = per_sample
        self.alpha = alpha
        self.target_type = target_type
        self.label_sets = label_sets
        self.module = module
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.max_iter = max_iter
        self.lr = lr
        self.device = device
        self.random_state = random_state
        self.task_column = task_column

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._has_probe
        tags.target_tags.multi_output = True
        tags.transformer_tags = TransformerTags()
        if not self._has_probe:
            tags.input_tags = get_tags(self.embedding).input_tags
        return tags

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Train the probe, or fit the transformer.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            The rows of all tasks, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets; only a transformer can do without.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. Without it and without `task_column`, all rows are one task.

        Returns
        -------
        self : TaskEmbedding
            The fitted estimator.

        Raises
        ------
        ValueError
            If `embedding` is none of those named and has no `transform`, targets are missing or of
            a kind that the probe cannot learn, or tasks are given in both ways.
        """
        if self._has_probe:
            probe = self._make_probe(y).fit(X, y, groups=groups)
            labels, blocks = probe.tasks_, probe.blocks
            self.blocks_ = blocks if self.embedding == "fisher" else None
            self.n_iter_ = probe.n_iter_
        else:
            probe, labels = self._fit_transformer(X, y, groups)
            self.blocks_ = None
        validate_data(self, X, reset=True, skip_check_array=True)
        self.probe_ = probe
        self.tasks_ = labels[_sorted(labels)]
        return self

    def transform(self, X: Any, y: Any = None, groups: Any = None) -> NDArray[Any]:
        """Describe the tasks of some rows, whether seen in `fit` or new, by the fitted probe.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows of the tasks to describe, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their targets; only a transformer can do without.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. Without it and without `task_column`, all rows are one task.

        Returns
        -------
        E : ndarray of shape (n_tasks, n_numbers)
            A row for each task of these rows, in the sorted order of the tasks' labels.
        """
        check_is_fitted(self)
        if self._has_probe:
            labels, E = self.probe_.embed(X, y, groups)
        else:
            features, table = self._rows(X, groups)
            validate_data(self, X, reset=False, skip_check_array=True)
            labels, E = table.labels, _task_means(self.probe_.transform(features), table)
        return E[_sorted(labels)]

    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> NDArray[Any]:
        """Fit, then describe the same tasks.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            The rows of all tasks, with the task column if `task_column` names one.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets; only a transformer can do without.
        groups : array-like of shape (n_samples,), default=None
            The task of each row.

        Returns
        -------
        E : ndarray of shape (n_tasks, n_numbers)
            A row for each task, in the order of `tasks_`.
        """
        return self.fit(X, y, groups=groups).transform(X, y, groups=groups)

    @property
    def _has_probe(self) -> bool:
        return isinstance(self.embedding, str)

    def _make_probe(self, y: Any) -> Any:
        if self.embedding not in _OF_PROBE:
            raise ValueError(
                f"embedding={self.embedding!r} must be one of {list(_OF_PROBE)} or a transformer."
            )
        check_scalar(self.alpha, "alpha", Real, min_val=0, include_boundaries="neither")
        require_targets(y)
        params: dict[str, Any] = {}
        kind: Any = ProbeRegressor
        if self._has_classes(y):
            kind, params = ProbeClassifier, {"label_sets": self.label_sets}
        for name in (
            "embedding",
            "per_sample",
            "alpha",
            "module",
            "hidden_layer_sizes",
            "activation",
            "max_iter",
            "lr",
            "device",
            "random_state",
            "task_column",
        ):
            params[name] = getattr(self, name)
        return kind(**params)

    def _has_classes(self, y: Any) -> bool:
        if self.target_type not in _TARGET_TYPES:
            raise ValueError(f"target_type={self.target_type!r} must be one of {_TARGET_TYPES}.")
        if self.target_type != "auto":
            return self.target_type == "multiclass"
        with warnings.catch_warnings():
            # The classifier says it again, if many classes are no matter of course to it.
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            found = type_of_target(y, input_name="y", raise_unknown=True)
        return found in ("binary", "multiclass")

    def _fit_transformer(self, X: Any, y: Any, groups: Any) -> tuple[Any, NDArray[Any]]:
        if not hasattr(self.embedding, "transform"):
            raise ValueError(
                f"embedding={self.embedding!r} must be one of {list(_OF_PROBE)} or have a "
                "method transform."
            )
        features, table = self._rows(X, groups)
        given = {}
        if has_fit_parameter(self.embedding, "groups") and table.labels[0] is not None:
            given["groups"] = table.labels[table.codes]
        return clone(self.embedding).fit(features, y, **given), table.labels

    def _rows(self, X: Any, groups: Any) -> tuple[Any, TaskTable]:
        if getattr(X, "ndim", 2) != 2:
            raise ValueError(f"Expected 2D array, got {X.ndim}D array instead. Reshape your data.")
        features, labels = separate_tasks(X, groups, self.task_column)
        if labels is None:
            return features, TaskTable.single(_num_samples(X))
        return features, TaskTable.from_labels(labels)


def _task_means(rows: Any, table: TaskTable) -> NDArray[Any]:
    """Return the mean of the rows of each task, which may be a frame or sparse."""
    values: Any = rows if issparse(rows) else np.asarray(rows)
    shares = np.repeat(1 / table.sizes, table.sizes).astype(values.dtype)
    share_of: Any = csr_array(
        (shares, table.order, table.offsets), (table.n_tasks, len(table.order))
    )
    means: Any = share_of @ values
    dense: NDArray[Any] = means.toarray() if hasattr(means, "toarray") else means
    return dense


def _sorted(labels: NDArray[Any]) -> NDArray[np.intp]:
    """Return the sorted order of labels, which need not be of one type."""
    if labels.dtype.kind != "O":
        return np.argsort(labels)
    listed = labels.tolist()
    numbers = range(len(listed))
    try:
        order = sorted(numbers, key=listed.__getitem__)
    except TypeError:
        order = sorted(numbers, key=lambda i: (type(listed[i]).__name__, str(listed[i])))
    return np.array(order)
