"""skmeta: meta-learning as scikit-learn estimators."""

from skmeta._version import __version__
from skmeta.exceptions import UnseenTaskWarning

__all__ = ["UnseenTaskWarning", "__version__"]
