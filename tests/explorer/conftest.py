"""Results of tiny models, and the page as Streamlit runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from browser import EXPLORER
from explorer_page import SECONDS, ShownView
from explorer_results import result_of
from PIL import Image
from streamlit.testing.v1 import AppTest
from tiny_vlm import tiny_vlm

from llavit_lens.explorer import component
from llavit_lens.explorer.input_image import InputImage
from llavit_lens.explorer.lens_cache import LensResult
from llavit_lens.explorer.view import OWN
from llavit_lens.images.open import pixel_sha256


@pytest.fixture(scope="session")
def results(image: Image.Image) -> tuple[LensResult, LensResult]:
    """The results of two models for the same image."""
    return result_of(tiny_vlm("llava"), image), result_of(tiny_vlm("llavit"), image)


@pytest.fixture
def input_image(image: Image.Image) -> InputImage:
    """An image that a user uploaded."""
    return InputImage(OWN, image, image, pixel_sha256(image))


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three scenes: photos/ and index/."""
    from corpus_of_scenes import read_scenes

    return read_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[ShownView]:
    """What the page sends to the view in the browser, run after run."""
    views: list[ShownView] = []
    monkeypatch.setattr(
        component,
        "show_view",
        lambda words, start, search, on_change: views.append(ShownView(words, start, search)),
    )
    return views


@pytest.fixture
def page(shown: list[ShownView], monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page, which has not run yet."""
    monkeypatch.setattr("sys.argv", ["explorer.py"])
    return AppTest.from_file(str(EXPLORER), default_timeout=SECONDS)


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit's AppTest puts its script in the place of `__main__`; a process that is spawned
    later, by any test, would run that script."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
