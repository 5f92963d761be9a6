"""Layouts of families that are not described here: what their tiles or patches show is measured."""

from __future__ import annotations

from dataclasses import replace
from json import dumps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.grid_thw import merged_grid
from llavit_lens.vlm.families.measure import fitted_edges, measure, snapped
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.families.views import (
    Region,
    View,
    grid_of,
    in_views,
    patch_size,
    seen_part,
)

_WHOLE = 0.98
"""A tile that shows this share of both sides shows the whole image."""
_KEPT = 64
"""Image sizes whose regions are kept for a processor."""

_KNOWN: WeakKeyDictionary[Any, dict[str, tuple[Region, ...]]] = WeakKeyDictionary()


def measured_tiles(reading: Reading) -> VisualLayout:
    """Tiles of one size, each with as many tokens, in the order of `pixel_values` [..., 3, h, w].

    An image in one piece is one tile.

    Raises:
        ConfigurationError: the tokens are no equal shares of the tiles, or no square patches of
            them; or as `measure` and `fitted_edges`.
    """
    height, width = reading.inputs["pixel_values"].shape[-2:]
    left = range(reading.index, len(reading.image_sizes))
    every = [_tile_regions(replace(reading, index=index)) for index in left]
    tokens, rest = divmod(len(reading.positions), sum(len(regions) for regions in every))
    if rest:
        raise ConfigurationError(
            f"{len(reading.positions)} visual tokens are no equal shares of "
            f"{sum(len(regions) for regions in every)} tiles"
        )
    rows, cols = grid_of(tokens, height, width)
    _check_patches(reading.config, rows, cols, height, width)
    views = [
        View(
            seen_part(region, reading.config, height, width),
            rows,
            cols,
            whole=len(every[0]) > 1 and _is_whole(region, reading.image_size),
        )
        for region in every[0]
    ]
    return in_views(reading, views, precision="measured")


def measured_thw(reading: Reading) -> VisualLayout:
    """One grid whose shape is `image_grid_thw`; what it covers is measured.

    Raises:
        ConfigurationError: as `merged_grid`, `measure` and `fitted_edges`; or patches stand
            neither in reading order nor in blocks that become one token.
    """
    rows, cols = merged_grid(reading)
    _, height, width = reading.row("image_grid_thw")
    before = sum(
        int(np.prod([int(side) for side in grid]))
        for grid in reading.inputs["image_grid_thw"][: reading.index]
    )
    found = measure(reading)
    x, y = (
        where.reshape(len(where), -1)[before : before + height * width].mean(1)
        for where in (found.x, found.y)
    )
    merge = height // rows
    region = _region_of_patches(x, y, (height, width), merge, reading.image_size)
    return in_views(reading, [View(region, rows, cols)], precision="measured")


def _tile_regions(reading: Reading) -> tuple[Region, ...]:
    """What each tile of an image shows, kept for the processor as it is set now."""
    own = reading.image_processor
    settings = own.to_dict() if hasattr(own, "to_dict") else vars(own)
    asked = [reading.image_sizes, reading.index, dict(reading.options), settings, reading.text]
    key = dumps(asked, default=str)
    known = _KNOWN.setdefault(reading.processor, {})
    if key not in known:
        if len(known) >= _KEPT:
            known.pop(next(iter(known)))
        known[key] = _measured_regions(reading)
    return known[key]


def _measured_regions(reading: Reading) -> tuple[Region, ...]:
    found = measure(reading)
    width, height = reading.image_size
    regions: list[Region] = []
    xs, ys = (where.reshape(-1, *where.shape[-3:]) for where in (found.x, found.y))
    for x, y in zip(xs, ys, strict=True):
        if not np.isfinite(x).any():
            continue  # a tile of padding, or of another image
        left, right = snapped(*fitted_edges(_mean(x, (0, 1)), width), width)
        top, bottom = snapped(*fitted_edges(_mean(y, (0, 2)), height), height)
        regions.append((left, top, right, bottom))
    return tuple(regions)


def _mean(values: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
    """The mean over two axes, of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axes)
    total = np.where(known, values, 0).sum(axes)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _is_whole(region: Region, image_size: tuple[int, int]) -> bool:
    left, top, right, bottom = region
    return right - left > _WHOLE * image_size[0] and bottom - top > _WHOLE * image_size[1]


def _check_patches(config: Any, rows: int, cols: int, height: int, width: int) -> None:
    """Raise ConfigurationError unless tokens can be patches, or equal groups of patches.

    Queries of a resampler can be as many as the cells of a square; a patch size tells them apart
    where it does not divide evenly.
    """
    patch = patch_size(config)
    if patch is None:
        return
    if (height // patch) % rows or (width // patch) % cols:
        raise ConfigurationError(
            f"{rows} x {cols} visual tokens are no equal groups of the {height // patch} x "
            f"{width // patch} patches of a tile"
        )


def _region_of_patches(
    x: np.ndarray,
    y: np.ndarray,
    grid: tuple[int, int],
    merge: int,
    image_size: tuple[int, int],
) -> Region:
    """What a grid of patches covers; they stand in reading order, or in blocks of merge x merge."""
    height, width = grid
    straight = np.arange(height * width)
    blocks = straight.reshape(height // merge, width // merge, merge, merge)
    orders = [blocks.transpose(0, 2, 1, 3).reshape(grid), straight.reshape(grid)]
    errors = []
    for order in orders:
        try:
            left, right = _edges(x[order], image_size[0])
            top, bottom = _edges(y[order].T, image_size[1])
        except ConfigurationError as error:
            errors.append(error)
        else:
            return (left, top, right, bottom)
    raise errors[0]


def _edges(lines: np.ndarray, length: int) -> tuple[float, float]:
    """Edges of rows of patches, for the places of their patches: NaN where they show padding.

    Raises:
        ConfigurationError: the rows do not agree; or as `fitted_edges`.
    """
    line = _mean(lines[None], (0, 1))
    known = np.isfinite(lines)
    if not known.any() or np.abs(lines - line)[known].max() > 1 + 0.004 * length:
        raise ConfigurationError("the patches of the image are in no order that is known here")
    if known.all() and len(line) == 1:
        return 0.0, float(length)
    return snapped(*fitted_edges(line, length), length)
