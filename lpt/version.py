"""The version of the toolkit, stated once."""

__version__ = "0.2.0"
