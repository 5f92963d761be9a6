"""Horizontal bars on a page, each with its number at its end."""

from __future__ import annotations

from collections.abc import Sequence

from llavit_lens.figures.page import Page
from llavit_lens.figures.style import COLORS

INK = "#c3cad3"  # what is not the point
POINT, SECOND = COLORS[:2]  # what is, and what is beside it
HEIGHT = 0.24  # inches
_BASELINE = 0.17  # of text beside a bar, below its top


def draw_bar(
    page: Page,
    left: float,
    top: float,
    parts: Sequence[tuple[float, str]],
    label: str,
    name: str = "",
    name_width: float = 0.0,
) -> None:
    """A bar of `parts` (length in inches, color), stacked, with `label` right of it.

    `name` stands left of it, `name_width` inches wide.
    """
    page.text(left - name_width, top + _BASELINE, name, size=10.5, baseline=True)
    at = left
    for length, color in parts:
        page.box(at, top, length, HEIGHT, color)
        at += length
    page.text(at + 0.08, top + _BASELINE, label, size=10.5, baseline=True)


def draw_key(page: Page, left: float, top: float, items: Sequence[tuple[str, str, float]]) -> float:
    """What the colors mean: (color, meaning, inches to the next). Returns where the key ends."""
    for color, meaning, advance in items:
        page.box(left, top + 0.02, 0.2, 0.15, color)
        page.text(left + 0.28, top + 0.15, meaning, size=10.5, baseline=True)
        left += advance
    return top + 0.4
