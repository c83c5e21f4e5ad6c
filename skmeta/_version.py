"""The version of skmeta."""

__version__ = "0.1.0"
