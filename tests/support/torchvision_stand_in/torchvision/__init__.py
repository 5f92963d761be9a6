"""A stand-in: see README.md beside this package."""

__version__ = "0.30.0"
