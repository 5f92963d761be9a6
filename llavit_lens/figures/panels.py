"""Overlays side by side: one row for each model, one panel for each layer, one scale of colors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.fit import wrap
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.names import layer_name, layer_number, value_name
from llavit_lens.figures.page import Page
from llavit_lens.figures.patch_grid import (
    Truth,
    draw_image,
    draw_words,
    picture_of,
    top_values,
)
from llavit_lens.figures.style import MUTED, NEUTRAL, PALETTE, RIGHT, value_scale

if TYPE_CHECKING:
    from matplotlib.colors import Normalize

    from llavit_lens.images.layout import Tile, VisualLayout
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.words import Words

Panels = Sequence[tuple[str, Sequence[tuple["Words", int]]]]
"""Rows of panels: a model's name, and the (words, layer) of each of its panels."""

# Inches.
_EDGE, _GAP = 0.3, 0.22
_ROW_HEAD, _LEGEND_ITEM = 0.78, (3.6, 0.9)
_CELL, _PANEL = 0.45, (4.4, 16.0)  # a patch is not narrower than this; a panel is within these


def draw_word_panels(
    rows: Panels,
    image: ImageSource | None = None,
    *,
    title: str = "Words on patches",
    subtitle: str | None = None,
    note: str | None = None,
    show_image: bool = False,
    truth: Truth | None = None,
    tile: Tile = 0,
) -> Figure:
    """Draw one panel for each (words, layer) of `rows`.

    Args:
        rows: a model's name with its panels, one tuple for each model.
        image: as in `draw_patch_words`.
        title, subtitle: the headline, and how to read the panels.
        note: a paragraph at the left, under the picture (with `show_image`) or at the foot.
        show_image: draw the bare picture too, left of the panels.
        truth: the true words of each patch, to mark right words in green.
        tile: which tile of a picture that the model sees in several, or "grid" for all but the
            base tile, which is 0.

    Raises:
        ConfigurationError: no panels, no picture, or a layer or tile that is not there.
    """
    panels = [(words, layer_number(words, layer)) for _, row in rows for words, layer in row]
    if not panels:
        raise ConfigurationError("there is nothing to draw: give at least one model and one layer")
    picture = picture_of([words for words, _ in panels], image)
    scales: dict[str, Normalize] = {
        kind: value_scale(kind, [v for w, n in panels if w.kind == kind for v in top_values(w, n)])
        for kind in dict.fromkeys(words.kind for words, _ in panels)
    }

    width = _panel_width(panels[0][0].layout, tile)
    height = width * picture.height / picture.width
    legend = list(scales) + (["truth"] if truth is not None else [])
    columns = max(len(row) for _, row in rows) + show_image
    page_width = 2 * _EDGE + columns * width + (columns - 1) * _GAP
    across = max(1, int((page_width - 2 * _EDGE + 0.4) // _LEGEND_ITEM[0]))
    title_text = wrap(drawable(title), (page_width - 2 * _EDGE) * 72 / 1.15, 17)  # bold is wider
    subtitle_text = wrap(
        drawable(subtitle or _how_to_read(list(scales))), (page_width - 2 * _EDGE) * 72, 11
    )
    note_text = wrap(
        drawable(note or ""), (width if show_image else page_width - 2 * _EDGE) * 72, 11
    )
    title_height = 0.36 * len(title_text.splitlines())
    head = _EDGE + title_height + 0.06 + 0.2 * len(subtitle_text.splitlines())
    body = len(rows) * (_ROW_HEAD + height)
    aside = 0.21 * len(note_text.splitlines()) + (0.2 if note_text else 0.0)
    if show_image:  # note and legend stand under the picture
        legend_at = head + _ROW_HEAD + height + 0.25 + aside
        page_height = max(head + body, legend_at + len(legend) * _LEGEND_ITEM[1]) + _EDGE
        places = [(_EDGE, legend_at + i * _LEGEND_ITEM[1]) for i in range(len(legend))]
    else:
        legend_at = head + body + 0.25 + aside
        page_height = legend_at + math.ceil(len(legend) / across) * _LEGEND_ITEM[1] + _EDGE - 0.2
        places = [
            (_EDGE + i % across * _LEGEND_ITEM[0], legend_at + i // across * _LEGEND_ITEM[1])
            for i in range(len(legend))
        ]

    page = Page(page_width, page_height)
    page.text(_EDGE, _EDGE - 0.02, title_text, size=17, weight="bold")
    page.text(_EDGE, _EDGE + title_height, subtitle_text, size=11, color=MUTED)
    page.text(_EDGE, legend_at - aside, note_text, size=11, color=MUTED)
    first = _EDGE
    if show_image:
        first += width + _GAP
        page.text(_EDGE, head + _ROW_HEAD - 0.3, "the picture", size=11)
        draw_image(page.axes(_EDGE, head + _ROW_HEAD, width, height), picture, panels[0][0].layout)
    for number, (name, row) in enumerate(rows):
        top = head + number * (_ROW_HEAD + height) + _ROW_HEAD
        page.text(first, top - 0.62, drawable(name), size=13, weight="bold")
        for column, (words, layer) in enumerate(row):
            left = first + column * (width + _GAP)
            page.text(left, top - 0.3, panel_name(words, layer, tile), size=11)
            ax = page.axes(left, top, width, height)
            draw_image(ax, picture, words.layout)
            draw_words(
                ax,
                words,
                layer_number(words, layer),
                scale=scales[words.kind],
                tile=tile,
                truth=truth,
            )
    for item, (left, top) in zip(legend, places, strict=True):
        if item == "truth":
            _draw_outline_legend(page, left, top)
        else:
            _draw_scale(page, left, top, scales[item], value_name(item))
    return page.figure


def _how_to_read(kinds: list[str]) -> str:
    read = {
        "input_similarity": "the word whose embedding is nearest to it (cosine)",
        "logit_lens": "the word that the model would say if it stopped there (logit lens)",
    }
    words = ", or ".join(read[kind] for kind in kinds)
    return f"Each patch is one visual token. The bar at its foot shows {words}."


def _panel_width(layout: VisualLayout, tile: Tile) -> float:
    """Inches across one panel, such that each patch has room for a word."""
    boxes = layout.boxes[layout.of_tile(tile)]
    patch = (boxes[:, 2] - boxes[:, 0]).max(initial=1.0)
    return min(max(_PANEL[0], _CELL * layout.image_size[0] / patch), _PANEL[1])


def panel_name(words: Words, layer: int, tile: Tile = 0) -> str:
    """The layer's name, with the probe where it is not the logit lens, and one of several tiles."""
    name = layer_name(words, layer)
    if words.kind == "input_similarity":
        name += ", by cosine"
    if len(words.layout.grid) > 1:
        name += {"grid": ", in tiles", 0: ", whole picture"}.get(tile, f", tile {tile}")
    return name


def _draw_scale(page: Page, left: float, top: float, scale: Normalize, name: str) -> None:
    ax = page.axes(left, top, _LEGEND_ITEM[0] - 0.5, 0.14)
    bar = page.figure.colorbar(ScalarMappable(scale, PALETTE), cax=ax, orientation="horizontal")
    bar.outline.set_visible(False)
    ax.tick_params(labelsize=9, length=2)
    page.text(left, top + 0.36, name, size=10)


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
