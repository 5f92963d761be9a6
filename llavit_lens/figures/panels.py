"""Overlays side by side: one row for each model, one panel for each layer, one scale of colors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.color_scale import Scale, draw_value_scale, value_scale
from llavit_lens.figures.figure import Figure
from llavit_lens.figures.fit import shorten, shorten_start
from llavit_lens.figures.labels import asked, layer_name, layer_number
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, TITLE, Page
from llavit_lens.figures.patch_grid import (
    draw_image,
    draw_words,
    image_of_words,
    seen_part,
    top_values,
)
from llavit_lens.figures.style import BOLD_WIDTH, DARK, MUTED, RIGHT
from llavit_lens.results.truth import words_of_patches

if TYPE_CHECKING:
    from matplotlib.colors import Normalize
    from PIL import Image

    from llavit_lens.images.layout import Tile, VisualLayout
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.truth import Truth
    from llavit_lens.results.words import Words

Panels = Sequence[tuple[str, Sequence[tuple["Words", int]]]]
"""Rows of panels: a model's name, and the (words, layer) of each of its panels."""

# Inches.
_GAP, _NAME, _PANEL_NAME = 0.22, 0.36, 0.3
_CELL = 0.36  # a patch is this wide, so that words can be read, unless a panel is too large then
_SMALLEST, _LARGEST, _WIDEST = 4.4, 14.0, 26.0  # a panel's sides; a page's width
_NARROWEST = 2.2  # a panel of a tall image: room for the layer's name
_ABREAST = 3  # panels that fit a page in any case
_MOST = 48  # panels of a figure
_SMALL = 11.0  # points
_BAR, _KEY = 3.4, 0.24  # the scale's length; a line of the legend


def draw_word_panels(
    rows: Panels,
    image: ImageSource | None = None,
    *,
    title: str | None = None,
    show_image: bool = True,
    truth: Truth | None = None,
    tile: Tile | None = None,
    scale: Scale = "data",
) -> Figure:
    """Draw the bare image, and one panel for each (words, layer) of `rows`.

    A panel is so large that a patch is 0.36 inches wide, but at least 4.4 inches and at most 14
    (a tall image is narrower, down to 2.2 inches); a page is at most 26 inches wide, and longer
    rows go on below. Words that would be smaller than 5 points there are left out: their patches
    have their color only. Where tiles overlap, a place has one patch.

    Args:
        rows: a model's name with its panels, one tuple for each model.
        image: as in `draw_patch_words`.
        title: a headline; default: the name of the model, if there is one.
        show_image: draw the bare image too, left of the panels.
        truth: the true words of each patch (None: unknown), to mark right words in green; or a
            `LabelledImage`, which knows them for any grid.
        tile: which tile of an image that the model sees in several, or "grid" for all that show
            parts of it; default: the whole image.
        scale: where the colors end: "data" at the largest value drawn, "fixed" at 1.

    Raises:
        ConfigurationError: no panels or too many, no image, or a layer, tile or scale that is not
            there.
    """
    panels = [(words, layer_number(words, layer)) for _, row in rows for words, layer in row]
    if not panels:
        raise ConfigurationError("there is nothing to draw: give at least one model and one layer")
    if len(panels) > _MOST:
        raise ConfigurationError(
            f"{len(panels)} panels do not fit into one figure: choose at most {_MOST} layers"
        )
    pixels = image_of_words([words for words, _ in panels], image)
    layout = panels[0][0].layout
    norms = _norms(panels, scale)
    longest = max(len(row) for _, row in rows)
    width = max(_panel_width(words.layout, tile, longest) for words, _ in panels)
    bare = min(width, _SMALLEST) if show_image else 0.0
    start = EDGE + bare + _GAP * show_image  # where the panels begin
    across = max(1, min(longest, int((_WIDEST - EDGE - start + _GAP) / (width + _GAP))))

    page = Page(start + across * (width + _GAP) - _GAP + EDGE)
    top = _draw_heading(page, rows, title)
    foot = top
    if show_image:
        foot = _draw_bare_image(page, top, bare, pixels, layout)
    names = len(rows) > 1 or title is not None
    for name, row in rows:
        if names:
            top = _draw_name(page, start, top, name)
        for first in range(0, len(row), across):
            top = _draw_line(
                page, start, top, width, row[first : first + across], pixels, norms, tile, truth
            )
    if top - foot < 1.0:  # no room under the bare image: at the foot of the page
        foot, bare = max(foot, top), page.width - 2 * EDGE
    foot = _draw_legend(page, foot + 0.2, bare, norms, scale, truth is not None)
    page.figure.caption = _caption(list(norms), truth is not None)
    return page.finish(max(top, foot) + EDGE - 0.1)


def _norms(panels: Sequence[tuple[Words, int]], scale: Scale) -> dict[str, Normalize]:
    """A scale of colors for each kind of words, which all of its panels share."""
    values: dict[str, list[float]] = {}
    for words, layer in panels:
        values.setdefault(words.kind, []).extend(top_values(words, layer))
    return {kind: value_scale(kind, of_kind, scale) for kind, of_kind in values.items()}


def _panel_width(layout: VisualLayout, tile: Tile | None, longest: int) -> float:
    """Inches across one panel, such that each patch has room for a word."""
    boxes = layout.boxes[layout.of_tile(tile)]
    left, top, right, bottom = seen_part(layout)
    patch = (boxes[:, 2] - boxes[:, 0]).max(initial=1.0)
    room = (_WIDEST - 2 * EDGE - _SMALLEST) / min(longest, _ABREAST) - _GAP
    tallest = max(_NARROWEST, _LARGEST * (right - left) / (bottom - top))
    return min(max(_SMALLEST, _CELL * (right - left) / patch), room, tallest, _LARGEST)


def _draw_heading(page: Page, rows: Panels, title: str | None) -> float:
    """The title, and what the models were asked, in one line each. Returns where it ends."""
    room = 72 * (page.width - 2 * EDGE)
    if title is None and len(rows) == 1:
        title = rows[0][0]
    top = EDGE
    if title is not None:
        short = shorten_start(drawable(title), room / TITLE / BOLD_WIDTH)
        page.text(EDGE, top, short, size=TITLE, weight="bold")
        top += 0.38
    prompts = {words.provenance.get("prompt") for _, row in rows for words, _ in row}
    if len(prompts) == 1 and (prompt := next(iter(prompts))):
        line = shorten(f"asked: {drawable(asked(str(prompt)))}", room / _SMALL)
        page.text(EDGE, top, line, size=_SMALL, color=MUTED)
        top += 0.26
    return top + 0.1


def _draw_bare_image(
    page: Page, top: float, width: float, image: Image.Image, layout: VisualLayout
) -> float:
    height = width * image.height / image.width
    name, (columns, rows) = "the image", layout.image_size
    if image.width > columns:
        name += f" (read at {columns} x {rows} pixels)"
    page.text(EDGE, top, name, size=_SMALL, color=MUTED)
    draw_image(page.axes(EDGE, top + _PANEL_NAME, width, height), image, layout)
    return top + _PANEL_NAME + height


def _draw_name(page: Page, left: float, top: float, name: str) -> float:
    name = shorten_start(drawable(name), 72 * (page.width - EDGE - left) / 13 / BOLD_WIDTH)
    page.text(left, top, name, size=13, weight="bold")
    return top + _NAME


def _draw_line(
    page: Page,
    left: float,
    top: float,
    width: float,
    panels: Sequence[tuple[Words, int]],
    image: Image.Image,
    norms: Mapping[str, Normalize],
    tile: Tile | None,
    truth: Truth | None,
) -> float:
    """Panels side by side, each `width` inches wide. Returns where they end."""
    foot = top
    for words, layer in panels:
        name = shorten(panel_name(words, layer, tile), 72 * width / _SMALL)
        page.text(left, top, name, size=_SMALL)
        x0, y0, x1, y1 = seen_part(words.layout)
        height = width * (y1 - y0) / (x1 - x0)
        axes = page.axes(left, top + _PANEL_NAME, width, height)
        draw_image(axes, image, words.layout, backdrop=True)
        known = words_of_patches(truth, words)
        draw_words(axes, words, layer, scale=norms[words.kind], tile=tile, truth=known)
        left, foot = left + width + _GAP, max(foot, top + _PANEL_NAME + height + 0.12)
    return foot


def panel_name(words: Words, layer: int, tile: Tile | None = None) -> str:
    """The layer's name, with the probe where it is not the logit lens, and one of several tiles."""
    name = layer_name(words, layer)
    if words.kind == "input_similarity":
        name += ", by cosine"
    if len(words.layout.grid) > 1:
        name += f", {words.layout.tile_name(words.layout.view if tile is None else tile)}"
    return name


def _draw_legend(
    page: Page,
    top: float,
    room: float,
    norms: Mapping[str, Normalize],
    scale: Scale,
    judged: bool,
) -> float:
    """What colors and marks mean, as many beside each other as fit. Returns where it ends."""
    across = max(1, int((room + 0.5) // (_BAR + 0.5)))
    foot = left = 0.0
    for number, kind in enumerate([*norms, *(["truth"] if judged else [])]):
        if number % across == 0:
            top, left = max(top, foot + 0.2 * (number > 0)), EDGE
        if kind == "truth":
            end = _draw_marks(page, left, top)
        else:
            end = draw_value_scale(page, left + 0.1, top, kind, norms[kind], scale, _BAR - 0.2)
        foot, left = max(foot, end), left + _BAR + 0.5
    return foot


def _draw_marks(page: Page, left: float, top: float) -> float:
    for mark, meaning in (
        ("right", "the word is true of its patches"),
        ("wrong", "it is not"),
        ("unknown", "what the patch shows is not known"),
    ):
        ax = page.axes(left, top, 0.4, 0.17)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        edge, line = (RIGHT, 2.0) if mark == "right" else (DARK, 0.6)
        ax.add_patch(
            Rectangle((0.06, 0.1), 0.88, 0.8, facecolor="#d9d4e3", edgecolor=edge, linewidth=line)
        )
        if mark == "unknown":
            ax.add_collection(LineCollection([((0.06, 0.1), (0.94, 0.9))], colors=DARK))
        ax.set_axis_off()
        page.text(left + 0.5, top, meaning, size=10)
        top += _KEY
    return top


def _caption(kinds: list[str], judged: bool) -> str:
    read = {
        "input_similarity": "the word whose embedding is nearest to it (cosine)",
        "logit_lens": "the word that the model would say if it stopped there (logit lens)",
    }
    caption = (
        f"Each patch is one visual token. It shows {', or '.join(read[kind] for kind in kinds)}: "
        "the darker, the higher its value. Patches side by side with the same word share a label; "
        "words too long or too small to be read are left out."
    )
    if judged:
        caption += " Green outline: the word is true of its patches. Diagonal line: not known."
    return caption
