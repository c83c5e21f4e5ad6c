"""Files of fitted estimators that run no code when they are read."""

from skmeta.saving._load import load
from skmeta.saving._save import save

__all__ = ["load", "save"]
