"""The look of the figures: font, palette, ink on color, and text that is always drawn literally."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import count
from typing import Any

from matplotlib import colormaps
from matplotlib.colors import Colormap, Normalize, to_hex, to_rgb
from matplotlib.font_manager import FontProperties, findfont, get_font

FONT = "DejaVu Sans"  # comes with matplotlib, so figures are the same everywhere
DARK, LIGHT = "#111111", "#ffffff"
MUTED = "#5f6368"
RIGHT = "#00c853"  # outline of a word that is true of its patch
NEUTRAL = "#9e9e9e"  # outline of one that is not
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
LITERAL: dict[str, Any] = {"parse_math": False, "usetex": False, "family": FONT}

# Perceptually uniform, readable without color vision, and without the green that marks right words.
PALETTE: Colormap = colormaps["magma"]


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


def font_file() -> str:
    """Path of the font file that `LITERAL` text is drawn with."""
    return str(findfont(FontProperties(family=FONT)))


@cache
def text_width(text: str) -> float:
    """Width of `text` in points, per point of font size."""
    font = get_font(font_file())
    font.set_size(100, 72)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / 100


def luminance(color: Any) -> float:
    """Relative luminance of an RGB(A) color in [0, 1] (WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: Any, b: Any) -> float:
    """Contrast ratio of two RGB(A) colors, 1 to 21 (WCAG 2.1; 4.5 is its demand for body text)."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink(background: Any) -> str:
    """Black or white, whichever stands out more from `background`, RGB(A) or a color's name."""
    background = to_rgb(background)
    return LIGHT if contrast(background, (1, 1, 1)) > contrast(background, (0, 0, 0)) else DARK


def value_scale(kind: str, values: list[float]) -> Normalize:
    """The scale of the colors: 0 to 1 for probabilities, so that figures compare; else fitted."""
    if kind == "logit_lens":
        return Normalize(0.0, 1.0)
    return Normalize(min(0.0, *values), max(0.05, *values))
