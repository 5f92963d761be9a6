"""Figures 4, 5 and 6: a card for each numbered patch, with its top 3 words and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llavit_lens.figures.figure import Figure
from llavit_lens.figures.fit import shorten
from llavit_lens.figures.labels import percent
from llavit_lens.figures.numbered import (
    Mark,
    NumberedPatch,
    PatchWord,
    draw_crop,
    draw_mark_key,
    draw_numbered_image,
    draw_word,
)
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.style import BOLD_WIDTH, MUTED, text_width
from llavit_lens.studies.paper_figures.contents import (
    FigureImage,
    FigurePatch,
    RankedWord,
    TopWords,
    model_titles,
)
from llavit_lens.studies.paper_figures.definitions import WIDTH

# Inches.
_IMAGE, _GAP, _BETWEEN = 2.6, 0.2, 0.1
_ACROSS = 4  # cards in a row
_CARDS = EDGE + _IMAGE + _GAP
_CARD = (WIDTH - EDGE - _CARDS - (_ACROSS - 1) * _BETWEEN) / _ACROSS
_PAD, _CROP, _HEAD, _LINE = 0.09, 0.62, 0.24, 0.222
_RANK, _APART = 0.15, 0.06  # the rank's width, and what is between word and value
_SIZE, _SMALL = 10.0, 8.5  # points


def draw_cards(
    images: Sequence[FigureImage], title: str, caption: str, mark: Mark, meaning: str
) -> Figure:
    """Draw each image with its cards at its right; `meaning` is what a mark on a word means."""
    page = Page(WIDTH)
    top, titles = page.heading(title, size=15) + 0.1, model_titles(images)
    page.figure.caption = caption
    if meaning:
        top = draw_mark_key(page, EDGE, top - 0.06, meaning, mark)
    for image in images:
        patches = [patch.numbered(gray_fillers=False) for patch in image.patches]
        foot = top
        for start in range(0, len(patches), _ACROSS):
            row = range(start, min(start + _ACROSS, len(patches)))
            at = foot + _BETWEEN * (start > 0)
            foot = max(
                _draw_card(page, image, image.patches[i], patches[i], titles,
                           _CARDS + (i - start) * (_CARD + _BETWEEN), at, mark)
                for i in row
            )  # fmt: skip
        size = image.size_within(_IMAGE, max(_IMAGE, foot - top))
        draw_numbered_image(page, image.image, image.layout, patches, EDGE, top, size)
        top = max(foot, top + size[1]) + 0.22
    return page.finish(top - 0.22 + EDGE)


def _draw_card(
    page: Page,
    image: FigureImage,
    patch: FigurePatch,
    numbered: NumberedPatch,
    titles: Mapping[str, str],
    left: float,
    top: float,
    mark: Mark,
) -> float:
    """Number, cell, what is there, and the words of each model and layer. Returns its end."""
    number = str(patch.number)
    page.text(left + _PAD, top + _PAD + 0.03, number, size=15, color=numbered.color, weight="bold")
    row, col, tile = patch.cell
    lines = [f"row {row}", f"col {col}"]
    if len(image.layout.grid) > 1 and tile != image.layout.whole:
        lines.append(f"tile {tile}")
    page.text(left + _PAD, top + _PAD + 0.28, "\n".join(lines), size=7.5, color=MUTED)
    crop = page.axes(left + _CARD - _PAD - _CROP, top + _PAD, _CROP, _CROP)
    draw_crop(crop, image.image, image.layout, numbered)
    at = top + _PAD + _CROP + 0.06
    for words, drawn in zip(patch.top_words, numbered.columns, strict=True):
        heading = _heading(words, patch, titles, len(image.models))
        heading = shorten(heading, (_CARD - _PAD) * 72 / _SMALL / BOLD_WIDTH)
        page.text(left + _PAD, at + 0.04, heading, size=_SMALL, weight="bold")
        at += _HEAD
        for ranked, word in zip(words.drawn, drawn, strict=True):
            _draw_line(page, left + _PAD, at + 0.72 * _LINE, ranked, word, words.measure, mark)
            at += _LINE
        at += 0.04
    foot = at + 0.06 + _PAD
    page.box(left, top, _CARD, foot - top, "#f4f5f6")
    page.box(left, top, _CARD, 0.035, numbered.color)
    return foot


def _draw_line(
    page: Page,
    left: float,
    foot: float,
    ranked: RankedWord,
    word: PatchWord,
    measure: str,
    mark: Mark,
) -> None:
    """Rank, word and value."""
    value = f"{ranked.value:.3f}" if measure == "cosine" else percent(ranked.value)
    width = text_width(value) * _SMALL / 72
    right = left + _CARD - 2 * _PAD
    page.text(left, foot, str(ranked.rank), size=_SMALL, color=MUTED, baseline=True)
    draw_word(
        page, left + _RANK, foot, word, right - width - _APART - left - _RANK, _SIZE, mark=mark
    )
    page.text(right - width, foot, value, size=_SMALL, color=MUTED, baseline=True)


def _heading(top: TopWords, patch: FigurePatch, titles: Mapping[str, str], models: int) -> str:
    measure = {"cosine": "cosine sim", "probability": "probability"}[top.measure]
    if models == 1:
        return f"{top.layer_name.capitalize()} ({measure})"
    name = titles[top.model]
    output_only = all(words.layer_name == "output" for words in patch.top_words)
    return name if output_only else f"{top.layer_name.capitalize()}, {name}"
