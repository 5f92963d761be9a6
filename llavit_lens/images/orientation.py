"""Which way is up: one rule for every image, and for labels that were made on it.

A file, its bytes, or a Pillow image just as `Image.open` gave it is shown upright: its EXIF
orientation is applied once. Pixels that were changed after opening are taken as they are: an
array, or a Pillow image that was made from another one. `rotate`, `convert`, `crop` or `copy` keep
the tag of the file, even where the pixels have been turned, so the tag says nothing there.

All that is given in pixels, boxes and masks, refers to the upright image. With
`orientation="stored"` it refers to the pixels as the file stores them, and is turned with them.
(Pillow turns a TIFF when it decodes it, and forgets that it did: for stored pixels of one, give its
file, not a Pillow image that has been decoded.)
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Literal

import numpy as np
from PIL import Image, ImageFile

from llavit_lens.errors import ConfigurationError

Orientation = Literal["upright", "stored"]
"""Which pixels boxes and masks refer to: of the image as it is shown, or as its file stores it."""

UPRIGHT = 1
"""The EXIF orientation that turns nothing."""

_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def exif_orientation(image: Image.Image) -> int:
    """1 to 8, by which the pixels of an image still have to be turned; 1 for upright ones.

    A Pillow image that is no file any more is never turned. If it still has the tag of its file,
    a warning says so.
    """
    tag = _tag_of(image)
    if tag != UPRIGHT and not isinstance(image, ImageFile.ImageFile):
        warnings.warn(
            f"a Pillow image that was made from another one still has its EXIF orientation, {tag}; "
            "its pixels are taken as they are. If they do not stand upright yet, give the file, or "
            "ImageOps.exif_transpose(image), which also removes the tag",
            stacklevel=2,
        )
        return UPRIGHT
    return tag


def upright_image(image: Image.Image, tag: int) -> Image.Image:
    """The pixels of an image, turned by an EXIF orientation."""
    return image if tag == UPRIGHT else image.transpose(_TRANSPOSE[tag])


def upright_mask(mask: np.ndarray, tag: int) -> np.ndarray:
    """A mask [height, width] of stored pixels, turned with them by an EXIF orientation."""
    if tag in (5, 6, 7, 8):
        mask = mask.T
    if tag in (3, 4, 7, 8):
        mask = mask[::-1]
    if tag in (2, 3, 6, 7):
        mask = mask[:, ::-1]
    return mask


def upright_box(
    box: tuple[float, float, float, float], tag: int, size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) in stored pixels, turned with them; `size` is the upright one."""
    left, top, right, bottom = box
    width, height = size
    if tag in (5, 6, 7, 8):
        left, top, right, bottom = top, left, bottom, right
    if tag in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    if tag in (2, 3, 6, 7):
        left, right = width - right, width - left
    return left, top, right, bottom


def stored_size(size: tuple[int, int], tag: int) -> tuple[int, int]:
    """(width, height) of the stored pixels of an image with the upright size `size`."""
    return size[::-1] if tag in (5, 6, 7, 8) else size


def check_orientation(orientation: object) -> None:
    """Raise ConfigurationError for what is neither None nor an `Orientation`."""
    if orientation not in (None, "upright", "stored"):
        raise ConfigurationError(
            f"orientation={orientation!r}: say 'upright' or 'stored' (which pixels the labels "
            "refer to), or leave it out"
        )


def labels_orientation(
    tag: int,
    size: tuple[int, int],
    labels_size: tuple[int, int] | None,
    orientation: Orientation | None,
) -> Orientation:
    """Which pixels labels refer to: what is said, else what their size shows, else the upright.

    A warning is given where nothing is said and the size does not show it.

    Args:
        tag: EXIF orientation by which the image was turned.
        size: (width, height) of the upright image.
        labels_size: (width, height) of masks; None for boxes, which have none.
        orientation: what the caller says.
    """
    if orientation is not None or tag == UPRIGHT:
        return orientation or "upright"
    stored = stored_size(size, tag)
    if stored != size and labels_size is not None:
        return "stored" if labels_size == stored else "upright"
    warnings.warn(
        f"the image was turned upright by its EXIF orientation, {tag}, and its labels (boxes or "
        "masks) are taken to refer to the upright image; say orientation='upright' if they do, or "
        "orientation='stored' if they were made on the pixels as the file stores them",
        stacklevel=2,
    )
    return "upright"


def _tag_of(image: Image.Image) -> int:
    # a garbled EXIF block says nothing about the pixels; Pillow raises whatever its parser meets
    with contextlib.suppress(Exception):
        tag = image.getexif().get(_TAG)
        return int(tag) if tag in _TRANSPOSE else UPRIGHT
    return UPRIGHT
