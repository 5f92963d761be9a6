"""A figure as the last line of a cell is seen, once, in a fresh kernel."""

from __future__ import annotations

import io
from base64 import b64decode
from pathlib import Path

import pytest
from notebooks import of_type, run_cells
from PIL import Image

pytestmark = pytest.mark.long

FIGURE = """
from llavit_lens.figures.page import Page
page = Page(6)
page.text(1, 1, "seen", size=12)
page.axes(2, 1, 2, 1)
figure = page.finish(3)
figure
"""


def test_a_figure_is_shown_once_with_and_without_magic(tmp_path: Path) -> None:
    plain, assigned, by_display, pyplot, magic = run_cells(
        FIGURE,
        "another = figure",
        "display(figure)",
        "import matplotlib.pyplot\nfigure",
        "%matplotlib inline\nfigure",
        folder=tmp_path,
    )
    assert assigned == []
    for outputs in (plain, by_display, pyplot, magic):
        assert len(outputs) == 1
        (png,) = of_type(outputs, "image/png")
        image = Image.open(io.BytesIO(b64decode(png)))
        assert len(image.convert("L").getcolors()) > 2  # not blank
        if outputs is not magic:  # which draws all figures its own way, and cuts off their margins
            assert outputs[0].metadata["image/png"] == {"width": 576, "height": 288}
            assert image.size == (1152, 576)
