"""Numbered patches: boxes on the picture, and each patch cut out with what is around it."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from llavit_lens.figures.style import LITERAL, color_of


def draw_numbered_box(ax: Axes, box: np.ndarray, number: int, size: tuple[int, int]) -> None:
    """Outline a patch on the picture and put its number beside it.

    Args:
        ax: axes with the picture, in its pixels.
        box: (left, top, right, bottom) in pixels.
        number: counted from 0; drawn counted from 1.
        size: (width, height) of the picture in pixels.
    """
    left, top, right, bottom = box
    color = color_of(number)
    for line, edge in ((3.2, "white"), (1.8, color)):
        ax.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, fill=False, edgecolor=edge, linewidth=line
            )
        )
    # Beside a corner, so that it hides neither the patch nor leaves the picture.
    near_left, near_top = left < 0.05 * size[0], top < 0.05 * size[1]
    at = (right if near_left else left, bottom if near_top else top)
    draw_badge(ax, at, number, (8 if near_left else -8, -8 if near_top else 8))


def draw_badge(
    ax: Axes, at: tuple[float, float], number: int, offset: tuple[float, float] = (0, 0)
) -> None:
    """A disk with a number, counted from 0 and drawn counted from 1, `offset` points from `at`."""
    ax.annotate(
        str(number + 1),
        at,
        xytext=offset,
        textcoords="offset points",
        fontsize=9,
        weight="bold",
        color="white",
        ha="center",
        va="center_baseline",
        bbox={
            "boxstyle": "circle,pad=0.22",
            "facecolor": color_of(number),
            "edgecolor": "white",
            "linewidth": 0.8,
        },
        **LITERAL,
    )


def draw_numbered_crop(
    ax: Axes, picture: Image.Image, box: np.ndarray, number: int, size: tuple[int, int]
) -> None:
    """The patch with as much around it on each side: a patch alone is hard to recognize.

    Args:
        ax: empty axes; `picture` may have more pixels than `size`, in which `box` is.
        box, number, size: as in `draw_numbered_box`.
    """
    x0, y0, x1, y1 = (float(edge) for edge in box)
    width, height = x1 - x0, y1 - y0
    shown = (
        max(0.0, x0 - width),
        max(0.0, y0 - height),
        min(size[0], x1 + width),
        min(size[1], y1 + height),
    )
    scale = picture.width / size[0]
    crop = picture.convert("RGB").crop(
        (
            math.floor(shown[0] * scale),
            math.floor(shown[1] * scale),
            math.ceil(shown[2] * scale),
            math.ceil(shown[3] * scale),
        )
    )
    ax.imshow(
        np.asarray(crop), extent=(shown[0], shown[2], shown[3], shown[1]), interpolation="bicubic"
    )
    color = color_of(number)
    ax.add_patch(Rectangle((x0, y0), width, height, fill=False, edgecolor=color, linewidth=2))
    ax.set_xlim(x0 - width, x1 + width)
    ax.set_ylim(y1 + height, y0 - height)
    ax.set_aspect("auto")
    ax.set_axis_off()
