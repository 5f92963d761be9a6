"""Which way a lens multiplies with the vocabulary: in float32, or by a low-precision shortlist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Precision = Literal["auto", "exact"]
Path = Literal["fast", "exact"]

_forced: Path | None = None


@contextmanager
def forced(path: Path) -> Iterator[None]:
    """Inside, `precision="auto"` takes this path: for tests and benchmarks, in one thread."""
    global _forced
    before, _forced = _forced, path
    try:
        yield
    finally:
        _forced = before
