"""The table of tools, tried; and the page in the docs, which is made of it."""

from pathlib import Path

import pytest
import sklearn
from _given import KINDS, Given
from _interoperability import TOOLS, page

PAGE = Path(__file__).parents[2] / "docs" / "interoperability.md"


def names(tool):
    return tool.check.__name__


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tool", TOOLS, ids=names)
def test_a_task_column_works_as_the_page_says(tool, kind):
    _try(tool, Given(kind, routed=False))


@pytest.mark.parametrize("tool", TOOLS, ids=names)
def test_routed_groups_work_as_the_page_says(tool):
    with sklearn.config_context(enable_metadata_routing=True):
        _try(tool, Given(next(iter(KINDS)), routed=True))


def _try(tool, given):
    if tool.works(given.routed):
        tool.check(given)
    else:
        with pytest.raises((ValueError, TypeError)):
            tool.check(given)


def test_the_page_is_made_of_the_table():
    assert PAGE.read_text() == page()
