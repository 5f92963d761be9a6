"""A contact sheet: the best patches in which a word was read, each in its image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Rectangle

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.figure import Figure
from llavit_lens.figures.fit import shorten, shorten_start
from llavit_lens.figures.hit_images import Box, HitImage, Opener, hit_images, opener_of
from llavit_lens.figures.hit_texts import HitText, heading, hit_texts
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.style import BOLD_WIDTH, COLORS, MUTED, text_width
from llavit_lens.inputs import whole_number

if TYPE_CHECKING:
    from PIL import Image

    from llavit_lens.results.hits import Hits

MOST_TILES = 200
"""On a sheet: more than anybody looks through."""

# Inches.
_VIEW, _BETWEEN, _APART, _BELOW = 1.35, 0.1, 0.34, 0.3
_TEXT = 0.64  # three lines
_TILE = 2 * _VIEW + _BETWEEN
_NARROWEST = 2  # tiles: the heading needs as much
_LEAST_MARK = 0.11
_LINES = ((3.4, "white"), (1.8, COLORS[0]))  # points, color: of a mark, from below

_SIZE, _SMALL = 11.0, 9.0  # points
_EMPTY = "#e8eaed"


def draw_contact_sheet(
    hits: Hits,
    *,
    most: int = 40,
    columns: int = 4,
    images: str | Path | Opener | None = None,
) -> Figure:
    """Draw the best hits, each as two images: the whole with the patch marked, and the patch near.

    Below them the word as it was read, its probability, the layer, and the image's name. An image
    that is gone, or that has changed since it was read, is a gray tile that says so.

    Args:
        hits: what `WordIndex.find` returned.
        most: how many of them are drawn, best first; at most 200.
        columns: how many stand side by side.
        images: where the images are now, if they moved since they were read: as `source_of` takes
            it, or a function from an image's number to the image.

    Raises:
        ConfigurationError: `most` or `columns` is no such number; or there is no such index.
    """
    table = hits.table.head(check_number(most, "most"))
    abreast = max(_NARROWEST, min(check_number(columns, "columns"), len(table)))
    page = Page(2 * EDGE + abreast * (_TILE + _APART) - _APART)
    title, about = heading(hits, len(table))
    top = page.heading(drawable(title), drawable(about)) + 0.15
    page.figure.caption = (
        "Each pair shows one patch: left the image with the patch marked, right the patch with "
        "what is around it. Below: the word as it was read there, its probability, the layer, the "
        "name of the image."
    )
    tiles = zip(
        hit_texts(hits, len(table)), hit_images(table, opener_of(hits, images)), strict=True
    )
    for number, (text, image) in enumerate(tiles):
        row, column = divmod(number, abreast)
        _draw_tile(
            page,
            EDGE + column * (_TILE + _APART),
            top + row * (_VIEW + _TEXT + _BELOW),
            text,
            image,
        )
    rows = -(-len(table) // abreast)
    return page.finish(top + max(0.0, rows * (_VIEW + _TEXT + _BELOW) - _BELOW) + EDGE)


def check_number(value: int, name: str) -> int:
    """The number, of tiles. Raises ConfigurationError: it is none from 1 to 200."""
    number = whole_number(value, name)
    if not 1 <= number <= MOST_TILES:
        raise ConfigurationError(f"{name}={number}: give a number from 1 to {MOST_TILES}")
    return number


def _draw_tile(page: Page, left: float, top: float, text: HitText, image: HitImage) -> None:
    if image.whole is None:
        page.box(left, top, _TILE, _VIEW, _EMPTY)
        page.paragraph(left + 0.15, top + 0.15, image.fault, size=_SMALL, width=_TILE - 0.3)
    else:
        _draw_view(page, left, top, image.whole, image.box)
        right = left + _VIEW + _BETWEEN
        if image.near is None:
            page.paragraph(right, top + 0.15, image.fault, size=_SMALL, width=_VIEW)
        else:
            _draw_view(page, right, top, image.near, image.near_box)
    foot = top + _VIEW + 0.2
    room = 72 * _TILE / _SIZE - text_width(text.value) - 1
    word = shorten(drawable(text.word), room / BOLD_WIDTH)
    page.text(left, foot, word, size=_SIZE, weight="bold", baseline=True)
    at = left + _TILE - text_width(text.value) * _SIZE / 72
    page.text(at, foot, text.value, size=_SIZE, baseline=True)
    room = 0.98 * 72 * _TILE / _SMALL
    for line, below in ((shorten(text.where, room), 0.19), (_end(text.name, room), 0.36)):
        page.text(left, foot + below, line, size=_SMALL, color=MUTED, baseline=True)


def _end(name: str, room: float) -> str:
    """The end of a name: names of images in one folder differ there."""
    return shorten_start(drawable(name), room)


def _draw_view(page: Page, left: float, top: float, image: Image.Image, box: Box | None) -> None:
    """An image in the middle of a square, with a mark around a part of it."""
    scale = _VIEW / max(image.size)
    width, height = image.width * scale, image.height * scale
    x, y = left + (_VIEW - width) / 2, top + (_VIEW - height) / 2
    axes = page.axes(x, y, width, height)
    axes.imshow(np.asarray(image), extent=(0, width, height, 0), interpolation="bicubic")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    if box is not None:
        x0, x1 = _wide(box.left * width, box.right * width)
        y0, y1 = _wide(box.top * height, box.bottom * height)
        for line, color in _LINES:
            axes.add_patch(
                Rectangle(
                    (x0, y0), x1 - x0, y1 - y0,
                    fill=False, edgecolor=color, linewidth=line, clip_on=False,
                )
            )  # fmt: skip


def _wide(start: float, end: float) -> tuple[float, float]:
    """The edges of a mark in inches: around its patch, and wide enough to be seen."""
    more = max(_LINES[0][0] / 72, _LEAST_MARK - (end - start)) / 2
    return start - more, end + more
