"""Figures 1 and 3: two images side by side, and under each the words of its numbered patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from llavit_lens.figures.figure import Figure
from llavit_lens.figures.numbered import (
    Mark,
    draw_mark_key,
    draw_numbered_image,
    draw_patch_table,
)
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.studies.paper_figures.contents import FigureImage, TopWords, model_titles
from llavit_lens.studies.paper_figures.definitions import WIDTH

_GAP, _HEIGHT = 0.4, 3.4  # inches: between the images; how tall these may be
_COLUMN = (WIDTH - 2 * EDGE - _GAP) / 2


def draw_lists(
    images: Sequence[FigureImage], title: str, caption: str, mark: Mark, meaning: str
) -> Figure:
    """Draw two words of each patch, two images in a row; `meaning` is that of a mark on a word."""
    across = min(2, len(images))
    page = Page(2 * EDGE + across * _COLUMN + (across - 1) * _GAP)
    top, titles = page.heading(title, size=15) + 0.1, model_titles(images)
    page.figure.caption = caption
    if meaning:
        top = draw_mark_key(page, EDGE, top - 0.06, meaning, mark)
    for start in range(0, len(images), across):
        row = images[start : start + across]
        letters = ascii_lowercase[start:] if len(images) > 1 else " "
        height = max(image.size_within(_COLUMN, _HEIGHT)[1] for image in row)
        ends = [
            _draw_image(page, image, titles, EDGE + i * (_COLUMN + _GAP), top, height, letters[i],
                        mark)
            for i, image in enumerate(row)
        ]  # fmt: skip
        top = max(ends)
    return page.finish(top - 0.1 + EDGE)


def _draw_image(
    page: Page,
    image: FigureImage,
    titles: Mapping[str, str],
    left: float,
    top: float,
    height: float,
    letter: str,
    mark: Mark,
) -> float:
    """An image in a row of images `height` tall, and its table. Returns where that ends."""
    patches = [patch.numbered(gray_fillers=True) for patch in image.patches]
    size = image.size_within(_COLUMN, _HEIGHT)
    at = left + (_COLUMN - size[0]) / 2
    draw_numbered_image(page, image.image, image.layout, patches, at, top, size)
    top += height + 0.18
    if letter.strip():
        page.text(left, top, f"({letter})", size=10.5, weight="bold")
    top_words = image.patches[0].top_words
    headings = [_heading(words, titles, len(image.models), len(top_words)) for words in top_words]
    return draw_patch_table(
        page, image.image, image.layout, patches, headings, left, top, _COLUMN, mark=mark
    )


def _heading(
    top: TopWords, titles: Mapping[str, str], models: int, columns: int
) -> tuple[str, str]:
    """Of a column: what is read, and where or how."""
    how = {"cosine": "nearest by cosine", "probability": "likeliest"}[top.measure]
    if models == 1:
        return top.layer_name.capitalize(), how
    return titles[top.model], top.layer_name if columns > 2 else f"{top.layer_name}, {how}"
