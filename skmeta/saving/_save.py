"""Write an estimator to a file."""

from __future__ import annotations

import os
from typing import Any

from sklearn.base import BaseEstimator

from skmeta.saving._encode import Encoder
from skmeta.saving._file import write_file

__all__ = ["save"]


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write an estimator to one file that can be read without running code of its.

    The file holds numbers, text and the names of classes, in the format of safetensors [1]_, and
    nothing of pickle; so it may be passed on, and read by those who do not trust its sender.

    Parameters
    ----------
    estimator : estimator
        A meta-learner, fitted, adapted or neither; a `Pipeline` or a meta-transformer that ends
        in one; most other estimators of scikit-learn.
    path : str or path-like
        The file, by custom with the ending ``.safetensors``. One that is there is overwritten.

    Raises
    ------
    TypeError
        If `estimator` is no estimator, or a search, of which `best_estimator_` can be saved.
    ValueError
        If an attribute cannot be stored without code, such as a function. The error says which;
        nothing is written.
    ImportError
        If safetensors is not installed, which is the extra ``save``.

    See Also
    --------
    load : Reads the file.

    Notes
    -----
    Predictions, adaptation and parameters are those of `estimator`, to the bit. What only training
    uses is left out: the optimizer's state, the meta-loss, compiled graphs and callbacks, so the
    parameter `callbacks` is None afterwards. `net_.history` is kept if it is plain JSON.

    As with pickle, the rows of all tasks that `estimator` knows are in the file. To pass on what
    was meta-learned without the rows it was learned from, save what `adapt` returns; but a
    `TaskGrouping` has them in its `embedding_` even then, and so do those heads and transformers of
    scikit-learn that remember rows.

    References
    ----------
    .. [1] https://github.com/huggingface/safetensors

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import skmeta
    >>> tasks = skmeta.make_linear_tasks(30, 10, random_state=0)
    >>> model = skmeta.RidgeHeadRegressor(max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.safetensors"
    ...     skmeta.save(model, path)
    ...     loaded = skmeta.load(path)
    >>> new = loaded.adapt(tasks.data[:5], tasks.target[:5])
    >>> new.predict(tasks.data[5:10]).shape
    (5,)
    """
    if not isinstance(estimator, BaseEstimator):
        raise TypeError(f"save takes an estimator, got {type(estimator).__name__}.")
    if hasattr(estimator, "return_train_score"):  # searches have no public class in common
        raise TypeError(f"A {type(estimator).__name__} is not saved; save its best_estimator_.")
    encoder = Encoder()
    root = encoder.encode(estimator, type(estimator).__name__)
    write_file(path, root, encoder.table, encoder.arrays)
