"""Groups of tasks, by how unlike they are."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.cluster import KMeans
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_scalar

from skmeta.grouping._dissimilarity import landmark_rows

__all__ = ["group_tasks"]

Array = NDArray[np.float64]
Groups = NDArray[np.int64]

_WAYS = ("mixed", "dissimilar", "similar", "random")
_FEWEST, _MOST = 2, 10  # groups among which "auto" chooses
_LEAST_AFFINITY = 1e-10  # keeps a graph in one piece whose parts have nothing in common
_STARTS = 10  # of k-means


def group_tasks(
    dissimilarity: Any,
    n_groups: int | str = 5,
    *,
    how: str = "mixed",
    random_state: Any = None,
) -> NDArray[np.int64]:
    """Divide tasks into groups of unlike or of like ones.

    Parameters
    ----------
    dissimilarity : array-like of shape (n_tasks, n_tasks) or (n_tasks, n_landmarks)
        From 0 to 1, as `task_dissimilarity` returns it. With landmarks, these are clustered, and
        another task goes where the landmark is that is most like it. A cluster of unlike landmarks
        so becomes one of unlike tasks too.
    n_groups : int or "auto", default=5
        The number of groups. "auto" takes the number of kinds of tasks that the similarities show:
        where, of 2 to 10, the eigenvalues of their normalised Laplacian have the widest gap.
    how : {"mixed", "dissimilar", "similar", "random"}, default="mixed"
        What a group has:

        - "mixed": tasks of every kind. Tasks are clustered by similarity, into as many kinds as
          "auto" would find groups, and each kind is dealt out over all groups;
        - "dissimilar": unlike tasks, by spectral clustering whose affinities are the
          dissimilarities, as in task groupings regularization;
        - "similar": like tasks, by spectral clustering on similarities;
        - "random": any.

        Groups of "mixed" and "random" differ in size by at most one task, the others may be of
        any size.
    random_state : int, RandomState instance or None, default=None
        Draws the starts of k-means, and the order in which tasks are dealt out.

    Returns
    -------
    groups : ndarray of shape (n_tasks,)
        The group of each task, a number from 0 on.

    Raises
    ------
    ValueError
        If dissimilarities are not a symmetric square or a rectangle, or leave the range from 0 to
        1; if there are more groups than tasks compared; or `how` is none of those named.

    Notes
    -----
    The clustering is that of scikit-learn's `SpectralClustering` with a precomputed affinity, but
    for the solver: the eigenvalues of a graph of dissimilarities crowd at 1, where iterative
    solvers do not converge, and all of them are computed. For that reason too, "auto" looks at
    similarities whatever `how` is: dissimilarities have no gap.

    That crowd is also why "dissimilar" is not the default. Kinds of tasks that are well apart make
    dissimilarities a graph of several sides, and then all eigenvectors of use but the first are
    decided by small differences within the kinds: groups are of very different size, and the
    smaller ones often of a single kind.

    References
    ----------
    .. [1] Y. Wei, Z. Hu, L. Shen, Z. Wang, Y. Li, C. Yuan, D. Tao (2024). Task groupings
       regularization: data-free meta-learning with heterogeneous pre-trained models. ICML;
       arXiv:2405.16560, the section on task groupings.
    .. [2] U. von Luxburg (2007). A tutorial on spectral clustering. Statistics and Computing 17;
       arXiv:0711.0189, section 8.3 for the gap.

    Examples
    --------
    >>> import numpy as np
    >>> import skmeta
    >>> E = np.array([[1.0, 0.0], [1.0, 0.1], [0.1, 1.0], [0.0, 1.0]])
    >>> D = skmeta.task_dissimilarity(E)
    >>> like = skmeta.group_tasks(D, 2, how="similar", random_state=0)
    >>> bool(like[0] == like[1] != like[2] == like[3])
    True
    """
    dissimilarity = _check_dissimilarity(dissimilarity)
    n_tasks, n_compared = dissimilarity.shape
    if how not in _WAYS:
        raise ValueError(f"how={how!r} must be one of {list(_WAYS)}.")
    random = check_random_state(random_state)
    among = dissimilarity[landmark_rows(n_tasks, n_compared)]
    wanted = _count_kinds(1 - among) if n_groups == "auto" else n_groups
    number: int = check_scalar(wanted, "n_groups", Integral, min_val=1, max_val=n_compared)
    if how in ("similar", "dissimilar"):
        affinity = among if how == "dissimilar" else 1 - among
        return _like_landmarks(_cluster(affinity, number, random), dissimilarity)
    kinds = np.zeros(n_tasks, dtype=np.int64)
    if how == "mixed" and n_compared > _FEWEST:
        found = _cluster(1 - among, _count_kinds(1 - among), random)
        kinds = _like_landmarks(found, dissimilarity)
    groups = np.empty(n_tasks, dtype=np.int64)
    groups[np.lexsort((random.permutation(n_tasks), kinds))] = np.arange(n_tasks) % number
    return groups


def _check_dissimilarity(values: Any) -> Array:
    values = check_array(values, dtype=np.float64, input_name="dissimilarity")
    n_tasks, n_compared = values.shape
    if n_compared > n_tasks:
        raise ValueError(
            f"dissimilarity has shape {values.shape}; it needs a row for each task, and no more "
            "columns than rows."
        )
    if values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"dissimilarity goes from {values.min():.3g} to {values.max():.3g}, but must lie "
            "between 0 and 1."
        )
    among = values[landmark_rows(n_tasks, n_compared)]
    if not np.allclose(among, among.T, atol=1e-5):
        raise ValueError(
            "dissimilarity is not symmetric: tasks a and b must be as unlike as b and a. With "
            "fewer columns than rows, these are the landmarks of task_dissimilarity."
        )
    checked: Array = values
    return checked


def _spectrum(affinity: Array, n_vectors: int) -> tuple[Array, Array]:
    """Return the least eigenvalues of the normalised Laplacian, and its eigenvectors by task."""
    affinity = np.maximum(affinity, _LEAST_AFFINITY)
    np.fill_diagonal(affinity, 0)
    scale = 1 / np.sqrt(affinity.sum(axis=0))
    laplacian = np.eye(len(affinity)) - scale[:, None] * affinity * scale
    values, vectors = eigh(laplacian, subset_by_index=(0, min(n_vectors, len(affinity)) - 1))
    return values, scale[:, None] * vectors


def _cluster(affinity: Array, n_clusters: int, random: np.random.RandomState) -> Groups:
    if n_clusters == 1:
        return np.zeros(len(affinity), dtype=np.int64)
    _, vectors = _spectrum(affinity, n_clusters)
    means = KMeans(n_clusters, n_init=_STARTS, random_state=random)
    return means.fit_predict(vectors).astype(np.int64)


def _like_landmarks(of_landmarks: Groups, dissimilarity: Array) -> Groups:
    """Return the label of every task, which is that of the landmark most like it."""
    labels = of_landmarks[dissimilarity.argmin(axis=1)]
    # Also where another landmark is no less like them.
    labels[landmark_rows(*dissimilarity.shape)] = of_landmarks
    return labels


def _count_kinds(similarity: Array) -> int:
    """Return how many kinds there are by the gap behind as many eigenvalues."""
    if len(similarity) <= _FEWEST:
        raise ValueError(f"n_groups='auto' needs more than {_FEWEST} tasks, got {len(similarity)}.")
    values, _ = _spectrum(similarity, _MOST + 1)
    return _FEWEST + int(np.diff(values)[_FEWEST - 1 :].argmax())
