"""Overlays side by side: one row for each model, one panel for each layer, one scale of colors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.color_scale import draw_color_scale
from llavit_lens.figures.fit import shorten_start
from llavit_lens.figures.labels import layer_name, layer_number, value_name
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.patch_grid import Truth, draw_image, draw_words, image_of_words, top_values
from llavit_lens.figures.style import BOLD_WIDTH, NEUTRAL, PALETTE, RIGHT, value_scale

if TYPE_CHECKING:
    from matplotlib.colors import Normalize
    from PIL import Image

    from llavit_lens.images.layout import Tile, VisualLayout
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.words import Words

Panels = Sequence[tuple[str, Sequence[tuple["Words", int]]]]
"""Rows of panels: a model's name, and the (words, layer) of each of its panels."""

# Inches.
_GAP, _ROW_HEAD, _LEGEND_ITEM = 0.22, 0.78, (3.6, 0.9)
_CELL, _PANEL = 0.45, (4.4, 16.0)  # a patch is not narrower than this; a panel is within these


def draw_word_panels(
    rows: Panels,
    image: ImageSource | None = None,
    *,
    title: str = "Words on patches",
    note: str | None = None,
    show_image: bool = False,
    truth: Truth | None = None,
    tile: Tile = 0,
) -> Figure:
    """Draw one panel for each (words, layer) of `rows`.

    Args:
        rows: a model's name with its panels, one tuple for each model.
        image: as in `draw_patch_words`.
        title: the headline.
        note: a paragraph at the left, under the image (with `show_image`) or at the foot.
        show_image: draw the bare image too, left of the panels.
        truth: the true words of each patch, to mark right words in green.
        tile: which tile of an image that the model sees in several, or "grid" for all but the
            base tile, which is 0.

    Raises:
        ConfigurationError: no panels, no image, or a layer or tile that is not there.
    """
    panels = [(words, layer_number(words, layer)) for _, row in rows for words, layer in row]
    if not panels:
        raise ConfigurationError("there is nothing to draw: give at least one model and one layer")
    pixels = image_of_words([words for words, _ in panels], image)
    layout = panels[0][0].layout
    scales = _scales(panels)
    width = _panel_width(layout, tile)
    columns = max(len(row) for _, row in rows) + show_image

    page = Page(2 * EDGE + columns * width + (columns - 1) * _GAP)
    top = page.heading(drawable(title), _how_to_read(list(scales)))
    left, room = EDGE, page.width - 2 * EDGE
    if show_image:
        below_image = _draw_bare_image(page, top, width, pixels, layout)
        left, room = EDGE + width + _GAP, width
    for name, row in rows:
        top = _draw_row(page, left, top, width, name, row, pixels, scales, tile, truth)
    foot = below_image if show_image else top
    foot = _draw_foot(page, foot + 0.25, room, drawable(note or ""), scales, truth is not None)
    return page.finish(max(top, foot) + EDGE)


def _scales(panels: Sequence[tuple[Words, int]]) -> dict[str, Normalize]:
    """A scale of colors for each kind of words, which all of its panels share."""
    values: dict[str, list[float]] = {}
    for words, layer in panels:
        values.setdefault(words.kind, []).extend(top_values(words, layer))
    return {kind: value_scale(kind, of_kind) for kind, of_kind in values.items()}


def _panel_width(layout: VisualLayout, tile: Tile) -> float:
    """Inches across one panel, such that each patch has room for a word."""
    boxes = layout.boxes[layout.of_tile(tile)]
    patch = (boxes[:, 2] - boxes[:, 0]).max(initial=1.0)
    return min(max(_PANEL[0], _CELL * layout.image_size[0] / patch), _PANEL[1])


def _how_to_read(kinds: list[str]) -> str:
    read = {
        "input_similarity": "the word whose embedding is nearest to it (cosine)",
        "logit_lens": "the word that the model would say if it stopped there (logit lens)",
    }
    words = ", or ".join(read[kind] for kind in kinds)
    return f"Each patch is one visual token. The bar at its foot shows {words}."


def _draw_bare_image(
    page: Page, top: float, width: float, image: Image.Image, layout: VisualLayout
) -> float:
    height = width * image.height / image.width
    page.text(EDGE, top + _ROW_HEAD - 0.3, "the image", size=11)
    draw_image(page.axes(EDGE, top + _ROW_HEAD, width, height), image, layout)
    return top + _ROW_HEAD + height


def _draw_row(
    page: Page,
    left: float,
    top: float,
    width: float,
    name: str,
    row: Sequence[tuple[Words, int]],
    image: Image.Image,
    scales: Mapping[str, Normalize],
    tile: Tile,
    truth: Truth | None,
) -> float:
    """The panels of one model."""
    height = width * image.height / image.width
    room = len(row) * (width + _GAP) - _GAP
    name = shorten_start(drawable(name), 72 * room / 13 / BOLD_WIDTH)
    page.text(left, top + 0.16, name, size=13, weight="bold")
    top += _ROW_HEAD
    for words, layer in row:
        page.text(left, top - 0.3, panel_name(words, layer, tile), size=11)
        axes = page.axes(left, top, width, height)
        draw_image(axes, image, words.layout)
        draw_words(axes, words, layer, scale=scales[words.kind], tile=tile, truth=truth)
        left += width + _GAP
    return top + height


def panel_name(words: Words, layer: int, tile: Tile = 0) -> str:
    """The layer's name, with the probe where it is not the logit lens, and one of several tiles."""
    name = layer_name(words, layer)
    if words.kind == "input_similarity":
        name += ", by cosine"
    if len(words.layout.grid) > 1:
        name += {"grid": ", in tiles", 0: ", whole image"}.get(tile, f", tile {tile}")
    return name


def _draw_foot(
    page: Page,
    top: float,
    room: float,
    note: str,
    scales: Mapping[str, Normalize],
    judged: bool,
) -> float:
    """The note, and what colors and outlines mean, as many beside each other as fit."""
    if note:
        top = page.paragraph(EDGE, top, note, width=room) + 0.2
    width, height = _LEGEND_ITEM
    across = max(1, int((room + 0.4) // width))
    for number, kind in enumerate([*scales, *(["truth"] if judged else [])]):
        row, column = divmod(number, across)
        left, at = EDGE + column * width, top + row * height
        if kind == "truth":
            _draw_outline_legend(page, left, at)
        else:
            draw_color_scale(page, left, at, scales[kind], PALETTE, value_name(kind), width - 0.5)
    return top + (row + 1) * height - 0.2


def _draw_outline_legend(page: Page, left: float, top: float) -> None:
    meanings = [
        (RIGHT, 2.5, "the word is true of its patch"),
        (NEUTRAL, 0.8, "it is not"),
        ("none", 0.0, "no outline: not judged"),
    ]
    for row, (color, line, meaning) in enumerate(meanings):
        ax = page.axes(left, top + 0.24 * row, 0.4, 0.17)
        ax.add_patch(
            Rectangle((0.06, 0.1), 0.88, 0.8, facecolor="none", edgecolor=color, linewidth=line)
        )
        ax.set_axis_off()
        page.text(left + 0.5 * (line > 0), top + 0.24 * row, meaning, size=10)
