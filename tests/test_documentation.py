"""What holds for README and site without building them: nothing is missing, everything runs."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from _snippets import run_snippets

import skmeta

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.stem: path for path in [*DOCS.glob("*.md"), *DOCS.glob("*.rst")]}
# Pages whose snippets go together into one program, which needs no other data.
PROGRAMS = [
    "amortised",
    "augmentation",
    "empirical_bayes",
    "getting_started",
    "grouping",
    "multitask",
    "robust",
    "tasks",
    "tuning",
    "which_learner",
]


def toctree(page: str) -> list[str]:
    """Return the entries of the toctrees of a page."""
    blocks = re.findall(r"```\{toctree\}\n(.*?)```", PAGES[page].read_text(), re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


def test_every_public_name_is_in_the_api_reference_once():
    blocks = re.findall(r"   :toctree: api/\n\n((?:   \w+\n)+)", PAGES["api"].read_text())
    names = [name for block in blocks for name in block.split()]
    assert sorted(names) == sorted(set(skmeta.__all__) - {"__version__"})


def test_every_page_can_be_reached_from_the_first_one():
    reached, todo = set(), ["index"]
    while todo:
        page = todo.pop()
        reached.add(page)
        todo += [entry for entry in toctree(page) if entry in PAGES and entry not in reached]
    assert reached == set(PAGES)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


READABLE = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_links_of_unbuilt_pages_lead_to_files(path):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", path.read_text()):
        if not link.startswith("gallery/"):  # which the build makes
            assert (path.parent / link).exists(), link
        elif link != "gallery/index":
            assert (ROOT / "examples" / f"{Path(link).name}.py").exists(), link


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore:.* skipped for lack of time:UserWarning")
def test_snippets_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for files that they write
    run_snippets(PAGES[name], shorter={"time_budget=60": "time_budget=0"})


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_has_a_picture(path):
    """The gallery shows one beside each title."""
    assert re.search(r"\bplt\.(subplots|figure)\(|Display\.from_\w+\(", path.read_text())


@pytest.mark.parametrize("path", sorted(DOCS.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path):
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_broken_links_of_the_site_are_found(tmp_path):
    spec = importlib.util.spec_from_file_location("check_links", DOCS / "check_links.py")
    check_links = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check_links)
    (tmp_path / "a.html").write_text('<a id="x" href="b.html#y"></a><a href="#x"></a>')
    (tmp_path / "b.html").write_text('<a id="y" href="a.html#z"></a><img src="c.png">')
    assert check_links.broken(tmp_path) == ["b.html: a.html#z", "b.html: c.png"]
