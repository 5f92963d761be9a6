"""The version of this package, a floor that everything may stand on."""

from __future__ import annotations

__version__ = "0.1.0"
