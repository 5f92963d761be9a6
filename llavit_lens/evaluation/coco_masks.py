"""Segmentations of COCO's annotation files as masks: polygons, run lengths, or the box alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeGuard

import numpy as np

_BEYOND = 1e9  # pixels, or places of them: no picture is as large


def mask_of(annotation: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """bool [height, width]: the pixels of an annotation, from its segmentation or else its box.

    Raises:
        ValueError: it has neither, or one that is malformed; the message says what is wrong.
    """
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, Mapping):
        return _runs(segmentation, height, width)
    if segmentation:
        return _polygons(segmentation, height, width)
    if "bbox" in annotation:
        return _box(annotation["bbox"], height, width)
    raise ValueError("it has neither a segmentation nor a bbox")


def _polygons(polygons: Any, height: int, width: int) -> np.ndarray:
    """The pixels whose centers lie in any of the polygons."""
    mask = np.zeros((height, width), bool)
    rows = np.arange(height)[:, None] + 0.5
    for polygon in polygons if isinstance(polygons, Sequence) else [None]:
        if not _are_numbers(polygon) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(
                "a polygon is a list of numbers x, y, x, y, … of three corners or more"
            )
        x, y = np.array(polygon, np.float64).reshape(-1, 2).T
        next_x, next_y = np.roll(x, -1), np.roll(y, -1)
        row, edge = np.nonzero((y <= rows) != (next_y <= rows))
        share = (rows[row, 0] - y[edge]) / (next_y - y)[edge]
        crossing = x[edge] + share * (next_x - x)[edge]
        # a center is inside where an odd number of edges is crossed to the left of it
        crossed = np.zeros((height, width + 1), np.int64)
        np.add.at(crossed, (row, np.ceil(crossing - 0.5).clip(0, width).astype(np.int64)), 1)
        mask |= crossed[:, :width].cumsum(1) % 2 == 1
    return mask


def _box(box: Any, height: int, width: int) -> np.ndarray:
    if not _are_numbers(box) or len(box) != 4 or box[2] <= 0 or box[3] <= 0:
        raise ValueError("a bbox is four numbers: left, top, width, height, the last two above 0")
    left, top, across, down = box
    # pixels whose centers lie in it
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    inside_x = (x >= left) & (x < left + across)
    inside_y = (y >= top) & (y < top + down)
    return inside_y[:, None] & inside_x[None]


def _runs(segmentation: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """Lengths of runs of zeros and ones in turn, down the columns."""
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if size != [height, width]:
        raise ValueError(f"its run lengths are for {size}, the picture has {[height, width]}")
    lengths = _decompress(counts) if isinstance(counts, str) else counts
    if not _are_numbers(lengths) or any(n < 0 or n != int(n) for n in lengths):
        raise ValueError("run lengths are whole numbers, 0 or more, or COCO's string of them")
    if sum(lengths) != height * width:
        raise ValueError(f"its run lengths make {sum(lengths)} pixels, not {height * width}")
    ends = np.cumsum([0, *map(int, lengths)])
    flat = np.zeros(height * width, bool)
    for number, (start, end) in enumerate(pairwise(ends)):
        flat[start:end] = number % 2
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
            raise ValueError(f"its run lengths hold {character!r}, which is none of COCO's letters")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("its run lengths are cut off")
    return numbers


def _are_numbers(values: Any) -> TypeGuard[Sequence[float]]:
    """Whether they may be pixels: no NaN, which is below nothing, and nothing beyond reason."""
    return isinstance(values, Sequence) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _BEYOND
        for value in values
    )
