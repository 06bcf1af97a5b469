"""Paddock's version, once: the package's metadata and `paddock --version` read it here."""

__version__ = "0.1.0"
