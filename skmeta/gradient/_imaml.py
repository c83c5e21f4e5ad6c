"""iMAML: the meta-gradient at the solution of the inner problem, without its path."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import torch
from sklearn.utils.validation import check_scalar
from torch import Tensor, nn

from skmeta.base._deep import DeepClassifierMixin, DeepRegressorMixin
from skmeta.base._params import meta_learner
from skmeta.gradient._base import GradientLearner
from skmeta.inner import ProximalSteps, TaskTensors, row_shares

__all__ = ["IMAMLClassifier", "IMAMLRegressor"]


class _ImplicitSteps(ProximalSteps):
    """The proximal solution w*(θ), differentiated by the implicit function theorem."""

    def __init__(
        self,
        network: nn.Module,
        n_features_in: int,
        n_outputs: int,
        *,
        cg_steps: int,
        cg_tol: float,
        damping: float,
        **steps: Any,
    ) -> None:
        super().__init__(network, n_features_in, n_outputs, **steps)
        self.cg_steps = cg_steps
        self.cg_tol = cg_tol
        self.damping = damping

    def adapt(self, X: Tensor, y: Tensor, mask: Tensor) -> TaskTensors:
        """Solve the inner problem of every task."""
        with torch.no_grad():
            state = super().adapt(X, y, mask)
        if not torch.is_grad_enabled():
            return state
        start = self.networks.start()
        names = list(start)
        solution = {name: state[name].detach().requires_grad_() for name in names}
        slope = self.networks.slope(solution, X, y, row_shares(mask))
        where = [solution[name] for name in names]
        sizes = [w[0].numel() for w in where]
        bent = [i for i, name in enumerate(names) if slope[name].requires_grad]  # unused: constant

        def curvature(v: Tensor) -> Tensor:
            """Return H_s(w*) v of every task."""
            parts = [p.view_as(w) for p, w in zip(torch.split(v, sizes, dim=1), where, strict=True)]
            product = torch.autograd.grad(
                [slope[names[i]] for i in bent],
                where,
                [parts[i] for i in bent],
                retain_graph=True,
                materialize_grads=True,
            )
            return torch.cat([p.flatten(1) for p in product], dim=1)

        def solve(v: Tensor) -> Tensor:
            """Return ``(I + damping I + H/λ)⁻¹ v`` of every task."""

            def system(u: Tensor) -> Tensor:
                return (1 + self.damping) * u + curvature(u) / self.alpha

            return _conjugate_gradients(system, v, self.cg_steps, self.cg_tol)

        values = [w.detach() for w in where]
        thetas = [start[name] for name in names]
        adapted = _Implicit.apply(solve, *thetas, *values)  # type: ignore[no-untyped-call]
        return dict(zip(names, adapted, strict=True))


class _Implicit(torch.autograd.Function):
    """Return solutions; hand what reaches them on to θ as ``(I + H/λ)⁻¹ v``, summed over tasks."""

    @staticmethod
    def forward(ctx: Any, solve: Callable[[Tensor], Tensor], *tensors: Tensor) -> Any:
        ctx.solve = solve
        solutions = tensors[len(tensors) // 2 :]
        return tuple(w.clone() for w in solutions)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        if torch.is_grad_enabled():  # its derivative would silently be 0
            raise ValueError(
                "The implicit meta-gradient of IMAML cannot be differentiated again; "
                "TaskGrouping with detach=True does without."
            )
        with torch.enable_grad():
            solved = ctx.solve(torch.cat([v.flatten(1) for v in slopes], dim=1))
        parts = torch.split(solved, [v[0].numel() for v in slopes], dim=1)
        gradient = [p.view_as(v).sum(dim=0) for p, v in zip(parts, slopes, strict=True)]
        return (None, *gradient, *(None for _ in slopes))


def _conjugate_gradients(
    system: Callable[[Tensor], Tensor], b: Tensor, n_steps: int, tol: float
) -> Tensor:
    """Solve ``system(x) = b`` for every task (row), each until its residual is small."""
    x, residual = torch.zeros_like(b), b.detach().clone()
    direction = residual.clone()
    size = residual.square().sum(dim=1, keepdim=True)
    enough = tol**2 * size
    for _ in range(n_steps):
        product = system(direction).detach()
        bend = (direction * product).sum(dim=1, keepdim=True)
        # Stop where it is solved, and where the curvature is not positive: there the system has
        # no minimum to go to.
        going = (size > enough) & (bend > 0)
        length = torch.where(going, size / torch.where(going, bend, 1.0), 0.0)
        x = x + length * direction
        residual = residual - length * product
        after = residual.square().sum(dim=1, keepdim=True)
        turn = torch.where(going, after / torch.where(going, size, 1.0), 0.0)
        direction = residual + turn * direction
        size = torch.where(going, after, 0.0)
    return x


@meta_learner
class _IMAML(GradientLearner):
    alpha: float = 1.0
    n_inner_steps: int = 10
    max_inner_norm: float | None = 10.0
    cg_steps: int = 5
    cg_tol: float = 1e-6
    damping: float = 0.0

    _rule_class = _ImplicitSteps

    def _check_params(self) -> None:
        super()._check_params()
        check_scalar(self.alpha, "alpha", Real, min_val=0, include_boundaries="neither")
        check_scalar(self.cg_steps, "cg_steps", Integral, min_val=0)
        check_scalar(self.cg_tol, "cg_tol", Real, min_val=0)
        check_scalar(self.damping, "damping", Real, min_val=0)
        if self.compile is True:
            raise ValueError("compile=True is not for IMAML: its solver looks at its residuals.")

    @property
    def _compiles(self) -> bool:
        return False

    @property
    def _rule_params(self) -> dict[str, Any]:
        return {
            "alpha": self.alpha,
            "cg_steps": self.cg_steps,
            "cg_tol": self.cg_tol,
            "damping": self.damping,
        }


@meta_learner
class IMAMLRegressor(DeepRegressorMixin, _IMAML):
    """MAML with implicit gradients: many inner steps at the memory of one.

    A task's network solves ``w*(θ) = argmin_w L_support(w) + λ/2 ‖w - θ‖²`` (equation 3), by
    `n_inner_steps` gradient steps, and the meta-gradient is
    ``(I + H_support(w*)/λ)⁻¹ ∇L_query(w*)`` (lemma 1), by conjugate gradients on products with
    the Hessian. How w* was found does not matter, so nothing of the path is kept.

    Pick it over `MAMLRegressor` when adaptation takes many steps, or should be held near the
    meta-parameters by a penalty rather than by stopping early.

    Parameters
    ----------
    alpha : float, default=1.0
        The strength λ of the pull towards the meta-parameters. It must exceed the most negative
        curvature of the support loss, and ``inner_lr * (alpha + curvature)`` must stay below 2.
    cg_steps : int, default=5
        Steps of conjugate gradients for a meta-gradient.
    cg_tol : float, default=1e-6
        A task's system counts as solved when its residual, relative to the right side, is below.
    damping : float, default=0
        Added to the identity in that system, for curvatures that make it ill-conditioned.
    max_inner_norm : float, default=10.0
        The largest norm of a task's inner gradient, without the pull. It keeps far-off tasks from
        diverging on their way, and is without effect near the solution.
    {shared}

    Attributes
    ----------
    {attributes}

    Notes
    -----
    The formula holds at the solution: with too few steps the meta-gradient is biased. It does not
    see the steps, so that, other than in MAML, training does not keep them stable while the
    curvature grows: take a smaller `inner_lr` and more of them, and some damping. The
    authors' code takes plain steps and one of the pull, and adds 10 to λ in the system; here both
    follow the paper. A task takes the same steps with the same pull in use.

    References
    ----------
    .. [1] A. Rajeswaran, C. Finn, S. Kakade, S. Levine (2019). Meta-learning with implicit
       gradients. NeurIPS; arXiv:1909.04630, equations 3 to 7, lemma 1 and algorithm 2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_sinusoid_tasks(50, 20, random_state=0)
    >>> model = skmeta.IMAMLRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> new = skmeta.make_sinusoid_tasks(1, 20, random_state=1)
    >>> model.adapt(new.data[:5], new.target[:5]).predict(new.data[5:]).shape
    (15,)
    """


@meta_learner
class IMAMLClassifier(DeepClassifierMixin, _IMAML):
    """MAML of classifiers with implicit gradients.

    As `IMAMLRegressor`, with the cross-entropy as loss.

    Parameters
    ----------
    alpha : float, default=1.0
        The strength λ of the pull towards the meta-parameters.
    cg_steps : int, default=5
        Steps of conjugate gradients for a meta-gradient.
    cg_tol : float, default=1e-6
        A task's system counts as solved when its residual, relative to the right side, is below.
    damping : float, default=0
        Added to the identity in that system, for curvatures that make it ill-conditioned.
    max_inner_norm : float, default=10.0
        The largest norm of a task's inner gradient, without the pull. It keeps far-off tasks from
        diverging on their way, and is without effect near the solution.
    {shared}

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] A. Rajeswaran, C. Finn, S. Kakade, S. Levine (2019). Meta-learning with implicit
       gradients. NeurIPS; arXiv:1909.04630, equations 3 to 7, lemma 1 and algorithm 2.

    Examples
    --------
    >>> import skmeta
    >>> tasks = skmeta.make_classification_tasks(50, 20, random_state=0)
    >>> model = skmeta.IMAMLClassifier(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> model.adapt(tasks.data[:9], tasks.target[:9]).predict_proba(tasks.data[9:12]).shape
    (3, 2)
    """

    _fixed_outputs = True
