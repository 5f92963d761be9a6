"""Parts that the paper's figures of words share: headline, foot, numbered picture, a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image

from llavit_lens.figures.fit import shorten, wrap
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.numbered import draw_numbered_box
from llavit_lens.figures.page import Page
from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.style import DARK, HIGHLIGHT, MUTED, text_width
from llavit_lens.studies.paper_figures.readings import PictureReadings, ReadWord

# Inches. A page is as wide as a README shows it at about 90 pixels an inch.
WIDTH, EDGE = 10.0, 0.25
_TITLE, _NOTE = 15.0, 9.5  # points
_TITLE_LINE, _NOTE_LINE = 0.32, 0.178
FILLED = "#8a8f94"  # a word that only fills a place
_SMALLEST = 0.74  # of a word's size, where it is too long

_NAMES = {"demo:baseline": "Baseline", "demo:llavit": "LLaViT"}


def head_height(title: str, width: float) -> float:
    """Inches down to the first picture."""
    return EDGE + _TITLE_LINE * len(_title_lines(title, width)) + 0.1


def draw_head(page: Page, title: str) -> None:
    page.text(EDGE, EDGE, "\n".join(_title_lines(title, page.width)), size=_TITLE, weight="bold")


def foot_height(notes: list[str], width: float) -> float:
    """Inches of the notes, with what is above and below them."""
    return 0.15 + _NOTE_LINE * len(_note_lines(notes, width)) + EDGE


def draw_foot(page: Page, notes: list[str], top: float) -> None:
    for number, line in enumerate(_note_lines(notes, page.width)):
        page.text(EDGE, top + 0.15 + number * _NOTE_LINE, line, size=_NOTE, color=MUTED)


def model_titles(pictures: Sequence[PictureReadings]) -> dict[str, str]:
    """What the columns of a figure's models are called, by the models' names.

    The demo's models by what they are, others by their last name; those that would be called alike
    have as many of the folders before it as tell them apart.
    """
    names = dict.fromkeys(name for picture in pictures for name in picture.models)
    titles = {name: _title(name, 1) for name in names}
    for parts in range(2, 2 + max(name.count("/") for name in names)):
        alike = Counter(titles.values())
        titles = {n: t if alike[t] == 1 else _title(n, parts) for n, t in titles.items()}
    return titles


def _title(name: str, parts: int) -> str:
    return _NAMES.get(name) or drawable("/".join(name.rstrip("/").split("/")[-parts:]))


def fitted(image: Image.Image, width: float, height: float) -> tuple[float, float]:
    """(width, height) of a picture that fills a space as far as its shape allows."""
    scale = min(width / image.width, height / image.height)
    return image.width * scale, image.height * scale


def draw_numbered_picture(
    page: Page, picture: PictureReadings, left: float, top: float, size: tuple[float, float]
) -> None:
    ax = page.axes(left, top, *size)
    draw_image(ax, picture.image, picture.layout)
    for patch in picture.patches:
        draw_numbered_box(ax, np.array(patch.box), patch.number - 1, picture.layout.image_size)


def draw_word(
    page: Page,
    left: float,
    foot: float,
    word: ReadWord,
    room: float,
    size: float,
    *,
    bold: bool = False,
    filled: bool = False,
) -> None:
    """A word on the line `foot`, marked if it is relevant; smaller or cut where it is too long.

    Args:
        room: inches for it.
        size: points, where it fits.
        bold: mark it by bold letters, not in yellow.
        filled: it only fills a place, and is gray.
    """
    marked = bool(word.relevant)
    wide = 1.15 if bold and marked else 1.0  # bold letters are wider
    needed = text_width(word.drawn) * wide * size / 72
    own = size * max(_SMALLEST, min(1.0, room / max(needed, 1e-6)))
    page.text(
        left,
        foot,
        shorten(word.drawn, room * 72 / own / wide),
        size=own,
        color=FILLED if filled and not marked else DARK,
        weight="bold" if bold and marked else "normal",
        background=HIGHLIGHT if marked and not bold else None,
        baseline=True,
    )


def _title_lines(title: str, width: float) -> list[str]:
    return wrap(title, (width - 2 * EDGE) * 72 / 1.15, _TITLE).splitlines()  # bold is wider


def _note_lines(notes: list[str], width: float) -> list[str]:
    room = (width - 2 * EDGE) * 72
    return [line for note in notes for line in wrap(drawable(note), room, _NOTE).splitlines()]
