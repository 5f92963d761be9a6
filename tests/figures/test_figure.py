"""Every figure of the package brings its own PNG, in a size that fits a notebook."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_words import MakeWords
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image

import llavit_lens
from llavit_lens.figures import draw_patch_words
from llavit_lens.figures.charts import new_chart
from llavit_lens.figures.figure import WIDTH, Figure
from llavit_lens.figures.page import Page

PACKAGE = Path(llavit_lens.__file__).parent
FIGURE_FILE = PACKAGE / "figures" / "figure.py"


def figure_makers(file: Path) -> Iterator[str]:
    """The ways in which a module gets at figures of matplotlib that are not ours."""
    for node in ast.walk(ast.parse(file.read_text())):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        if any(module.startswith("matplotlib.pyplot") for module in modules):
            yield f"{file}:{node.lineno}: pyplot"
        if isinstance(node, ast.ImportFrom) and node.module == "matplotlib.figure":
            names = {alias.asname or alias.name for alias in node.names}
            for call in ast.walk(ast.parse(file.read_text())):
                if isinstance(call, ast.Call) and getattr(call.func, "id", None) in names:
                    yield f"{file}:{call.lineno}: makes a Figure of matplotlib"


def test_the_package_makes_figures_of_one_class_only() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100 and FIGURE_FILE in files
    assert [maker for file in files for maker in figure_makers(file)] == []


def test_all_figures_come_from_the_page(make_words: MakeWords) -> None:
    chart, _ = new_chart("title", "about", [], 1, height=3)
    for figure in (Page(5).finish(3), chart, make_words().plot(), draw_patch_words(make_words())):
        assert type(figure) is Figure and isinstance(figure, MatplotlibFigure)


def shown(figure: Figure) -> tuple[Image.Image, dict[str, int]]:
    """The PNG of a figure, and its size on the page."""
    png, size = figure._repr_png_()
    return Image.open(io.BytesIO(png)), size


@pytest.mark.parametrize("inches", [(5, 7.75), (20, 8), (10, 0.02)])
def test_it_is_sharp_and_no_wider_than_a_cell(inches: tuple[float, float]) -> None:
    image, size = shown(Figure(figsize=inches))
    width, height = inches
    assert size["width"] == min(WIDTH, round(96 * width))
    assert size["height"] == max(1, round(size["width"] * height / width))
    assert abs(image.width - 2 * size["width"]) <= 1


def test_a_very_tall_figure_can_still_be_opened() -> None:
    image, size = shown(Figure(figsize=(1, 400)))
    assert image.height == 24_000 and size["height"] == 12_000


def test_a_figure_that_would_be_a_large_file_is_less_sharp() -> None:
    figure = Figure(figsize=(5, 5))
    noise = np.random.default_rng(0).random((400, 400, 3))
    figure.add_axes((0, 0, 1, 1)).imshow(noise, interpolation="nearest")
    image, size = shown(figure)
    assert size == {"width": 480, "height": 480} and image.width == 480
    figure.axes[0].images[0].set_data(np.zeros((2, 2, 3)))
    assert shown(figure)[0].width == 960


def test_showing_a_figure_leaves_it_as_it_was(make_words: MakeWords) -> None:
    figure = make_words().plot()
    before = figure.dpi, tuple(figure.get_size_inches())
    first, _ = figure._repr_png_()
    assert (figure.dpi, tuple(figure.get_size_inches())) == before
    assert figure._repr_png_()[0] == first
