"""What a patch that was found looks like: the image with the patch marked, and the patch enlarged.

An image is opened once, however many of its patches were found, and only small copies are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from llavit_lens.corpus.index_images import IndexImages
from llavit_lens.errors import LlavitLensError

if TYPE_CHECKING:
    import pandas as pd

    from llavit_lens.results.hits import Hits

Opener = Callable[[int], Image.Image]
"""From an image's number in its index to the upright image; it raises a `LlavitLensError` that says
in one sentence why there is none, such as `IndexImages.open`."""

_LEAST = 0.25  # of the image's shorter side: a part as large can be recognized
_PATCHES = 3  # and the patch has another on each side

PADDING = "The patch lies in the padding around the image."


class Box(NamedTuple):
    """A part of an image: its edges as shares of the image's width and height."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, eq=False)
class HitImage:
    """What is shown of a patch that was found.

    Attributes:
        whole: the upright image, maybe scaled down; None: it cannot be shown.
        box: the patch in it; None: the patch lies nowhere in the image.
        near: the patch with what is around it, from all pixels that the image has.
        near_box: the patch in `near`.
        fault: why something is missing, in one sentence; "" if nothing is.
    """

    whole: Image.Image | None = None
    box: Box | None = None
    near: Image.Image | None = None
    near_box: Box | None = None
    fault: str = ""


def opener_of(hits: Hits, images: str | Path | Opener | None) -> Opener:
    """How the images of a search are opened: `images` says where they are now, as `source_of` takes
    it, or opens them itself; None: where they were when they were read."""
    return images if callable(images) else IndexImages(hits.index, images).open


def hit_images(
    hits: pd.DataFrame, opener: Opener, *, largest: int = 480, near: int = 240
) -> list[HitImage]:
    """What is shown of each row of `Hits.table`. An image that cannot be shown is no error.

    Args:
        hits: with the columns image, x0, y0, x1, y1 (pixels of the upright image).
        opener: opens an image by its number.
        largest: pixels of the longer side of `HitImage.whole`.
        near: pixels of the longer side of `HitImage.near`.
    """
    shown: list[HitImage] = [HitImage()] * len(hits)
    for number, rows in hits.reset_index(drop=True).groupby("image", sort=False):
        try:
            image = opener(int(str(number)))
        except LlavitLensError as error:
            for place in rows.index:
                shown[place] = HitImage(fault=str(error))
            continue
        whole = _scaled(image, largest)
        for place, edges in zip(rows.index, rows[["x0", "y0", "x1", "y1"]].values, strict=True):
            shown[place] = _look(image, whole, tuple(map(float, edges)), near)
    return shown


def _look(image: Image.Image, whole: Image.Image, edges: tuple[float, ...], size: int) -> HitImage:
    left, top, right, bottom = edges
    if not all(map(math.isfinite, edges)) or left >= right or top >= bottom:
        return HitImage(whole, fault=PADDING)
    width, height = image.size
    box = Box(left / width, top / height, right / width, bottom / height)
    side = max(_PATCHES * max(right - left, bottom - top), _LEAST * min(width, height))
    x0, x1 = _around(left, right, side, width)
    y0, y1 = _around(top, bottom, side, height)
    scale = size / max(x1 - x0, y1 - y0)
    pixels = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    # of few pixels each shows, of many the average
    filters = Image.Resampling
    kind = filters.NEAREST if scale > 8 else filters.BICUBIC if scale > 1 else filters.LANCZOS
    part = image.resize(pixels, kind, box=(x0, y0, x1, y1))
    near_box = Box(
        (left - x0) / (x1 - x0), (top - y0) / (y1 - y0),
        (right - x0) / (x1 - x0), (bottom - y0) / (y1 - y0),
    )  # fmt: skip
    return HitImage(whole, box, part, near_box)


def _around(start: float, end: float, length: float, size: int) -> tuple[float, float]:
    """An interval of this length around this one, moved into 0 to `size`; never longer than it."""
    length = min(length, size)
    first = min(max(0.0, (start + end - length) / 2), size - length)
    return first, first + length


def _scaled(image: Image.Image, largest: int) -> Image.Image:
    scale = largest / max(image.size)
    if scale >= 1:
        return image.copy()
    return image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), reducing_gap=3.0
    )
