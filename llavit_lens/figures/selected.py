"""Selected patches: numbered boxes on the image, and what is read off each at input and output.

After the paper's Figures 1 and 4 (one model) and 5 and 6 (two models side by side).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.figure import Figure
from llavit_lens.figures.labels import layer_name, percent
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.numbered import (
    TABLE_LEFT,
    NumberedPatch,
    PatchWord,
    draw_numbered_image,
    draw_patch_table,
)
from llavit_lens.figures.page import EDGE, TEXT, Page
from llavit_lens.figures.patch_grid import image_of_words, is_true
from llavit_lens.figures.style import MUTED

if TYPE_CHECKING:
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.words import Word, Words

Patch = tuple[int, int] | tuple[int, int, int]
"""(row, column) on the grid of the whole image, or (row, column, tile)."""

_IMAGE, _GAP, _COLUMN = 4.6, 0.35, 2.15  # inches
_TABLE = EDGE + _IMAGE + _GAP


def draw_selected_patches(
    columns: Sequence[tuple[str, Words, Words]],
    image: ImageSource | None = None,
    patches: Sequence[Patch] = (),
    k: int = 3,
    highlight: Mapping[Patch, Collection[str]] | None = None,
) -> Figure:
    """Draw numbered patches and beside them each model's top-k words with their values.

    Args:
        columns: for each model (title, words at the input, words at the output). The input's first
            layer is shown, by cosine (Eq. 4) or by the logit lens, as its kind says; and the
            output's last layer.
        image: as in `draw_patch_words`.
        patches: (row, column) of each patch, with the tile where the model sees several; negative
            rows and columns count from the end.
        k: how many words.
        highlight: for a patch, the words to outline in green: those that are true of it.

    Raises:
        ConfigurationError: no models, patches or image; a patch, layer or rank not there.
    """
    _check(columns, patches, k)
    layout = columns[0][1].layout
    pixels = image_of_words([words for _, *both in columns for words in both], image)
    lists = [
        (words, layer)
        for _, before, after in columns
        for words, layer in ((before, before.layers[0]), (after, -1))
    ]
    numbered = [
        NumberedPatch(
            number,
            layout.boxes[layout.index(*patch)],
            [
                [_drawn(word, (highlight or {}).get(patch, ())) for word in words.at(layer, *patch)]
                [:k]
                for words, layer in lists
            ],
        )
        for number, patch in enumerate(patches, start=1)
    ]  # fmt: skip
    titles = [title for name, *_ in columns for title in (drawable(name), "")]
    details = [_detail(words, layer) for words, layer in lists]
    width = TABLE_LEFT + len(lists) * _COLUMN
    page = Page(_TABLE + width + EDGE)
    top = page.heading("What the model reads off selected patches")
    if highlight:
        page.text(EDGE, top, "green outline: the word is true of its patch", size=TEXT, color=MUTED)
        top += 0.25
    top += 0.15
    page.figure.caption = (
        "Each patch is one visual token. Numbers and bars: the cosine of the visual token and the "
        "word's embedding, or the probability of the word."
    )
    height = _IMAGE * pixels.height / pixels.width
    draw_numbered_image(page, pixels, layout, numbered, EDGE, top, (_IMAGE, height))
    headings = list(zip(titles, details, strict=True))
    foot = draw_patch_table(page, pixels, layout, numbered, headings, _TABLE, top, width)
    return page.finish(max(foot, top + height) + EDGE)


def _check(columns: Sequence[tuple[str, Words, Words]], patches: Sequence[Patch], k: int) -> None:
    """Refuse patches that are not there, or that models see in other places of the image."""
    if not columns or not patches:
        raise ConfigurationError("there is nothing to draw: give at least one model and one patch")
    fewest = min(words.k for _, *both in columns for words in both)
    if not 1 <= k <= fewest:
        raise ConfigurationError(f"k is {k}, but the words were read with k = {fewest}")
    layout = columns[0][1].layout
    boxes = [layout.boxes[layout.index(*patch)] for patch in patches]
    for patch, (left, top, right, bottom) in zip(patches, boxes, strict=True):
        if left == right or top == bottom:
            raise ConfigurationError(f"patch {patch} lies in the padding around the image")
    for name, *both in columns:
        others = [[w.layout.boxes[w.layout.index(*patch)] for patch in patches] for w in both]
        if not np.array_equal(others, [boxes, boxes]):
            raise ConfigurationError(
                f"{name} sees other patches of the image than {columns[0][0]}; draw them in "
                "different figures"
            )


def _detail(words: Words, layer: int) -> str:
    """`output: probability`: a layer's name without its number, and what the values are."""
    values = "cosine" if words.kind == "input_similarity" else "probability"
    return f"{layer_name(words, layer).split(' (')[0]}: {values}"


def _drawn(word: Word, true: Collection[str]) -> PatchWord:
    share = word.value if word.probability is None else word.probability
    value = f"{word.value:.3f}" if word.probability is None else percent(word.probability)
    return PatchWord(drawable(word.word), value, share, marked=is_true(word.word, true))
