"""CAMEL: predictions affine in the parameters of the task, which can be read as physics."""

from __future__ import annotations

import copy
from functools import partial
from numbers import Integral, Real
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, check_is_fitted, check_scalar
from torch import Tensor, nn

from skmeta.base._deep import DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.inner import (
    Episode,
    InnerRule,
    Objective,
    TaskTensors,
    network_width,
    solve_gram,
)
from skmeta.tasks import TaskData, TaskTable

__all__ = ["CAMELRegressor"]

Array = NDArray[np.float64]


class _AffineInTask(InnerRule):
    """``ŷ = c(x) + V(x) w_t``, c and V the outputs of one network.

    Parameters
    ----------
    network : Module
        Maps a row to c and V: for each target, ``offset + n_parameters`` numbers.
    n_features_in : int
        The number of features of a row.
    n_targets : int
        Targets of a row.
    n_tasks : int
        Training tasks.
    n_parameters : int
        The length r of w.
    offset : bool
        Whether there is a c; otherwise it is 0.
    penalty : float
        The weight ρ of ``‖W‖ / n_tasks`` in training.
    alpha : float
        The ridge penalty λ of adaptation.

    Raises
    ------
    ValueError
        If the network has another number of outputs.
    """

    mean: Tensor
    own_parameters = ("W",)
    shared_network = "network"

    def __init__(
        self,
        network: nn.Module,
        n_features_in: int,
        n_targets: int,
        n_tasks: int,
        *,
        n_parameters: int,
        offset: bool,
        penalty: float,
        alpha: float,
    ) -> None:
        super().__init__()
        width, needed = network_width(network, n_features_in), n_targets * (n_parameters + offset)
        if width != needed:
            raise ValueError(
                f"module has {width} outputs, but c and V of {n_targets} target(s) with "
                f"n_parameters={n_parameters} are {needed}."
            )
        self.network = network
        self.n_targets = n_targets
        self.offset = offset
        self.penalty = penalty
        self.alpha = alpha
        self.W = nn.Parameter(torch.randn(n_tasks, n_parameters).abs())  # the authors' start
        self.register_buffer("mean", torch.zeros(n_parameters))

    def terms(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return c and V of rows, shapes (..., n_targets) and (..., n_targets, r)."""
        outputs: Tensor = self.network(X.flatten(0, -2)).view(*X.shape[:-1], self.n_targets, -1)
        if not self.offset:
            return torch.zeros_like(outputs[..., 0]), outputs
        V = outputs[..., 1:]
        return outputs[..., 0] + V @ self.mean, V

    def forward(self, episode: Episode) -> Tensor:
        """Predict the query rows by the trained parameters of their tasks."""
        return self.predict(episode.query_X, {"w": self.W[episode.tasks]})

    def task_losses(self, episode: Episode, objective: Objective) -> Tensor:
        """Return ``L_t + ρ ‖W‖ / n_tasks``."""
        losses = super().task_losses(episode, objective)
        if not self.penalty:
            return losses
        return losses + self.penalty * self.W.norm() / len(self.W)

    def center(self, tasks: Any = slice(None)) -> None:
        """Take the mean of the w of some tasks into c, which changes no prediction."""
        if self.offset:
            with torch.no_grad():
                mean = self.W[tasks].mean(dim=0)
                self.W.sub_(mean)
                self.mean.add_(mean)

    def adapt(self, X: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Return ``V'V``, ``V'(y - c)`` and the w that they make, all rows of a task summed."""
        c, V = self.terms(X)
        V = (V * mask[..., None, None]).flatten(1, 2)
        return self.solve(V.mT @ V, (V.mT @ (y - c).flatten(1, 2)[..., None])[..., 0])

    def solve(self, gram: Tensor, moment: Tensor) -> TaskTensors:
        """Return ``w = (V'V + λI)⁻¹ V'(y - c)``, and what it was made of."""
        penalty = gram.new_full((len(gram),), self.alpha)
        w = solve_gram(gram, moment[..., None], penalty)[..., 0]
        return {"w": w, "gram": gram, "moment": moment}

    def predict(self, X: Tensor, state: TaskTensors) -> Tensor:
        """Predict rows of each task."""
        c, V = self.terms(X)
        return c + torch.einsum("tnor,tr->tno", V, state["w"])

    def represent(self, X: Tensor) -> Tensor:
        """Return V of rows, shape (n_rows, n_targets * r)."""
        return self.terms(X)[1].flatten(1)

    @property
    def bytes_per_task(self) -> int:
        """Size of w and of what it is made of."""
        r = self.W.shape[1]
        return r * (r + 2) * self.W.element_size()


@meta_learner
class CAMELRegressor(DeepRegressorMixin):
    """A network that is affine in a few parameters of the task, to be read as physics (CAMEL).

    ``ŷ = c(x) + V(x) w_t``: the functions c and V are one network for all tasks, and a task is its
    vector w_t of `n_parameters` numbers. All are trained together, by plain gradient descent on the
    joint loss ``Σ_t mean (y_t - c(X_t) - V(X_t) w_t)²``. A task then is a ridge regression in
    closed form, ``w = (V'V + λI)⁻¹ V'(y - c)``, over its rows.

    Pick it for systems that differ in a few physical quantities (masses, charges, rates) which
    enter the response linearly, perhaps after a change of variables. If it fits, the learned w
    equal the true quantities up to one affine map, so that knowing these of a few training tasks
    identifies them for new ones (`calibrate`). Rows of a running system are taken in
    one after another (`partial_adapt`).

    Parameters
    ----------
    n_parameters : int, default=4
        The length r of w, no less than the number of quantities in which tasks differ.
    offset : bool, default=True
        Whether there is a c(x), what all tasks have in common; otherwise it is 0.
    penalty : float, default=0.0
        The weight ρ of ``‖W‖ / n_tasks`` in training, W being the w of all training tasks.
    alpha : float, default=0.01
        The ridge penalty λ of adaptation, for all rows of a task together; lower it for data
        without noise.
    n_queries : int or None, default=32
        At most this many rows of each task in a meta-update; None for all.
    activation : {"relu", "tanh", "gelu", "silu"}, default="tanh"
        The nonlinearity of the MLP.
    lr : float, default=0.005
        Learning rate.
    {shared}

    Attributes
    ----------
    task_parameters_ : ndarray of shape (n_tasks, n_parameters)
        The w of each known task, in the order of `tasks_`.
    calibration_ : ndarray of shape (n_parameters + 1, n_quantities)
        The intercept b, and below it the matrix B of ``w B + b``; only after `calibrate`.
    physical_parameters_ : ndarray of shape (n_tasks, n_quantities)
        The calibrated quantities of each known task, in the order of `tasks_`; likewise.
    {attributes}

    Notes
    -----
    A module's argument `n_outputs` is filled in with the number of c and V; a module without it
    must return ``n_targets * (n_parameters + offset)`` numbers. Several targets have a c and
    a V each, and share w.

    The model stays the same when a constant is taken from all w and V(x) times it is added to
    c(x). So after training the mean of W goes into c: a task without rows then is the average
    training task, and the ridge shrinks tasks of few rows towards it. The tasks of `fit` too
    are predicted by their ridge solutions, not by the w that they had in training.

    References
    ----------
    .. [1] M. Blanke, M. Lelarge (2024). Interpretable meta-learning of physical systems. ICLR;
       arXiv:2312.00477, section 3 for model, training and adaptation, section 4 for calibration.

    Examples
    --------
    Springs of unknown stiffness: the force is ``-k x``.

    >>> import numpy as np
    >>> import skmeta
    >>> rng = np.random.default_rng(0)
    >>> stiffness, spring = rng.uniform(1, 3, size=20), np.repeat(np.arange(20), 10)
    >>> x = rng.uniform(-1, 1, size=(200, 1))
    >>> force = -stiffness[spring] * x[:, 0]
    >>> model = skmeta.CAMELRegressor(n_parameters=1, max_iter=300, random_state=0)
    >>> model = model.fit(x, force, groups=spring)
    >>> model = model.calibrate(stiffness[model.tasks_])
    >>> new = model.adapt([[0.5], [0.8]], [-1.25, -2.0])  # a spring with k = 2.5
    >>> new.physical_parameters_.round(1)
    array([[2.5]])
    """

    n_parameters: int = 4
    offset: bool = True
    penalty: float = 0.0
    alpha: float = 1e-2
    n_queries: int | None = 32
    activation: str = "tanh"
    lr: float = 5e-3

    _body_has_outputs = True

    def calibrate(self, parameters: Any) -> Self:
        """Learn what the parameters of tasks mean, from tasks whose quantities are known.

        Solves ``min_{B, b} ‖W B + b - P‖²`` over the known tasks, W being `task_parameters_`.

        Parameters
        ----------
        parameters : array-like of shape (n_tasks,) or (n_tasks, n_quantities)
            The quantities P of the known tasks, in the order of `tasks_`.

        Returns
        -------
        calibrated : estimator
            A fitted estimator with `calibration_` and `physical_parameters_`, as have those that
            it adapts; this one is left as it was.
        """
        W = self._with_ones()
        P = check_array(
            parameters, ensure_2d=False, dtype=np.float64, input_name="parameters", estimator=self
        )
        if len(P) != len(W):
            raise ValueError(
                f"parameters has shape {P.shape}, but there are {len(W)} known tasks; "
                "give one row for each, in the order of tasks_."
            )
        calibrated = copy.copy(self)
        calibrated.calibration_ = np.linalg.lstsq(W, P.reshape(len(W), -1))[0]
        return calibrated

    def partial_adapt(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Take in further labelled rows of tasks, keeping what their earlier rows said.

        It is recursive least squares in its information form: the sums ``V'V`` and ``V'(y - c)``
        of a task are carried on, so that the result is that of `adapt` to all of its rows
        at once, at a cost that does not grow with them.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        groups : array-like of shape (n_samples,), default=None
            The task of each row. Tasks that are not known yet begin with these rows. Without it
            and without `task_column`, the rows are those of the one task that is known.

        Returns
        -------
        adapted : estimator
            A fitted estimator that knows all tasks that this one knows, and the new ones; this
            one is left as it was. It keeps sums of rows, and no rows.
        """
        check_is_fitted(self)
        adapted = copy.copy(self)
        data = adapted._read(X, y, groups, None, reset=False)
        labels = self._support.table.labels
        if data.table.labels[0] is None:
            if len(labels) > 1:
                raise ValueError(
                    f"This {type(self).__name__} knows {len(labels)} tasks, and the rows do not "
                    "say to which they belong; pass groups, or set task_column before fit."
                )
            codes = np.zeros(1, dtype=np.int64)
        else:
            codes = self._support.table.lookup(data.table.labels)
            fresh = codes < 0
            codes[fresh] = len(labels) + np.arange(fresh.sum())
            labels = np.concatenate([labels, data.table.labels[fresh]])
        before, more = self._known_state(), self._adapt_tasks(data)
        sums = {}
        for name in ("gram", "moment"):
            # The last task has no rows: it is the prior.
            total = np.zeros((len(labels) + 1, *before[name].shape[1:]), before[name].dtype)
            total[: len(before[name]) - 1] = before[name][:-1]
            total[codes] += more[name]
            sums[name] = self._tensor(total)
        with torch.no_grad():
            solved = self._affine.solve(**sums)
        adapted._state = {name: value.cpu().numpy() for name, value in solved.items()}
        none = data.take(np.full(len(labels), -1))
        adapted._support = TaskData(
            TaskTable(labels, none.table.order, none.table.offsets), none.X, none.y
        )
        return adapted

    @property
    def task_parameters_(self) -> NDArray[Any]:
        """The parameters w of each known task."""
        check_is_fitted(self)
        w: NDArray[Any] = self._known_state()["w"][:-1]
        return w

    @property
    def physical_parameters_(self) -> Array:
        """The calibrated quantities of each known task."""
        W = self._with_ones()
        if not hasattr(self, "calibration_"):
            raise AttributeError("physical_parameters_ needs calibrate to be called before.")
        quantities: Array = W @ self.calibration_
        return quantities

    def _with_ones(self) -> Array:
        w = self.task_parameters_.astype(np.float64)
        return np.column_stack([np.ones(len(w)), w])

    def _known_state(self) -> dict[str, NDArray[Any]]:
        """Return the state of all known tasks; behind them comes the prior."""
        if self._state is not None:
            return self._state
        tasks = np.append(np.arange(len(self.tasks_)), -1)
        return self._adapt_tasks(self._support.take(tasks))

    @property
    def _affine(self) -> _AffineInTask:
        return cast(_AffineInTask, self.net_.module_)

    @property
    def _n_net_outputs(self) -> int:
        """Return the number of outputs of c and V."""
        return int(self.n_outputs_) * (self.n_parameters + self.offset)

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.n_parameters, "n_parameters", Integral, min_val=1)
        check_scalar(self.penalty, "penalty", Real, min_val=0)
        check_scalar(self.alpha, "alpha", Real, min_val=0, include_boundaries="neither")

    def _wrapper(self, data: TaskData) -> Any:
        return partial(
            _AffineInTask,
            n_features_in=data.X.shape[1],
            n_targets=int(self.n_outputs_),
            n_tasks=data.table.n_tasks,
            n_parameters=self.n_parameters,
            offset=bool(self.offset),
            penalty=self.penalty,
            alpha=self.alpha,
        )

    def _fit_prior(self, data: TaskData) -> None:
        if hasattr(self, "calibration_"):
            del self.calibration_
        super()._fit_prior(data)

    def _finish(self, data: TaskData, quick: bool = False) -> None:
        self._affine.center(np.flatnonzero(data.sizes))

    def _validate(self, data: TaskData) -> float:
        kept = {name: value.clone() for name, value in self._affine.state_dict().items()}
        loss = super()._validate(data)
        self._affine.load_state_dict(kept)  # training goes on from where it was
        return loss
