"""What holds for the package as a whole: docstrings, the README, which part imports which."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _snippets import run_snippets

import skmeta

ROOT = Path(__file__).parents[1]
PUBLIC = [getattr(skmeta, name) for name in skmeta.__all__ if name != "__version__"]
CLASSES = [t for t in PUBLIC if inspect.isclass(t) and not issubclass(t, Warning)]
FUNCTIONS = [thing for thing in PUBLIC if inspect.isfunction(thing)]


def documented(doc: str) -> list[str]:
    """Return the names in the Parameters section of a numpydoc docstring."""
    match = re.search(
        r"Parameters\n-+\n(.*?)(\n\n[A-Z][\w ]+\n-+\n|\Z)", inspect.cleandoc(doc), re.S
    )
    if match is None:
        return []
    names = re.findall(r"^(\*{0,2}\w[\w, ]*?) : ", match.group(1), re.M)
    return [name for group in names for name in group.replace("*", "").split(", ")]


def parameters(thing: object) -> list[str]:
    return [name for name in inspect.signature(thing).parameters if name != "self"]  # type: ignore[arg-type]


@pytest.mark.parametrize("thing", [*CLASSES, *FUNCTIONS], ids=lambda thing: thing.__name__)
def test_docstring_has_the_parameters_of_the_signature(thing):
    assert sorted(documented(thing.__doc__)) == sorted(parameters(thing))
    assert "Examples\n" in thing.__doc__


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_public_methods_are_documented(cls):
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if name.startswith("_") or not method.__module__.startswith("skmeta"):
            continue
        assert method.__doc__, f"{cls.__name__}.{name}"
        accepted = [p for p in parameters(method) if p not in ("kwargs", "fit_params")]
        assert sorted(documented(method.__doc__)) == sorted(accepted), f"{cls.__name__}.{name}"


def test_the_check_sees_a_parameter_that_is_not_documented():
    doc = skmeta.EmpiricalBayesRegressor.__doc__.replace("n_components : int", "components : int")
    assert sorted(documented(doc)) != sorted(parameters(skmeta.EmpiricalBayesRegressor))


@pytest.mark.parametrize("part", ["inner", "modules"])
def test_the_torch_side_does_not_import_scikit_learn(part):
    for path in (ROOT / "skmeta" / part).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                allowed = name.startswith(("torch", "skmeta.inner", "skmeta.modules"))
                standard = name.split(".")[0] in sys.stdlib_module_names
                assert allowed or standard, f"{path.name} imports {name}"


def test_readme_snippets_run(tmp_path, monkeypatch):
    """The README's code does what a reader would type."""
    monkeypatch.chdir(tmp_path)
    shorter = {"time_budget=60": "time_budget=0"}
    with pytest.warns(UserWarning, match="skipped for lack of time"):
        names = run_snippets(ROOT / "README.md", shorter=shorter, n_blocks=2)
    assert len(names["auto"].leaderboard_)
    assert (tmp_path / "life_expectancy.safetensors").exists()


def test_snippets_of_the_page_on_choosing_run():
    """Step by step, each block with the names of those before."""
    tasks = skmeta.make_linear_tasks(12, 14, 2, random_state=0)
    df = pd.DataFrame(tasks.data, columns=["a", "b"])
    df["city"] = [f"city {label}" for label in tasks.groups]
    with pytest.warns(UserWarning, match="skipped for lack of time"):
        names = run_snippets(
            ROOT / "docs" / "choosing.md",
            {"df": df, "y": pd.Series(tasks.target)},
            shorter={"max_iter=150": "max_iter=5", "budget=60": "budget=0"},
            n_blocks=5,
        )
    assert np.isfinite(names["table"]["score"]).all()
    assert np.isfinite(names["errors"].errors).all()


def test_the_snippet_of_the_page_on_explaining_runs():
    tasks = skmeta.make_linear_tasks(12, 14, 2, random_state=0)
    df = pd.DataFrame(tasks.data, columns=["a", "b"]).assign(district=tasks.groups)
    page = ROOT / "docs" / "explaining.md"
    names = run_snippets(page, {"df": df, "y": tasks.target}, n_blocks=1)
    assert set(names["found"].features["feature"]) == {"a", "b"}


def test_snippets_of_the_page_on_saving_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_snippets(ROOT / "docs" / "saving.md", n_blocks=2)


def test_snippets_of_the_page_on_training_run():
    pytest.importorskip("sklearn.callback")
    shorter = {"max_iter=1000": "max_iter=20", "max_iter=100,": "max_iter=5,"}
    names = run_snippets(ROOT / "docs" / "training.md", shorter=shorter, n_blocks=6)
    assert len(names["model"].validation_tasks_) == 3
    assert len(names["search"].best_estimator_.tasks_) == 100
