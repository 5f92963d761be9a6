"""Figures 4, 5 and 6: a card for each numbered patch, with its top 3 words and their values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from llavit_lens.figures.fit import shorten
from llavit_lens.figures.numbered import draw_numbered_crop
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import MUTED, color_of, text_width
from llavit_lens.studies.paper_figures.parts import (
    EDGE,
    WIDTH,
    draw_foot,
    draw_head,
    draw_numbered_picture,
    draw_word,
    fitted,
    foot_height,
    head_height,
    model_titles,
)
from llavit_lens.studies.paper_figures.readings import (
    PatchReadings,
    PictureReadings,
    Reading,
    ReadWord,
)
from llavit_lens.studies.paper_figures.specs import TOP

# Inches.
_PICTURE, _GAP, _BETWEEN = 2.6, 0.2, 0.1
_ACROSS = 4  # cards in a row
_CARD = (WIDTH - 2 * EDGE - _PICTURE - _GAP - (_ACROSS - 1) * _BETWEEN) / _ACROSS
_PAD, _CROP, _HEAD, _LINE, _BELOW = 0.09, 0.62, 0.24, 0.222, 0.22
_SIZE, _HEADING, _VALUE = 10.0, 8.5, 8.5  # points
_RANK, _APART = 0.15, 0.06  # the rank's width, and what is between word and value


def draw_cards(pictures: Sequence[PictureReadings], title: str, notes: list[str]) -> Figure:
    """Draw each picture with its cards at its right."""
    heights = [_height(picture) for picture in pictures]
    head = head_height(title, WIDTH)
    page = Page(WIDTH, head + sum(heights) + foot_height(notes, WIDTH))
    draw_head(page, title)
    top, titles = head, model_titles(pictures)
    for picture, height in zip(pictures, heights, strict=True):
        tall = _card_height(picture)
        size = fitted(picture.image, _PICTURE, max(_PICTURE, height - _BELOW))
        draw_numbered_picture(page, picture, EDGE, top, size)
        for number, patch in enumerate(picture.patches):
            row, column = divmod(number, _ACROSS)
            left = EDGE + _PICTURE + _GAP + column * (_CARD + _BETWEEN)
            _draw_card(page, picture, patch, titles, left, top + row * (tall + _BETWEEN), tall)
        top += height
    draw_foot(page, notes, top - _BELOW + 0.05)
    return page.figure


def _card_height(picture: PictureReadings) -> float:
    blocks = len(picture.patches[0].readings)
    return _PAD + _CROP + blocks * (_HEAD + 0.04 + TOP * _LINE) + 0.06 + _PAD


def _height(picture: PictureReadings) -> float:
    rows = math.ceil(len(picture.patches) / _ACROSS)
    cards = rows * (_card_height(picture) + _BETWEEN) - _BETWEEN
    return max(cards, fitted(picture.image, _PICTURE, _PICTURE)[1]) + _BELOW


def _draw_card(
    page: Page,
    picture: PictureReadings,
    patch: PatchReadings,
    titles: Mapping[str, str],
    left: float,
    top: float,
    tall: float,
) -> None:
    page.box(left, top, _CARD, tall, "#f4f5f6")
    badge = color_of(patch.number - 1)
    page.box(left, top, _CARD, 0.035, badge)
    page.text(
        left + _PAD, top + _PAD + 0.03, str(patch.number), size=15, color=badge, weight="bold"
    )
    row, col, tile = patch.place
    lines = [f"row {row}", f"col {col}"] + ([f"tile {tile}"] if tile else [])
    page.text(left + _PAD, top + _PAD + 0.28, "\n".join(lines), size=7.5, color=MUTED)
    ax = page.axes(left + _CARD - _PAD - _CROP, top + _PAD, _CROP, _CROP)
    size = picture.layout.image_size
    draw_numbered_crop(ax, picture.image, np.array(patch.box), patch.number - 1, size)
    at = top + _PAD + _CROP + 0.06
    for reading in patch.readings:
        heading = _heading(reading, patch, titles, len(picture.models))
        heading = shorten(heading, (_CARD - _PAD) * 72 / _HEADING / 1.15)  # bold is wider
        page.text(left + _PAD, at + 0.04, heading, size=_HEADING, weight="bold")
        for line, word in enumerate(reading.shown):
            foot = at + _HEAD + (line + 0.72) * _LINE
            _draw_line(page, left + _PAD, foot, word, reading)
        at += _HEAD + 0.04 + TOP * _LINE


def _draw_line(page: Page, left: float, foot: float, word: ReadWord, reading: Reading) -> None:
    value = f"{word.value:.3f}" if reading.measure == "cosine" else f"{word.value:.1%}"
    width = text_width(value) * _VALUE / 72
    right = left + _CARD - 2 * _PAD
    page.text(left, foot, str(word.rank), size=_VALUE, color=MUTED, baseline=True)
    room = right - width - _APART - (left + _RANK)
    draw_word(page, left + _RANK, foot, word, room, _SIZE)
    page.text(right - width, foot, value, size=_VALUE, color=MUTED, baseline=True)


def _heading(reading: Reading, patch: PatchReadings, titles: Mapping[str, str], models: int) -> str:
    measure = {"cosine": "cosine sim", "probability": "probability"}[reading.measure]
    if models == 1:
        return f"{reading.place.capitalize()} ({measure})"
    name = titles[reading.model]
    plain = all(other.place == "output" for other in patch.readings)
    return name if plain else f"{reading.place.capitalize()}, {name}"
