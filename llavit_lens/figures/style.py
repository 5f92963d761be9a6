"""The look of the figures: font, palette, ink on color, and text that is always drawn literally."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from matplotlib import colormaps
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex, to_rgb

from llavit_lens.figures.fonts import FAMILIES
from llavit_lens.figures.fonts import text_width as text_width

DARK, LIGHT = "#111111", "#ffffff"
MUTED = "#5f6368"
RIGHT = "#00c853"  # outline of a word that is true of its patch
HIGHLIGHT = "#ffe14d"  # the paper's yellow
GRID = "#e6e8eb"  # lines across a chart
# After Okabe and Ito: colors that stay apart for people with any color vision, on light and dark.
COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#b8860b", "#8c6bd1", "#7f7f7f")
_VARIANTS = (
    "llavit",
    "baseline",
    "no_visual_attention",
    "separate_qkv",
    "separate_qkv_bidirectional",
    "separate_qkv_local_global",
)

BOLD_WIDTH = 1.15  # of bold letters, as a multiple of the width of plain ones

# Text that models or users write goes to matplotlib with these, never interpreted as a formula.
LITERAL: dict[str, Any] = {"parse_math": False, "usetex": False, "family": FAMILIES}

# Perceptually uniform, readable without color vision, and without the green that marks right words.
PALETTE: Colormap = colormaps["magma"]

# Drawn over an image: nothing is clear, more is darker and hides more, but never much more than a
# third, so that the image is seen under the surest words. One hue, and not the green of right
# words.
TINT: Colormap = LinearSegmentedColormap.from_list(
    "tint", [(0.55, 0.3, 0.95, 0.0), (0.40, 0.05, 0.80, 0.18), (0.25, 0.0, 0.58, 0.35)]
)
# The same for values on both sides of nothing: blue below, red above, apart for people with any
# color vision.
TWO_TINTS: Colormap = LinearSegmentedColormap.from_list(
    "two tints",
    [
        (0.0, (0.0, 0.2, 0.55, 0.85)),
        (0.5, (0.2, 0.5, 0.9, 0.0)),
        (0.5, (0.9, 0.2, 0.2, 0.0)),
        (1.0, (0.7, 0.0, 0.0, 0.85)),
    ],
)


def color_of(number: int) -> str:
    """The color of the series, or the patch, with this number, from 0."""
    return COLORS[number % len(COLORS)]


def model_colors(names: Iterable[str]) -> dict[str, str]:
    """A color for each model. Variants of the demo have the same one in all figures.

    Other models get the colors that are left, in order, then darker and lighter shades of all. A
    folder may be called as a variant is: it has the variant's color unless that one is there too.
    """
    names = list(dict.fromkeys(names))
    numbers: dict[str, int] = {}
    for name in sorted(names, key=lambda name: not name.startswith("demo:")):
        variant = name.removeprefix("demo:")
        if variant in _VARIANTS and (number := _VARIANTS.index(variant)) not in numbers.values():
            numbers[name] = number
    others = [name for name in names if name not in numbers]
    taken = set(numbers.values())
    free = (n for n in count() if n not in taken)
    numbers |= dict(zip(others, free, strict=False))
    return {name: _shade(numbers[name]) for name in names}


def _shade(number: int) -> str:
    """`color_of`, darker in a second round through the colors, lighter in a third."""
    target, share = ((0.0, 0.0), (0.0, 0.5), (1.0, 0.5))[number // len(COLORS) % 3]
    red, green, blue = ((1 - share) * p + share * target for p in to_rgb(color_of(number)))
    return to_hex((red, green, blue))


def luminance(color: Any) -> float:
    """Relative luminance of an RGB(A) color in [0, 1] (WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: Any, b: Any) -> float:
    """Contrast ratio of two RGB(A) colors, 1 to 21 (WCAG 2.1; 4.5 is its demand for body text)."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def on_white(color: Any) -> tuple[float, float, float]:
    """An RGBA color as it looks on white paper."""
    red, green, blue = (1 - color[3] * (1 - part) for part in color[:3])
    return red, green, blue


def ink(background: Any) -> str:
    """Black or white, whichever stands out more from `background`, RGB(A) or a color's name."""
    background = to_rgb(background)
    return LIGHT if contrast(background, (1, 1, 1)) > contrast(background, (0, 0, 0)) else DARK
