"""docs/analyses: every figure is small and has its caption in the file, and so has the page."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "figures.py"))
NAMES = list(SCRIPT["COMMANDS"])


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_of_the_page_has_title_and_caption(name: str) -> None:
    file = ROOT / "docs" / "analyses" / SCRIPT["path_of"](name)
    with Image.open(file) as image:
        assert len(image.text["Description"]) > 100  # type: ignore[attr-defined]
        assert not image.text["Title"].startswith(("Figure", "Table"))  # type: ignore[attr-defined]
        assert image.mode == "P"
    assert file.stat().st_size < 250_000


def test_the_page_is_what_the_files_say() -> None:
    text = (ROOT / "docs" / "analyses" / "README.md").read_text(encoding="utf-8")
    assert text == SCRIPT["page"](), "run: python docs/figures.py FOLDER"
    assert all(command in text for command in SCRIPT["COMMANDS"].values())


def test_a_stored_figure_looks_the_same_and_keeps_its_caption(tmp_path: Path) -> None:
    texts = PngInfo()
    texts.add_text("Title", "a title")
    texts.add_text("Description", "a caption: √2 of 深")
    image = Image.new("RGB", (40, 30), "white")
    image.paste((0, 114, 178), (5, 5, 20, 20))
    image.save(tmp_path / "a.png", pnginfo=texts, dpi=(150, 150))
    SCRIPT["store"](tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as stored:
        assert stored.text["Description"] == "a caption: √2 of 深"  # type: ignore[attr-defined]
        assert stored.mode == "P" and stored.convert("RGB").tobytes() == image.tobytes()
