"""Layouts made by hand: several tiles, of which the first, the last or none is the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.words import Words

View = tuple[tuple[float, float, float, float], tuple[int, int]]
"""The part of the image (left, top, right, bottom) that a tile shows, and its (rows, cols)."""


def layout_of_views(
    views: Sequence[View], size: tuple[int, int], whole: int | None = 0, first: int = 5
) -> VisualLayout:
    """Tiles one after the other in the sequence, each in reading order."""
    tiles, rows, cols, boxes = [], [], [], []
    for number, ((left, top, right, bottom), grid) in enumerate(views):
        row, col = (axis.ravel() for axis in np.indices(grid))
        x, y = (right - left) / grid[1], (bottom - top) / grid[0]
        edges = [left + col * x, top + row * y, left + (col + 1) * x, top + (row + 1) * y]
        tiles.append(np.full(row.size, number))
        rows.append(row)
        cols.append(col)
        boxes.append(np.stack(edges, axis=1))
    tile = np.concatenate(tiles)
    return VisualLayout(
        positions=np.arange(first, first + len(tile)),
        tile=tile,
        row=np.concatenate(rows),
        col=np.concatenate(cols),
        grid=tuple(grid for _, grid in views),
        image_size=size,
        boxes=np.concatenate(boxes).clip(0, [*size, *size]),
        whole=whole,
    )


def quarters(whole: str = "last", side: int = 4, size: tuple[int, int] = (80, 80)) -> VisualLayout:
    """Four tiles of side x side patches, and one of the whole image: "first", "last" or "none"."""
    width, height = size
    views: list[View] = [
        ((x * width / 2, y * height / 2, (x + 1) * width / 2, (y + 1) * height / 2), (side, side))
        for y in range(2)
        for x in range(2)
    ]
    all_of_it: View = ((0, 0, width, height), (side, side))
    if whole == "first":
        return layout_of_views([all_of_it, *views], size, 0)
    if whole == "last":
        return layout_of_views([*views, all_of_it], size, 4)
    return layout_of_views(views, size, None)


def words_on(words: Words, layout: VisualLayout) -> Words:
    """The words of `words`, again and again, on the tokens of another layout."""
    which = np.arange(len(layout)) % len(words.layout)
    image = None if words.image is None else words.image.resize(layout.image_size)
    return replace(
        words,
        ids=words.ids[:, which],
        values=words.values[:, which],
        logsumexp=None if words.logsumexp is None else words.logsumexp[:, which],
        entropy=None if words.entropy is None else words.entropy[:, which],
        layout=layout,
        image=image,
    )
