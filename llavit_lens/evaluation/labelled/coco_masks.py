"""Segmentations of COCO's annotation files as masks: polygons, run lengths, or the box alone.

A pixel is in a shape where its center is. Our own code and not pycocotools, whose C code trusts
what it reads: a cut-off or forged string of run lengths, or a far corner, ends the process or
overwrites memory, so that all would have to be decoded here first to be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

_BEYOND = 1e9  # pixels, or places of them: no image is as large
_AT_ONCE = 10_000_000  # pairs of an edge and a row that are looked at together
_ROUNDING = 1.0  # pixels by which tools write past the edge
_LONGEST = 60  # bits of a run length: more is no length of any image
_SMALL = 4  # pixels of a side: coordinates of 0 to 1 may be pixels of such an image


class Shape(NamedTuple):
    """The pixels of an annotation.

    Attributes:
        mask: bool [height, width].
        left_out: how many polygons of it are left out as malformed.
        is_cut: whether it reached beyond the image, by more than rounding.
    """

    mask: np.ndarray
    left_out: int = 0
    is_cut: bool = False


def shape_of(annotation: Mapping[str, Any], height: int, width: int) -> Shape:
    """The pixels of an annotation in an image, from its segmentation or else from its box.

    What lies off the image is cut off. Polygons that are malformed are left out where others are
    good; where none has three corners, the box counts.

    Raises:
        ValueError: it has no pixel of the image, or is malformed; the message says why, in the
            same words for all annotations of which it is true.
    """
    segmentation = annotation.get("segmentation")
    shape: Shape | None = None
    if isinstance(segmentation, Mapping) and segmentation:
        shape = Shape(_runs(segmentation, height, width))
    elif segmentation:
        shape = _polygons(_list_of_polygons(segmentation), height, width)
    if shape is None:
        mask = box_of(annotation, height, width)
        left, top, across, down = map(_number, annotation["bbox"])
        edges = np.array([[left, top], [left + across, top + down]])
        shape = Shape(mask, is_cut=_reaches_beyond(mask, edges))
    if not shape.mask.any():
        raise ValueError("no pixel of the image is in it")
    return shape


def box_of(annotation: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """bool [height, width]: the pixels in the box of an annotation.

    Raises:
        ValueError: it has no box, or one that is malformed.
    """
    if annotation.get("bbox") is None:
        raise ValueError("it has neither a segmentation nor a bbox")
    box = _numbers(annotation["bbox"])
    if box is None or len(box) != 4:
        raise ValueError("a bbox is four numbers: left, top, width, height")
    left, top, across, down = box
    if across <= 0 or down <= 0:
        raise ValueError("its bbox has no area, and it has no segmentation")
    _check_pixels(box, height, width)
    # pixels whose centers lie in it
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    inside_x = (x >= left) & (x < left + across)
    inside_y = (y >= top) & (y < top + down)
    return inside_y[:, None] & inside_x[None]


def _check_pixels(coordinates: np.ndarray, height: int, width: int) -> None:
    """Refuse what some tools write: shares of the image, which as pixels are one at its corner."""
    is_share = (coordinates >= 0) & (coordinates <= 1)
    if is_share.all() and max(height, width) > _SMALL:
        raise ValueError("its coordinates are shares of the image, not pixels")


def _list_of_polygons(segmentation: Any) -> list[Any]:
    """Some tools write the one polygon of an object without a list around it."""
    if not isinstance(segmentation, list):
        raise ValueError("a segmentation is a list of polygons, or run lengths")
    return segmentation if isinstance(segmentation[0], list) else [segmentation]


def _polygons(polygons: Sequence[Any], height: int, width: int) -> Shape | None:
    """The pixels in any of the polygons; None if all have fewer than three corners."""
    corners = [_numbers(polygon) for polygon in polygons]
    whole = [polygon for polygon in corners if polygon is not None and len(polygon) % 2 == 0]
    areas = [polygon for polygon in whole if len(polygon) >= 6]
    if not areas:
        if len(whole) == len(polygons):
            return None
        raise ValueError("a polygon is a list of numbers x, y, x, y, … of three corners or more")
    _check_pixels(np.concatenate(areas), height, width)
    mask = np.zeros((height, width), bool)
    for polygon in areas:
        _fill(mask, polygon.reshape(-1, 2))
    is_cut = any(_reaches_beyond(mask, polygon.reshape(-1, 2)) for polygon in areas)
    return Shape(mask, len(polygons) - len(areas), is_cut)


def _reaches_beyond(mask: np.ndarray, corners: np.ndarray) -> bool:
    """Whether some of the corners [n, 2] of (x, y) lie off the image."""
    size = np.array(mask.shape[::-1])
    return bool((corners < -_ROUNDING).any() or (corners > size + _ROUNDING).any())


def _fill(mask: np.ndarray, corners: np.ndarray) -> None:
    """Set the pixels whose centers lie in a polygon [n, 2] of (x, y), by the even-odd rule."""
    low, high = corners.min(0), corners.max(0)
    size = np.array(mask.shape[::-1])
    left, top = np.floor(low).clip(0, size).astype(np.int64)
    right, bottom = np.ceil(high).clip(0, size).astype(np.int64)
    if left >= right or top >= bottom:
        return
    rows = np.arange(top, bottom)[:, None] + 0.5
    # how many edges are crossed to the left of a center, modulo 256: odd is inside
    crossed = np.zeros((bottom - top, right - left + 1), np.uint8)
    ends = np.roll(corners, -1, 0)
    step = max(1, _AT_ONCE // len(rows))
    for first in range(0, len(corners), step):
        (x, y), (next_x, next_y) = corners[first : first + step].T, ends[first : first + step].T
        row, edge = np.nonzero((y <= rows) != (next_y <= rows))
        share = (rows[row, 0] - y[edge]) / (next_y - y)[edge]
        crossing = x[edge] + share * (next_x - x)[edge]
        col = np.ceil(crossing - 0.5).clip(left, right).astype(np.int64) - left
        np.add.at(crossed, (row, col), 1)
    inside = crossed.cumsum(1, dtype=np.uint8)[:, :-1] % 2 == 1
    mask[top:bottom, left:right] |= inside


def _runs(segmentation: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """Lengths of runs of zeros and ones in turn, down the columns."""
    size, counts = _numbers(segmentation.get("size")), segmentation.get("counts")
    if size is None or size.tolist() != [height, width]:
        raise ValueError("its run lengths are for another size (height, width) than the image's")
    lengths = _numbers(_decompress(counts) if isinstance(counts, str) else counts)
    if lengths is None or (lengths < 0).any() or (lengths % 1).any():
        raise ValueError("run lengths are whole numbers, 0 or more, or COCO's string of them")
    if lengths.sum() != height * width:
        raise ValueError("its run lengths do not add up to the pixels of the image")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths.astype(np.int64))
    return flat.reshape(width, height).T.copy()


def _decompress(text: str) -> list[int]:
    """COCO's compressed run lengths.

    Five bits to a character, lowest first, from "0" on, with a sixth that says that more follow;
    the last one's highest bit is the sign. From the fourth number on, what is written is the
    difference to the last but one.
    """
    numbers: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError("its run lengths hold a character that is none of COCO's letters")
        value |= (bits & 31) << shift
        shift += 5
        if shift > _LONGEST:
            raise ValueError("its run lengths are no lengths of any image")
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("its run lengths are cut off")
    return numbers


def _numbers(values: Any) -> np.ndarray | None:
    """float64 [n] of a list of numbers, or of texts of them; None if it is none.

    No NaN, which is below nothing, and nothing beyond reason.
    """
    if not isinstance(values, list):
        return None
    numbers = [_number(value) for value in values]
    if any(not abs(number) < _BEYOND for number in numbers):
        return None
    return np.array(numbers, np.float64)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return float("nan")
    try:
        return float(value)
    except (ValueError, OverflowError):  # a text of something else; a number beyond all floats
        return float("nan")
