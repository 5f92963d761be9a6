"""The same image with one thing in another color: does the word for its color follow?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from llavit_lens.evaluation.labelled.labelled_images import Change, LabelledImage

HUES = {
    "red": (0.0, 20.0),
    "orange": (28.0, 12.0),
    "yellow": (46.0, 20.0),
    "green": (95.0, 40.0),
    "blue": (205.0, 35.0),
    "purple": (275.0, 25.0),
    "pink": (330.0, 20.0),
}
"""Degrees on the circle of colors, and how far from there the word is still used. Brown, black,
white and gray are not hues."""

TARGETS = ("red", "yellow", "green", "blue")  # colors with clear names
_APART = 40.0  # degrees that a thing's hue is turned at least
_NEAR = 25.0  # degrees within which pixels are of one hue
_MOST = 0.5  # of a thing's pixels have to have it
_VIVID, _BRIGHT = 0.3, 0.25  # saturation and value from which on a pixel has a hue at all


class MainHue(NamedTuple):
    """The hue that most of a thing has."""

    degrees: float
    share: float
    """Of the thing's pixels that have a hue within 25° of it."""


def main_hue(image: Image.Image, mask: np.ndarray) -> MainHue | None:
    """The mean hue of the pixels in a mask about their commonest one; None where all are gray."""
    hue, saturation, value = _hsv(image)[mask].T
    vivid = (saturation >= _VIVID) & (value >= _BRIGHT)
    if not vivid.any():
        return None
    counts = np.histogram(hue[vivid], bins=36, range=(0, 360))[0]
    # the fullest sixth of the circle, since hues of one color straddle the edges of narrow bins
    wide = sum(np.roll(counts, step) for step in (-2, -1, 0, 1, 2))
    center = 10 * int(np.argmax(wide)) + 5.0
    off = _turn(center, hue[vivid])
    mean = (center + off[np.abs(off) <= _NEAR].mean()) % 360
    near = np.abs(_turn(mean, hue)) <= _NEAR
    return MainHue(float(mean), float((near & vivid).mean()))


def recolour(image: Image.Image, mask: np.ndarray, degrees: float) -> Image.Image:
    """Turn the hue of the pixels in a mask; their saturation and value stay."""
    pixels = np.asarray(image.convert("HSV")).copy()
    turn = round(degrees / 360 * 256)
    pixels[mask, 0] = (pixels[mask, 0].astype(int) + turn) % 256
    turned = Image.fromarray(pixels, mode="HSV").convert("RGB")
    # pixels outside never went through HSV, which rounds
    return Image.composite(turned, image, Image.fromarray(mask))


def recolouring(image: LabelledImage) -> Change | None:
    """The first object with a hue as its color attribute, turned to red, yellow, green or blue.

    At least half of its pixels must have that hue. None if there is no such object.
    """
    for thing in image.objects:
        old = thing.attributes.get("color", "")
        if old not in HUES or not thing.mask.any():
            continue
        hue = main_hue(image.image, thing.mask)
        if hue is None or hue.share < _MOST or _away(old, hue.degrees) > HUES[old][1]:
            continue
        others = [color for color in TARGETS if _away(color, hue.degrees) >= _APART]
        new = others[int(thing.mask.sum()) % len(others)]  # any of them, always the same
        turned = recolour(image.image, thing.mask, HUES[new][0] - hue.degrees)
        return Change("recolour", turned, thing.mask, old, new)
    return None


def _hsv(image: Image.Image) -> np.ndarray:
    """float64 [height, width, 3]: degrees, and saturation and value in 0..1."""
    return np.asarray(image.convert("HSV")).astype(np.float64) * (360 / 256, 1 / 255, 1 / 255)


def _away(color: str, degrees: float) -> float:
    return float(abs(_turn(HUES[color][0], degrees)))


def _turn(start: float, end: np.ndarray | float) -> np.ndarray:
    """Degrees from one hue to another, the short way: -180 to 180."""
    return (np.asarray(end) - start + 180) % 360 - 180
