"""An image in tiles of one size, each a grid of its own, with a view of the whole image or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.families.views import (
    Region,
    View,
    grid_of,
    in_views,
    seen_part,
    whole_region,
)


class Tile(NamedTuple):
    """What one tile of `pixel_values` shows."""

    region: Region
    whole: bool = False


TileRule = Callable[[Reading, tuple[int, int]], Sequence[Tile]]
"""(reading, image_size) -> the tiles of an image of (width, height), in the processor's order."""


def tiles(rule: TileRule) -> Callable[[Reading], VisualLayout]:
    """The layout function of a family that cuts images by `rule`.

    `pixel_values` is [..., tiles, 3, height, width], and each tile becomes as many tokens.
    """

    def layout(reading: Reading) -> VisualLayout:
        shape = tuple(reading.inputs["pixel_values"].shape)
        made = 1
        for count in shape[:-3]:
            made *= count
        every = [rule(reading, size) for size in reading.image_sizes]
        expected = sum(len(one) for one in every)
        if made != expected:
            raise ConfigurationError(
                f"images of (width, height) {list(reading.image_sizes)} make {expected} tiles, "
                f"but {type(reading.processor).__name__} made {made}: its settings were changed "
                "in a way that is not known here"
            )
        left = sum(len(one) for one in every[reading.index :])
        tokens, rest = divmod(len(reading.positions), left)
        if rest:
            raise ConfigurationError(
                f"{len(reading.positions)} visual tokens are no equal shares of {left} tiles"
            )
        rows, cols = grid_of(tokens, *shape[-2:])
        views = [
            View(seen_part(tile.region, reading.config, *shape[-2:]), rows, cols, tile.whole)
            for tile in every[reading.index]
        ]
        return in_views(reading, views)

    return layout


def partition(region: Region, rows: int, cols: int) -> list[Tile]:
    """The tiles of a region that is cut into rows x cols equal parts, row by row."""
    left, top, right, bottom = region
    wide, high = (right - left) / cols, (bottom - top) / rows
    return [
        Tile(
            (
                left + col * wide,
                top + row * high,
                left + (col + 1) * wide,
                top + (row + 1) * high,
            )
        )
        for row in range(rows)
        for col in range(cols)
    ]


def whole_tile(image_size: tuple[int, int]) -> Tile:
    """A tile that shows the whole image, stretched."""
    return Tile(whole_region(image_size), whole=True)


def tile_size(reading: Reading) -> tuple[int, int]:
    """(height, width) of the tiles that the processor made, which its `size` has to name too.

    Raises:
        ConfigurationError: they differ.
    """
    height, width = reading.inputs["pixel_values"].shape[-2:]
    size = dict(reading.setting("size"))
    if (size.get("height"), size.get("width")) != (height, width):
        raise ConfigurationError(
            f"{type(reading.image_processor).__name__} with size {size} made tiles of "
            f"{height} x {width} pixels in a way that is not known here"
        )
    return int(height), int(width)
