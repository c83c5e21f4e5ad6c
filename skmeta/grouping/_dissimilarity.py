"""How unlike tasks are, by their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import check_scalar
from torch import Tensor

__all__ = ["landmark_rows", "task_dissimilarity"]

_FLOOR = 1e-6  # the authors', added to what is divided by
_TILE_BYTES = 1 << 20  # of rows compared at once: what a cache holds is the fastest


def task_dissimilarity(
    E: Any, blocks: Sequence[int] | None = None, *, n_landmarks: int = 1000
) -> NDArray[Any]:
    """Return how unlike tasks are, from 0 to 1.

    Without `blocks` it is 1 less the cosine of two tasks' embeddings, at most 1. With `blocks`
    the embeddings are Fisher informations of a network, whose parameter tensors differ in scale
    by far; each is compared by itself and relative to the pair of tasks: of tasks a and b it takes
    the cosine of ``a / (a + b + 1e-6)`` and ``b / (a + b + 1e-6)``, averaged over tensors, and
    returns 1 less that.

    Parameters
    ----------
    E : array-like of shape (n_tasks, n_numbers)
        Embeddings, as `TaskEmbedding` gives them.
    blocks : sequence of int, default=None
        The number of columns of each parameter tensor: `TaskEmbedding.blocks_`, which is None
        where the cosine is right.
    n_landmarks : int, default=1000
        With more tasks than this, each is compared with this many of them alone.

    Returns
    -------
    dissimilarity : ndarray of shape (n_tasks, n_tasks) or (n_tasks, n_landmarks)
        Symmetric, with a diagonal of 0, if all tasks are compared. Otherwise columns are the
        landmarks: tasks at even distances, ``np.linspace(0, n_tasks - 1, n_landmarks)`` cut to
        integers. `group_tasks` takes either.

    Raises
    ------
    ValueError
        If the sizes in `blocks` do not add up to the columns of E, or E has a negative number
        that a Fisher information cannot have.

    Notes
    -----
    The cost of the comparison in pairs is that of ``n_tasks * min(n_tasks, n_landmarks) / 2`` (all
    tasks) or twice that (landmarks) passes over a row of E; in float32 it is half that of float64.

    A tensor of which neither task has any information counts as equal, and one of a single number
    always does. Where informations are far below 1e-6, that constant decides, and the comparison
    is the plain cosine of each tensor.

    References
    ----------
    .. [1] Y. Wei, Z. Hu, L. Shen, Z. Wang, Y. Li, C. Yuan, D. Tao (2024). Task groupings
       regularization: data-free meta-learning with heterogeneous pre-trained models. ICML;
       arXiv:2405.16560, the section on task groupings; its code for the constant.

    Examples
    --------
    >>> import skmeta
    >>> skmeta.task_dissimilarity([[1.0, 1.0], [2.0, 2.0], [0.0, 3.0]]).round(2)
    array([[0.  , 0.  , 0.29],
           [0.  , 0.  , 0.29],
           [0.29, 0.29, 0.  ]])
    """
    E = check_array(E, dtype=(np.float64, np.float32), order="C", input_name="E")
    check_scalar(n_landmarks, "n_landmarks", Integral, min_val=1)
    landmarks = landmark_rows(len(E), n_landmarks)
    if blocks is None:
        norms = np.linalg.norm(E, axis=1, keepdims=True)
        unit = E / np.where(norms > 0, norms, 1)
        similarity = unit @ unit[landmarks].T
    else:
        similarity = _fisher_similarity(E, blocks, landmarks)
    if len(landmarks) == len(E):  # the two products of a pair may be rounded differently
        similarity = np.tril(similarity) + np.tril(similarity, -1).T
    dissimilarity: NDArray[Any] = np.clip(1 - similarity, 0, 1)
    dissimilarity[landmarks, np.arange(len(landmarks))] = 0
    return dissimilarity


def landmark_rows(n_tasks: int, n_landmarks: int) -> NDArray[np.int64]:
    """Return the tasks with which all are compared."""
    return np.linspace(0, n_tasks - 1, min(n_landmarks, n_tasks)).astype(np.int64)


def _fisher_similarity(
    E: NDArray[Any], blocks: Sequence[int], landmarks: NDArray[np.int64]
) -> NDArray[Any]:
    """Return the similarities to landmarks; where these are all tasks, of each pair once."""
    if sum(blocks) != E.shape[1] or min(blocks) < 1:
        raise ValueError(
            f"blocks={tuple(blocks)} add up to {sum(blocks)} columns, but E has {E.shape[1]}; "
            "give the blocks_ of the TaskEmbedding that made E."
        )
    if E.min() < 0:
        raise ValueError(
            f"E has the number {E.min():.3g}, but a Fisher information is never negative; "
            "for other embeddings leave out blocks."
        )
    all_pairs = len(landmarks) == len(E)
    total = torch.zeros(len(E), len(landmarks), dtype=torch.from_numpy(E).dtype)
    for part in torch.split(torch.from_numpy(E), list(blocks), dim=1):
        block = part.contiguous()
        for column, landmark in enumerate(landmarks.tolist()):
            first = column if all_pairs else 0
            total[first:, column] += _cosines(block[landmark], block[first:])
    mean: NDArray[Any] = (total / len(blocks)).numpy()
    return mean


def _cosines(one: Tensor, others: Tensor) -> Tensor:
    """Return the cosine of one task with each of some others, each pair scaled by its sum."""
    floored = one + _FLOOR
    parts = []
    for tile in torch.split(others, max(1, _TILE_BYTES // (one.numel() * one.element_size()))):
        inverse = (tile + floored).reciprocal_()
        a, b = inverse * one, inverse.mul_(tile)
        ab, aa, bb = (torch.linalg.vecdot(*pair) for pair in ((a, b), (a, a), (b, b)))
        # As a product of two quotients, neither of which leaves the range of the float type.
        cosine = ((ab / aa) * (ab / bb)).sqrt()
        parts.append(torch.where((aa > 0) & (bb > 0), cosine, (aa == bb).to(cosine.dtype)))
    return torch.cat(parts)
