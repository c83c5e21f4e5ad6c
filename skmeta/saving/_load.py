"""Read an estimator from a file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from skmeta.saving._decode import Decoder
from skmeta.saving._file import read_file

__all__ = ["load"]


def load(path: str | os.PathLike[str], *, trusted: Iterable[type] = ()) -> Any:
    """Read an estimator that `save` wrote, without running code that the file brings.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : iterable of classes, default=()
        Your own classes that the estimator was built of: the network given as `module`, a
        transformer of a pipeline. A class of the same name in another module will do, so what was
        saved in a notebook can be read by a program.

    Returns
    -------
    estimator : estimator
        It predicts, adapts, clones and pickles as the one that was saved.

    Raises
    ------
    TypeError
        If `trusted` has something other than classes.
    ValueError
        If the file is damaged, of a newer format, or names a class that is none of skmeta, of
        scikit-learn's estimators, of torch's layers and optimizers, or `trusted`.
    FileNotFoundError
        If there is no such file.
    ImportError
        If safetensors is not installed, which is the extra ``save``.

    See Also
    --------
    save : Writes the file, and says what is left out.

    Notes
    -----
    An estimator that was trained on a device which this machine does not have is loaded on the
    CPU, with a warning. As when unpickling, a fitted estimator of scikit-learn's gives an
    `InconsistentVersionWarning` if another version of scikit-learn wrote it.

    The file cannot name what to run, but it does say what is in the arrays: compiled code of other
    libraries, such as a decision tree of scikit-learn's, may still crash on arrays that somebody
    chose with that intent.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from torch import nn
    >>> import skmeta
    >>> class Body(nn.Sequential):
    ...     def __init__(self, n_features_in):
    ...         super().__init__(nn.Linear(n_features_in, 16), nn.Tanh())
    >>> tasks = skmeta.make_linear_tasks(30, 10, random_state=0)
    >>> model = skmeta.RidgeHeadRegressor(module=Body, max_iter=20, random_state=0)
    >>> model = model.fit(tasks.data, tasks.target, groups=tasks.groups)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.safetensors"
    ...     skmeta.save(model, path)
    ...     loaded = skmeta.load(path, trusted=[Body])
    >>> rows, groups = tasks.data[:3], tasks.groups[:3]
    >>> bool((loaded.predict(rows, groups) == model.predict(rows, groups)).all())
    True
    """
    trusted = tuple(trusted)
    for cls in trusted:
        if not isinstance(cls, type):
            raise TypeError(f"trusted takes classes, got {cls!r}.")
    root, table, arrays = read_file(path)
    try:
        return Decoder(table, arrays, trusted).decode(root)
    except ValueError as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from error
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__}, {error}.") from error
