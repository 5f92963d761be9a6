"""Real configurations and key lists, which do not come with the repository: tests that read them
skip where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).parents[3] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """A path under LLAVIT_LENS_DATA, or `../shared/data` beside the repository."""
    path = Path(os.environ.get("LLAVIT_LENS_DATA", _DEFAULT)).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {path} (set LLAVIT_LENS_DATA)")
    return path
