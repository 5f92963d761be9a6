"""Figures 1 and 3: two pictures side by side, and under each the words of its numbered patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

import numpy as np
from matplotlib.figure import Figure

from llavit_lens.figures.fit import shorten
from llavit_lens.figures.numbered import draw_numbered_crop
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import MUTED, color_of
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
from llavit_lens.studies.paper_figures.readings import PatchReadings, PictureReadings, Reading
from llavit_lens.studies.paper_figures.specs import FigureSpec

# Inches.
_GAP, _PICTURE, _CROP, _ROW, _TABLE_HEAD, _BELOW = 0.4, 3.4, 0.56, 0.68, 0.5, 0.08
_COLUMN = (WIDTH - 2 * EDGE - _GAP) / 2
_LISTS = 0.25 + _CROP + 0.22  # where the words begin
_SIZE = 11.0  # points


def draw_lists(
    pictures: Sequence[PictureReadings], title: str, notes: list[str], spec: FigureSpec
) -> Figure:
    """Draw the words that `spec` chooses: no values, two pictures in a row."""
    across = min(2, len(pictures))
    rows = [pictures[i : i + across] for i in range(0, len(pictures), across)]
    width = 2 * EDGE + across * _COLUMN + (across - 1) * _GAP
    heights = [max(map(_height, row)) for row in rows]
    head = head_height(title, width)
    page = Page(width, head + sum(heights) + foot_height(notes, width))
    draw_head(page, title)
    top, letters, titles = head, iter(ascii_lowercase), model_titles(pictures)
    for row, height in zip(rows, heights, strict=True):
        picture_height = max(_size(picture)[1] for picture in row)
        for column, picture in enumerate(row):
            left = EDGE + column * (_COLUMN + _GAP)
            size = _size(picture)
            draw_numbered_picture(page, picture, left + (_COLUMN - size[0]) / 2, top, size)
            under = top + picture_height + 0.18
            if len(pictures) > 1:
                page.text(left, under, f"({next(letters)})", size=10.5, weight="bold")
            _draw_table(page, picture, titles, left, under, spec)
        top += height
    draw_foot(page, notes, top)
    return page.figure


def _size(picture: PictureReadings) -> tuple[float, float]:
    return fitted(picture.image, _COLUMN, _PICTURE)


def _height(picture: PictureReadings) -> float:
    return _size(picture)[1] + 0.18 + _TABLE_HEAD + len(picture.patches) * _ROW + _BELOW


def _draw_table(
    page: Page,
    picture: PictureReadings,
    titles: Mapping[str, str],
    left: float,
    top: float,
    spec: FigureSpec,
) -> None:
    readings = picture.patches[0].readings
    room = (_COLUMN - _LISTS) / len(readings)
    narrow = len(readings) > 2
    size = 8.5 if narrow else 10.5
    for number, reading in enumerate(readings):
        name, measure = _heading(reading, titles, len(picture.models), narrow)
        at = left + _LISTS + number * room
        name = shorten(name, (room - 0.08) * 72 / size / 1.15)  # bold is wider
        page.text(at, top, name, size=size, weight="bold")
        page.text(at, top + 0.2, measure, size=8.5, color=MUTED)
    for number, patch in enumerate(picture.patches):
        _draw_row(page, picture, patch, left, top + _TABLE_HEAD + number * _ROW, spec)


def _draw_row(
    page: Page,
    picture: PictureReadings,
    patch: PatchReadings,
    left: float,
    top: float,
    spec: FigureSpec,
) -> None:
    page.box(left, top - 0.05, _COLUMN, 0.008, "#d0d4d9")
    badge = color_of(patch.number - 1)
    page.text(left, top + 0.16, str(patch.number), size=13, color=badge, weight="bold")
    ax = page.axes(left + 0.25, top + 0.01, _CROP, _CROP)
    size = picture.layout.image_size
    draw_numbered_crop(ax, picture.image, np.array(patch.box), patch.number - 1, size)
    room = (_COLUMN - _LISTS) / len(patch.readings)
    for number, reading in enumerate(patch.readings):
        for line, word in enumerate(reading.shown):
            draw_word(
                page,
                left + _LISTS + number * room,
                top + 0.22 + line * 0.25,
                word,
                room - 0.12,
                _SIZE,
                bold=spec.bold,
                filled=not word.whole_word,
            )


def _heading(
    reading: Reading, titles: Mapping[str, str], models: int, narrow: bool
) -> tuple[str, str]:
    """Of a column: what is read, and where or how."""
    how = {"cosine": "nearest by cosine", "probability": "likeliest"}[reading.measure]
    if models == 1:
        return reading.place.capitalize(), how
    return titles[reading.model], reading.place if narrow else f"{reading.place}, {how}"
