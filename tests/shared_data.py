"""Real configurations and key lists, which lie outside of this repository: tests may skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).parents[2] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """A file or folder of the data, named by environment variable LLAVIT_LENS_DATA; else skip."""
    path = Path(os.environ.get("LLAVIT_LENS_DATA", _BESIDE)).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {path}")
    return path
