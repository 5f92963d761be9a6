"""Numbered patches: boxes on the image, each patch cut out, and the words read off it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from llavit_lens.figures.fit import shorten
from llavit_lens.figures.page import Page
from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.style import (
    BOLD_WIDTH,
    DARK,
    HIGHLIGHT,
    LITERAL,
    MUTED,
    RIGHT,
    color_of,
    ink,
    text_width,
)

if TYPE_CHECKING:
    from llavit_lens.images.layout import VisualLayout

Mark = Literal["outline", "yellow", "bold"]
"""How a relevant word is marked: as in all figures of the package, or as in some of the paper's."""

_SMALLEST = 0.74  # of a word's size, where it is too long
_FILLER = "#8a8f94"


class PatchWord(NamedTuple):
    """A word read off a patch, as it is drawn."""

    text: str
    """Safe to draw."""
    value: str = ""
    """Its probability or cosine; "" is not drawn."""
    share: float | None = None
    """Length of the bar under it, 0 to 1; None: no bar."""
    marked: bool = False
    """It is true of the patch, or relevant to it."""
    filler: bool = False
    """It only fills a place, and is gray."""


class NumberedPatch(NamedTuple):
    """A patch with its number, which counts from 1, and columns of words, best first."""

    number: int
    box: Sequence[float] | np.ndarray
    """(left, top, right, bottom) in pixels of the image that the model saw."""
    columns: Sequence[Sequence[PatchWord]]

    @property
    def color(self) -> str:
        return color_of(self.number - 1)


def draw_numbered_image(
    page: Page,
    image: Image.Image,
    layout: VisualLayout,
    patches: Sequence[NumberedPatch],
    left: float,
    top: float,
    size: tuple[float, float],
) -> None:
    """The image, `size` inches large, with a numbered box for each patch."""
    axes = page.axes(left, top, *size)
    draw_image(axes, image, layout)
    for patch in patches:
        _draw_box(axes, patch, layout.image_size)


def _draw_box(axes: Axes, patch: NumberedPatch, size: tuple[int, int]) -> None:
    left, top, right, bottom = patch.box
    for line, edge in ((3.2, "white"), (1.8, patch.color)):
        axes.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, fill=False, edgecolor=edge, linewidth=line
            )
        )
    # Beside a corner, so that it hides neither the patch nor leaves the image.
    near_left, near_top = left < 0.05 * size[0], top < 0.05 * size[1]
    axes.annotate(
        str(patch.number),
        (right if near_left else left, bottom if near_top else top),
        xytext=(8 if near_left else -8, -8 if near_top else 8),
        textcoords="offset points",
        fontsize=9,
        weight="bold",
        color=ink(patch.color),
        ha="center",
        va="center_baseline",
        bbox={
            "boxstyle": "circle,pad=0.22",
            "facecolor": patch.color,
            "edgecolor": "white",
            "linewidth": 0.8,
        },
        **LITERAL,
    )


def draw_crop(axes: Axes, image: Image.Image, layout: VisualLayout, patch: NumberedPatch) -> None:
    """The patch with as much around it as it is large: a patch alone is hard to recognize.

    At an edge of the image there is more of it on the other side, so that no part stays blank.
    `image` may have more pixels than the one that the model saw.
    """
    x0, y0, x1, y1 = (float(edge) for edge in patch.box)
    width, height = x1 - x0, y1 - y0
    scale = image.width / layout.image_size[0]
    left, right = _around(x0, x1, layout.image_size[0])
    top, bottom = _around(y0, y1, layout.image_size[1])
    crop = image.convert("RGB").crop(
        (
            math.floor(left * scale),
            math.floor(top * scale),
            math.ceil(right * scale),
            math.ceil(bottom * scale),
        )
    )
    axes.imshow(np.asarray(crop), extent=(left, right, bottom, top), interpolation="bicubic")
    axes.add_patch(
        Rectangle((x0, y0), width, height, fill=False, edgecolor=patch.color, linewidth=2)
    )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("auto")
    axes.set_axis_off()


def _around(start: float, end: float, size: float) -> tuple[float, float]:
    """An interval three times as long around this one, moved into 0 to `size`."""
    length = min(size, 3 * (end - start))
    first = min(max(0.0, (start + end - length) / 2), size - length)
    return first, first + length


def draw_word(
    page: Page,
    left: float,
    foot: float,
    word: PatchWord,
    room: float,
    size: float,
    *,
    mark: Mark = "outline",
) -> None:
    """A word on the line `foot`, marked if it is relevant; smaller or cut where it is too long.

    Args:
        room: inches for it.
        size: points, where it fits.
        mark: of a relevant word.
    """
    bold = mark == "bold" and word.marked
    wide = BOLD_WIDTH if bold else 1.0
    needed = text_width(word.text) * wide * size / 72
    size *= max(_SMALLEST, min(1.0, room / max(needed, 1e-6)))
    page.text(
        left,
        foot,
        shorten(word.text, room * 72 / size / wide),
        size=size,
        color=_FILLER if word.filler and not word.marked else DARK,
        weight="bold" if bold else "normal",
        background=HIGHLIGHT if word.marked and mark == "yellow" else None,
        outline=RIGHT if word.marked and mark == "outline" else None,
        baseline=True,
    )


def draw_mark_key(page: Page, left: float, top: float, meaning: str, mark: Mark) -> float:
    """What a mark on a word means, in a line. Returns where it ends."""
    foot = top + 0.16
    draw_word(page, left + 0.04, foot, PatchWord("word", marked=True), 1.0, 9.5, mark=mark)
    page.text(left + 0.52, foot, meaning, size=9.5, color=MUTED, baseline=True)
    return top + 0.34


# Inches of a table of patches.
_NUMBER, _CROP, _LINE, _APART, _TABLE_HEAD, _VALUE = 0.25, 0.6, 0.24, 0.16, 0.5, 0.5
TABLE_LEFT = _NUMBER + _CROP + 0.22
"""Where the words begin."""
_SIZE, _SMALL = 10.5, 8.5  # points


def draw_patch_table(
    page: Page,
    image: Image.Image,
    layout: VisualLayout,
    patches: Sequence[NumberedPatch],
    headings: Sequence[tuple[str, str]],
    left: float,
    top: float,
    width: float,
    *,
    mark: Mark = "outline",
) -> float:
    """A row for each patch: its number, what is there, and its words. Returns where it ends.

    Args:
        headings: of each column the name and a detail. A column with the name "" belongs to the
            one left of it.
        mark: of relevant words.
    """
    room = (width - TABLE_LEFT) / len(headings)
    size = _SIZE if room > 1.3 else _SMALL
    for column, (name, detail) in enumerate(headings):
        span = next((i for i, (n, _) in enumerate(headings[column + 1 :], 1) if n), None)
        span = len(headings) - column if span is None else span
        at = left + TABLE_LEFT + column * room
        name = shorten(name, (span * room - 0.08) * 72 / size / BOLD_WIDTH)
        page.text(at, top, name, size=size, weight="bold")
        page.text(at, top + 0.2, detail, size=_SMALL, color=MUTED)
    top += _TABLE_HEAD
    for patch in patches:
        page.rule(left, top - 0.05, width)
        page.text(left, top + 0.16, str(patch.number), size=13, color=patch.color, weight="bold")
        draw_crop(page.axes(left + _NUMBER, top + 0.02, _CROP, _CROP), image, layout, patch)
        for column, words in enumerate(patch.columns):
            at = left + TABLE_LEFT + column * room
            for line, word in enumerate(words):
                _draw_line(page, at, top + line * _LINE, word, room - 0.12, mark)
        top += max(_CROP, _LINE * max(map(len, patch.columns))) + _APART
    return top


def _draw_line(
    page: Page, left: float, top: float, word: PatchWord, room: float, mark: Mark
) -> None:
    """A word; with its value, and a bar as long as that, if it has one."""
    foot = top + 0.7 * _LINE
    if word.share is None:
        draw_word(page, left, foot + 0.05, word, room, _SIZE, mark=mark)
        return
    room -= _VALUE
    page.text(left, foot, word.value, size=_SMALL, color=MUTED, baseline=True)
    left += _VALUE
    page.box(left, top, room, _LINE - 0.035, "#f1f3f4")
    page.box(left, top, room * min(1.0, max(0.0, word.share)), _LINE - 0.035, "#b9c6d6")
    draw_word(page, left + 0.05, foot, word, room - 0.1, _SIZE - 0.5, mark=mark)
