"""The parameters that all deep learners share, declared and documented once."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Hashable
from typing import Any, TypeVar, cast, dataclass_transform

import torch

__all__ = [
    "ClassifierParams",
    "DeepParams",
    "EpisodicParams",
    "RegressorParams",
    "meta_learner",
]

T = TypeVar("T", bound=type)

_DOCS = {
    "inner_lr": """
        inner_lr : float or dict, default={default}
            The inner rate α, or rates of layers by the names of their parameters, such as
            ``{{"0": 0.1, "2.weight": 0.01}}``; layers left out take no steps.
        """,
    "n_inner_steps": """
        n_inner_steps : int, default={default}
            Gradient steps on the support in training.
        """,
    "n_adapt_steps": """
        n_adapt_steps : int, default=None
            Gradient steps in use; None takes as many as in training. It may be set after `fit`.
        """,
    "max_inner_norm": """
        max_inner_norm : float, default=None
            The largest norm of a task's inner gradient; a longer one is scaled down to it.
        """,
    "compile": """
        compile : bool or "auto", default={default}
            Whether to compile the meta-step to native code, which takes 10 to 35 seconds once and
            a C++ compiler; "auto" does so from 5000 meta-updates on.
        """,
    "chunk_size": """
        chunk_size : int, default=None
            Tasks of a meta-update to differentiate at once, which bounds memory; None for all.
        """,
    "n_shots": """
        n_shots : int or (int, int), default={default}
            Support rows of a training episode, or the smallest and largest number, drawn anew for
            each; of each class with `n_way` or `stratify`. A task needs one row more to be
            trained on; any number of rows can be adapted to.
        """,
    "n_queries": """
        n_queries : int or None, default={default}
            At most this many query rows of a training episode (of each class likewise); None for
            all rows that are left.
        """,
    "meta_batch_size": """
        meta_batch_size : int, default={default}
            Tasks in a meta-update.
        """,
    "max_iter": """
        max_iter : int, default={default}
            Meta-updates; with `validation_fraction`, at most.
        """,
    "validation_fraction": """
        validation_fraction : float or array-like, default=None
            The share of tasks to hold out, or their labels. What is left is trained on until the
            loss on the tasks held out has not improved for `n_iter_no_change` epochs, and the
            best weights are kept. With `n_way` and one task, it is classes that are held out. None
            trains on all tasks to the end.
        """,
    "n_iter_no_change": """
        n_iter_no_change : int, default={default}
            Epochs to go on for without improvement, if there are tasks held out.
        """,
    "lr": """
        lr : float, default={default}
            Outer learning rate.
        """,
    "optimizer": """
        optimizer : torch optimizer class, default=torch.optim.Adam
            Outer optimizer; its arguments are set as ``optimizer__weight_decay`` and so on.
        """,
    "module": """
        module : torch Module class or instance, default=None
            The network; its arguments are set as ``module__width`` and so on, and those named
            `n_features_in` or `n_outputs` are filled in from the data. None builds an `MLP`.
        """,
    "hidden_layer_sizes": """
        hidden_layer_sizes : tuple of int, default={default}
            Units of each hidden layer of that MLP.
        """,
    "activation": """
        activation : {{"relu", "tanh", "gelu", "silu"}}, default="{default}"
            Its nonlinearity.
        """,
    "net_params": """
        net_params : dict, default=None
            Anything else for skorch's `NeuralNet`.
        """,
    "callbacks": """
        callbacks : list of skorch callbacks, default=None
            Called during meta-training, an epoch being a hundredth of `max_iter`.
        """,
    "device": """
        device : str, default="{default}"
            Where torch computes.
        """,
    "random_state": """
        random_state : int, RandomState instance or None, default=None
            Draws the initial weights and the episodes.
        """,
    "verbose": """
        verbose : int, default={default}
            0 is silent, 1 shows a line with the progress of meta-training, the losses and the time
            left, 2 prints a row for each epoch.
        """,
    "task_column": """
        task_column : str or int, default=None
            The column of X that holds the task labels; None if they come as `groups`.
        """,
    "unseen": """
        unseen : {{"prior", "raise"}}, default="{default}"
            What to do with rows of a task that neither `fit` nor `adapt` has seen: predict from
            the prior with a warning, or raise.
        """,
    "normalize_y": """
        normalize_y : bool, default={default}
            Whether to learn targets with mean 0 and variance 1 over the training rows.
        """,
    "n_way": """
        n_way : int, default=None
            Train on episodes of this many classes, drawn at random out of the classes of y (of
            each task, if there are several).
        """,
    "stratify": """
        stratify : bool, default={default}
            Whether training episodes draw `n_shots` rows of each class.
        """,
    "label_sets": """
        label_sets : {{"auto", "shared", "own"}}, default="{default}"
            Whether tasks share one label set (each task has all classes, even those that its few
            rows do not show) or have label sets of their own. "auto" decides by how many classes
            the tasks show.
        """,
}

_CLASSES_DOC = """
    classes_ : ndarray of shape (n_classes,)
        The labels.
    """

_ATTRIBUTES_DOC = """
    net_ : skorch NeuralNet
        The trained net: `net_.history`, `net_.module_`.
    n_iter_ : int
        Meta-updates done.
    validation_tasks_ : ndarray
        Labels of the tasks, or classes, that were held out of training; `net_.history` then has
        a ``valid_loss`` for each epoch.
    tasks_ : ndarray of shape (n_tasks,)
        Labels of the tasks that the estimator knows.
    """


@dataclass_transform(kw_only_default=True, eq_default=False)
def meta_learner(cls: T) -> T:
    """Make a constructor of the parameters that a class and its bases declare.

    It only stores them, as scikit-learn wants. In the class's docstring, a line ``{shared}``
    becomes the documentation of the parameters declared here, and ``{attributes}`` that of what
    every deep learner has after `fit`.
    """
    made: Any = dataclasses.dataclass(kw_only=True, eq=False, repr=False)(cls)
    doc = made.__doc__ or ""
    fields = {field.name: field.default for field in dataclasses.fields(made)}
    shared = [
        _DOCS[name].format(default=default)
        for name, default in fields.items()
        if name in _DOCS and f"\n    {name} : " not in doc
    ]
    attributes = [_CLASSES_DOC] * ("label_sets" in fields) + [_ATTRIBUTES_DOC]
    for mark, entries in {"{shared}": shared, "{attributes}": attributes}.items():
        text = "\n".join(textwrap.dedent(entry).strip("\n") for entry in entries)
        doc = doc.replace(f"    {mark}\n", textwrap.indent(f"{text}\n", "    "))
    made.__doc__ = doc
    return cast(T, made)


@meta_learner
class DeepParams:
    """Parameters of every deep learner."""

    n_queries: int | None = 15
    meta_batch_size: int = 16
    max_iter: int = 1000
    validation_fraction: Any = None
    n_iter_no_change: int = 20
    lr: float = 1e-3
    optimizer: Any = torch.optim.Adam
    module: Any = None
    hidden_layer_sizes: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    net_params: dict[str, Any] | None = None
    callbacks: Any = None
    device: str = "cpu"
    random_state: Any = None
    verbose: int = 0
    task_column: Hashable | None = None
    unseen: str = "prior"


@meta_learner
class EpisodicParams:
    """Parameters of learners that train on episodes of a support and a query."""

    n_shots: int | tuple[int, int] = 5

    @property
    def _shots(self) -> int | tuple[int, int]:
        return self.n_shots


@meta_learner
class RegressorParams:
    """Parameters of every deep regressor."""

    normalize_y: bool = True


@meta_learner
class ClassifierParams:
    """Parameters of every deep classifier."""

    n_way: int | None = None
    stratify: bool = False
    label_sets: str = "auto"
