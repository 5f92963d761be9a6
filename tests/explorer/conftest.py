"""Tiny models' readings, and the explorer as a person meets it."""

from __future__ import annotations

import sys

import pytest
from explorer_readings import reading_of
from PIL import Image
from tiny_vlm import tiny_vlm

from llavit_lens.explorer.bench import Reading


@pytest.fixture(scope="session")
def readings(image: Image.Image) -> tuple[Reading, Reading]:
    """Two models' readings of the same picture."""
    return reading_of(tiny_vlm("llava"), image), reading_of(tiny_vlm("llavit"), image)


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit's AppTest puts its script in the place of `__main__`; a process that is spawned
    later, by any test, would run that script."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
