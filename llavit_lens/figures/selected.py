"""Selected patches: numbered boxes on the picture, and what is read off each at input and output.

After the paper's Figures 1 and 4 (one model) and 5 and 6 (two models side by side).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.fit import shorten, wrap
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.names import layer_name
from llavit_lens.figures.numbered import draw_numbered_box, draw_numbered_crop
from llavit_lens.figures.page import Page
from llavit_lens.figures.patch_grid import draw_image, is_true, picture_of
from llavit_lens.figures.style import HIGHLIGHT, MUTED, color_of

if TYPE_CHECKING:
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.words import Word, Words

Patch = tuple[int, int] | tuple[int, int, int]
"""(row, column) on the grid of the first tile, or (row, column, tile)."""

# Inches.
_EDGE, _GAP, _IMAGE = 0.3, 0.35, 4.6
_CROP, _LIST, _LINE = 0.8, 2.15, 0.235
_SIZE = 10.0  # points


def draw_selected_patches(
    columns: Sequence[tuple[str, Words, Words]],
    image: ImageSource | None = None,
    patches: Sequence[Patch] = (),
    k: int = 3,
    highlight: Mapping[Patch, Collection[str]] | None = None,
    *,
    output_layer: int = -1,
    title: str = "What the model reads off selected patches",
) -> Figure:
    """Draw numbered patches and beside them each model's top-k words with their values.

    Args:
        columns: for each model (title, words at the input, words at the output). The input's first
            layer is shown, by cosine (Eq. 4) or by the logit lens, as its kind says.
        image: as in `draw_patch_words`.
        patches: (row, column) of each patch, with the tile where the model sees several; negative
            rows and columns count from the end.
        k: how many words.
        highlight: for a patch, the words to mark in yellow, as the paper marks relevant ones.
        output_layer: which layer of the output words, as in `Words.at`.

    Raises:
        ConfigurationError: no models, patches or picture; a patch, layer or rank not there.
    """
    if not columns or not patches:
        raise ConfigurationError("there is nothing to draw: give at least one model and one patch")
    fewest = min(words.k for _, *both in columns for words in both)
    if not 1 <= k <= fewest:
        raise ConfigurationError(f"k is {k}, but the words were read with k = {fewest}")
    layout = columns[0][1].layout
    picture = picture_of([words for _, *both in columns for words in both], image)
    boxes = [layout.boxes[layout.index(*patch)] for patch in patches]
    for patch, (left, top, right, bottom) in zip(patches, boxes, strict=True):
        if left == right or top == bottom:
            raise ConfigurationError(f"patch {patch} lies in the padding around the picture")
    for name, *both in columns:
        own = [[w.layout.boxes[w.layout.index(*patch)] for patch in patches] for w in both]
        if not np.array_equal(own, [boxes, boxes]):
            raise ConfigurationError(
                f"{name} sees other patches of the picture than {columns[0][0]}; draw them apart"
            )

    row_height = max(k * _LINE, _CROP) + 0.24
    head, table_head = _EDGE + 0.85, 0.72
    image_height = _IMAGE * picture.height / picture.width
    table = _EDGE + _IMAGE + _GAP
    page = Page(
        table + _CROP + 0.45 + len(columns) * (2 * _LIST + _GAP) - _GAP + _EDGE,
        head + max(image_height + table_head, table_head + len(patches) * row_height) + _EDGE,
    )
    page.text(_EDGE, _EDGE - 0.02, drawable(title), size=17, weight="bold")

    reading = (
        "Numbers and bars: cosine of the visual token with the word's embedding, or probability of "
        "the word."
    )
    if highlight:
        reading += " Yellow: the word is true of the thing or background on the patch."
    reading = wrap(reading, (page.width - 2 * _EDGE) * 72, 10.5)
    page.text(_EDGE, _EDGE + 0.36, reading, size=10.5, color=MUTED)

    ax = page.axes(_EDGE, head + table_head, _IMAGE, image_height)
    draw_image(ax, picture, layout)
    for number, box in enumerate(boxes):
        draw_numbered_box(ax, box, number, layout.image_size)

    for number, (patch, box) in enumerate(zip(patches, boxes, strict=True)):
        top = head + table_head + number * row_height
        page.rule(table, top - 0.12)
        badge = color_of(number)
        page.text(table, top, str(number + 1), size=13, color=badge, weight="bold")
        ax = page.axes(table + 0.3, top, _CROP, _CROP)
        draw_numbered_crop(ax, picture, box, number, layout.image_size)
        marked = (highlight or {}).get(patch, ())
        left = table + _CROP + 0.45
        for _, before, after in columns:
            for words, layer in ((before, before.layers[0]), (after, output_layer)):
                best = words.at(layer, *patch)[:k]
                for line, word in enumerate(best):
                    _draw_word(page, left, top + line * _LINE, word, is_true(word.word, marked))
                left += _LIST
            left += _GAP

    left = table + _CROP + 0.45
    for name, before, after in columns:
        page.text(left, head, drawable(name), size=13, weight="bold")
        for words, layer in ((before, before.layers[0]), (after, output_layer)):
            values = "cosine" if words.kind == "input_similarity" else "probability"
            page.text(left, head + 0.3, f"{_place(words, layer)}: {values}", size=9, color=MUTED)
            left += _LIST
        left += _GAP
    return page.figure


def _place(words: Words, layer: int) -> str:
    """A layer's name, short enough for the head of a list."""
    return layer_name(words, layer).split(" (")[0]


def _draw_word(page: Page, left: float, top: float, word: Word, marked: bool) -> None:
    """One line: value, a bar as long as it says, and the word on it."""
    share = word.value if word.probability is None else word.probability
    value = f"{word.value:.3f}" if word.probability is None else f"{word.probability:.1%}"
    value_width, room = 0.52, _LIST - 0.52 - 0.15
    page.box(left + value_width, top, room, _LINE - 0.035, "#f1f3f4")
    page.box(left + value_width, top, room * min(1.0, max(0.0, share)), _LINE - 0.035, "#b9c6d6")
    foot = top + 0.7 * _LINE
    page.text(left, foot, value, size=_SIZE - 1.5, color=MUTED, baseline=True)
    page.text(
        left + value_width + 0.05,
        foot,
        shorten(drawable(word.word), (room - 0.1) * 72 / _SIZE),
        size=_SIZE,
        background=HIGHLIGHT if marked else None,
        baseline=True,
    )
