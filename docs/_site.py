"""What Sphinx has no extension for."""

from __future__ import annotations

import warnings
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


_filters = list(warnings.filters)


def warnings_are_errors(gallery_conf: dict[str, Any], name: str, when: str) -> None:
    """Hold examples to what tests are held to."""
    if when == "before":
        warnings.simplefilter("error")
    else:
        warnings.filters[:] = _filters


def of_skmeta(
    app: object, what: str, name: str, thing: Any, skip: bool, options: object
) -> bool | None:
    """Leave out what a class inherits from scikit-learn or torch, whose own pages describe it."""
    thing = getattr(thing, "fget", thing)
    return None if (getattr(thing, "__module__", None) or "").startswith("skmeta") else True


def mathml(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula in the browser's own language, for which no script has to be fetched."""
    block = isinstance(node, nodes.math_block)
    try:
        translator.body.append(tex2mathml(node.astext(), as_block=block))
    except MathError as error:
        logger.warning("%s in %s", error, node.astext(), location=node)
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register it all."""
    app.connect("autodoc-skip-member", of_skmeta)
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
