"""What notebooks show of a fitted learner, beside scikit-learn's diagram."""

from __future__ import annotations

import html
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

__all__ = ["SummaryInNotebooks"]


class SummaryInNotebooks(BaseEstimator):
    """Adds a short table to the diagram of a fitted estimator."""

    def _summary(self) -> dict[str, Any]:
        """Return what to tell, in its order."""
        raise NotImplementedError

    @property
    def _repr_html_(self) -> Any:
        diagram = super()._repr_html_  # raises where scikit-learn is set to show text
        return lambda: diagram() + self._summary_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._summary_html()
        return bundle

    def _summary_html(self) -> str:
        try:
            check_is_fitted(self)
        except NotFittedError:
            return ""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in self._summary().items()
        )
        return f'<table class="skmeta-summary">{rows}</table>'
