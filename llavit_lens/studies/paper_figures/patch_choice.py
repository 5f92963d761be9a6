"""Which patches are drawn where none are named: by a rule that does not look at any word.

An image with truth: the middle patch of each of the largest things, and one of each background.
Other images: the middle of each quarter of what the model sees.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from llavit_lens.images.layout import VisualLayout

BY_TRUTH = (
    "the middle one of each of the three largest things and, to make four, of each background the "
    "one furthest from all else"
)
BY_QUARTER = "the middle of each quarter of the image"
BY_HAND = "chosen by hand"

Cell = tuple[int, int, int | None]
"""(row, column, tile); None: the tile that shows the whole image."""


def patches_by_truth(
    labels: np.ndarray, middles: Sequence[tuple[float, float]], unclear: Collection[int], count: int
) -> list[Cell]:
    """The patch nearest to the middle of each thing, largest things first, then the backgrounds'.

    At most `count`, and at least one of a background if there is one. Of a background it is the
    patch that is furthest from all other things and from the edges; the first of several.

    Args:
        labels: int [rows, cols], of each patch: a thing's number, from 0; negative: a kind of
            background.
        middles: of each thing, (row, column) of its middle, in patches from the top left corner.
        unclear: numbers in `labels` of patches that show nothing clearly; never chosen.
    """
    numbers, sizes = (values.tolist() for values in np.unique(labels, return_counts=True))
    size = {n: s for n, s in zip(numbers, sizes, strict=True) if n not in unclear}
    by_size = sorted(size, key=lambda number: (-size[number], abs(number)))
    things, grounds = [n for n in by_size if n >= 0], [n for n in by_size if n < 0]
    cells: list[Cell] = []
    for number in [*things[: count - bool(grounds)], *grounds][:count]:
        region = np.argwhere(labels == number)
        if number >= 0:
            worst = ((region + 0.5 - middles[number]) ** 2).sum(axis=1)
        else:
            worst = -_depth(labels, number, region)
        # rounded, so that of patches that are equally good the first is taken everywhere
        row, col = region[np.round(worst, 6).argmin()].tolist()
        cells.append((row, col, 0))
    return cells


def patches_by_quarter(layout: VisualLayout) -> list[Cell]:
    """The patches nearest to the middles of the four quarters of what the model sees.

    Of the tile that shows the whole image; from the top left in reading order.
    """
    cells = layout.of_tile()
    cells = cells[layout.on_image[cells]]
    boxes = layout.boxes[cells]
    start, end = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    nearest_cells: list[Cell] = []
    for down in (0.25, 0.75):
        for across in (0.25, 0.75):
            point = start + (end - start) * (across, down)
            nearest = cells[np.round(((middles - point) ** 2).sum(axis=1), 6).argmin()]
            place = layout.row[nearest], layout.col[nearest], layout.tile[nearest]
            nearest_cells.append((int(place[0]), int(place[1]), int(place[2])))
    return list(dict.fromkeys(nearest_cells))


def _depth(labels: np.ndarray, number: int, region: np.ndarray) -> np.ndarray:
    """float [n], distance of each cell of a region to the nearest cell that is not of it."""
    other = np.argwhere(np.pad(labels != number, 1, constant_values=True)) - 1
    return np.linalg.norm(region[:, None] - other[None], axis=2).min(axis=1)
