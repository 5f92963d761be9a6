"""Whole numbers as users give them."""

from __future__ import annotations

from operator import index
from typing import Any, SupportsIndex

from llavit_lens.errors import ConfigurationError


def whole_number(value: Any, name: str) -> int:
    """The number. Raises ConfigurationError for what is none: a text, a fraction, True, None."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ConfigurationError(f"{name}={value!r}: give a whole number")
    return index(value)
