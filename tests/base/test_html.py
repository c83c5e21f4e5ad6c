"""Notebooks show scikit-learn's diagram, and of a fitted learner a table."""

from __future__ import annotations

import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge

import skmeta
from skmeta import (
    AutoMetaRegressor,
    EmpiricalBayesRegressor,
    HeTRoM,
    PrototypicalClassifier,
    RidgeHeadRegressor,
    TaskBalancing,
)

TASKS = skmeta.make_linear_tasks(9, 10, 2, random_state=0)
NET = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0}
RIDGE = RidgeHeadRegressor(n_shots=(1, 3), **NET)


def fitted(learner):
    rows = slice(0, 85)  # five of the last task
    return clone(learner).fit(TASKS.data[rows], TASKS.target[rows], groups=TASKS.groups[rows])


def table(learner):
    html = learner._repr_mimebundle_()["text/html"]
    assert html.count("skmeta-summary") == 1
    assert learner._repr_html_().endswith(html[html.index('<table class="skmeta-summary">') :])
    return html[html.index('<table class="skmeta-summary">') :]


def cell(name, value):
    return f"<tr><th>{name}</th><td>{value}</td></tr>"


@pytest.mark.parametrize(
    "learner",
    [RIDGE, EmpiricalBayesRegressor(), HeTRoM(RIDGE), TaskBalancing(HeTRoM(RIDGE))],
    ids=lambda learner: type(learner).__name__,
)
def test_the_diagram_and_a_table_of_tasks(learner):
    model = fitted(learner)
    assert type(model).__name__ in model._repr_html_()
    shown = table(model)
    assert cell("Tasks", 9) in shown
    assert cell("Rows of a task", "5 to 10, median 10") in shown
    assert (cell("Meta-updates", 5) in shown) == hasattr(model, "net_")


def test_what_training_came_to():
    model = fitted(RIDGE)
    loss = f"{model.net_.history[-1]['train_loss']:.4g}"
    assert cell("Shots in training", "1 to 3") in table(model)
    assert cell("Meta-loss of the last epoch", loss) in table(model)
    assert "Validation loss" not in table(model)
    validated = fitted(clone(RIDGE).set_params(validation_fraction=0.3))
    loss = f"{min(row['valid_loss'] for row in validated.net_.history):.4g}"
    assert cell("Validation loss of the best epoch", loss) in table(validated)
    assert cell("Tasks", 1) in table(model.adapt(TASKS.data[:3], TASKS.target[:3]))


def test_shots_of_each_class():
    tasks = skmeta.make_classification_tasks(6, 12, random_state=0)
    learner = PrototypicalClassifier(n_shots=2, n_way=2, **NET)
    model = learner.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert cell("Shots in training", "2 of each class") in table(model)


def test_names_are_escaped():
    auto = AutoMetaRegressor(candidates={"<b>& co</b>": Ridge()}, n_splits=2, random_state=0)
    assert cell("Chosen", "&lt;b&gt;&amp; co&lt;/b&gt;") in table(fitted(auto))


def test_no_table_before_fit_and_no_html_where_text_is_asked_for():
    assert "skmeta-summary" not in RIDGE._repr_html_()
    model = fitted(HeTRoM(RIDGE))
    with config_context(display="text"):
        assert "text/html" not in model._repr_mimebundle_()
        assert not hasattr(model, "_repr_html_")
