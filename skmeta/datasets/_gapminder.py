"""The gapminder table, which ships with skmeta."""

from __future__ import annotations

import csv
from importlib.resources import files

import numpy as np
from sklearn.utils import Bunch

from skmeta.datasets._encoding import encode

__all__ = ["load_gapminder"]

_DESCR = """\
Life expectancy of 142 countries in 12 surveys, five years apart, from 1952 to 2007.

Question: the first surveys of a country never seen are known; what is life expectancy in its
later ones? Rows are in order of time inside a country.

Features: the year, the natural logarithm of GDP per head (international dollars of 2005) and the
continent (one column each, Africa being the reference). Target: life expectancy at birth, in years.

Source: free material from gapminder.org, in Jennifer Bryan's excerpt for teaching. Licence:
Creative Commons Attribution (3.0 Unported, as stated in that excerpt's README; see README.md
beside the table).
"""


def load_gapminder(*, as_frame: bool = False) -> Bunch:
    """Load life expectancy by country and year, a table in need of no download.

    One task is one country: 142 of them with 12 surveys each, 1704 rows in order of time. The
    first surveys of a country are its support, and the question is life expectancy in the later
    ones.

    Parameters
    ----------
    as_frame : bool, default=False
        Add the table as published as a pandas data frame, and give `data`, `target` and `groups`
        as a frame and series with the same index.

    Returns
    -------
    gapminder : :class:`~sklearn.utils.Bunch`
        `data` of shape (1704, 6), `target`, `groups` (the country), `feature_names`,
        `target_names`, `frame` (None unless `as_frame`), `task_type` ("regression"), `forecast`
        (True: rows of a task are in order of time), `shots` (numbers of support rows worth
        trying), `question` and `DESCR` (units, source and licence).

    Examples
    --------
    >>> from skmeta.datasets import load_gapminder
    >>> gapminder = load_gapminder()
    >>> gapminder.data.shape, gapminder.groups[0], gapminder.target[:3]
    ((1704, 6), 'Afghanistan', array([28.801, 30.332, 31.997]))
    """
    path = files("skmeta.datasets") / "data" / "gapminder.csv"
    columns = zip(*csv.reader(path.read_text(encoding="utf-8").splitlines()), strict=True)
    text = {name: np.array(values) for name, *values in columns}
    table = {
        "country": text["country"].astype(object),
        "continent": text["continent"].astype(object),
        "year": text["year"].astype(np.int64),
        "lifeExp": text["lifeExp"].astype(np.float64),
        "pop": text["pop"].astype(np.int64),
        "gdpPercap": text["gdpPercap"].astype(np.float64),
    }
    data, feature_names = encode(
        {
            "year": table["year"],
            "log_gdpPercap": np.log(table["gdpPercap"]),
            "continent": table["continent"],
        }
    )
    bunch = Bunch(
        data=data,
        target=table["lifeExp"],
        groups=table["country"],
        feature_names=feature_names,
        target_names=["lifeExp"],
        frame=None,
        task_type="regression",
        forecast=True,
        shots=(3, 5, 10),
        question="Three surveys of a new country are known: what is life expectancy later?",
        DESCR=_DESCR,
    )
    if as_frame:
        import pandas as pd

        bunch.frame = pd.DataFrame(table)
        bunch.data = pd.DataFrame(data, columns=feature_names)
        bunch.target, bunch.groups = bunch.frame["lifeExp"], bunch.frame["country"]
    return bunch
