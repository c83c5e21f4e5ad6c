"""Collections of related tasks: synthetic ones with a known answer, and real ones."""

from skmeta.datasets._collections import list_collections, load_collection
from skmeta.datasets._gapminder import load_gapminder
from skmeta.datasets._generators import (
    make_classification_tasks,
    make_linear_tasks,
    make_sinusoid_tasks,
)
from skmeta.datasets._glyphs import load_glyphs
from skmeta.datasets._optimal import bayes_linear_mse, bayes_linear_predict

__all__ = [
    "bayes_linear_mse",
    "bayes_linear_predict",
    "list_collections",
    "load_collection",
    "load_gapminder",
    "load_glyphs",
    "make_classification_tasks",
    "make_linear_tasks",
    "make_sinusoid_tasks",
]
