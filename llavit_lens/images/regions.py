"""Regions of an image, in pixels of the upright original, and the visual tokens that show them.

Which way is up: see `llavit_lens.images.orientation`. A region that was made on the pixels
as the file stores them says so with orientation="stored".

A patch belongs to a region that covers at least half of what the patch shows of the image.
`share` asks for another part of it; with share=0 a region has every patch that it touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.orientation import (
    Orientation,
    check_orientation,
    labels_orientation,
    upright_box,
    upright_mask,
)
from llavit_lens.inputs import whole_number

if TYPE_CHECKING:
    from torch import Tensor

HALF = 0.5
"""The share of a patch that a region has to cover, unless it says otherwise."""

_ROUNDING = 1e-9
"""A smaller share of a patch is rounding of its edges, not overlap."""


@dataclass(frozen=True)
class Box:
    """A rectangle: the patches that it covers by `share` or more, half by default.

    Attributes:
        left, top, right, bottom: edges in pixels of the original image.
        share: of a patch's own area on the image, 0 to 1; with 0, every patch that it touches.
        orientation: "upright" or "stored", the pixels that it refers to; without it the upright
            ones, with a warning where the EXIF orientation of the file is another one.
        image: of a prompt with several images, the number of its image, from 0.
    """

    left: float
    top: float
    right: float
    bottom: float
    share: float = HALF
    orientation: Orientation | None = None
    image: int | None = None

    def __post_init__(self) -> None:
        _check_share(self.share)
        check_orientation(self.orientation)
        if not (self.left < self.right and self.top < self.bottom):
            raise ConfigurationError(f"{self} is empty; a box is (left, top, right, bottom).")

    def positions(self, layout: VisualLayout) -> np.ndarray:
        """int64, positions in the token sequence, in every tile of the image.

        Raises:
            ConfigurationError: no patch shows the region.
        """
        return layout.positions[cells_of(layout, self)]

    def area(self, layout: VisualLayout) -> np.ndarray:
        """float64 [n], how much of each cell it covers, in square pixels.

        Raises:
            ConfigurationError: the layout has no map.
        """
        layout.check_map()
        tag, size = layout.orientation, layout.image_size
        edges = (self.left, self.top, self.right, self.bottom)
        if labels_orientation(tag, size, None, self.orientation) == "stored":
            edges = upright_box(edges, tag, size)
        left, top, right, bottom = layout.boxes.T
        across = np.minimum(right, edges[2]) - np.maximum(left, edges[0])
        down = np.minimum(bottom, edges[3]) - np.maximum(top, edges[1])
        return across.clip(0) * down.clip(0)


@dataclass(frozen=True, eq=False)
class Mask:
    """Any shape: the patches of which `share` or more, half by default, are True in `mask`.

    Attributes:
        mask: bool [height, width] of the original image.
        share: as in `Box`.
        orientation: as in `Box`; without it the size of the mask shows it, where the sides of the
            image change places.
        image: as in `Box`.
    """

    mask: np.ndarray
    share: float = HALF
    orientation: Orientation | None = None
    image: int | None = None

    def __post_init__(self) -> None:
        _check_share(self.share)
        check_orientation(self.orientation)
        mask = np.asarray(self.mask)
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise ConfigurationError(
                f"a mask of pixels is bool [height, width], not {mask.dtype} {list(mask.shape)}."
            )
        object.__setattr__(self, "mask", mask)

    def __repr__(self) -> str:
        return f"Mask(mask of {int(self.mask.sum())} pixels, share={self.share})"

    def positions(self, layout: VisualLayout) -> np.ndarray:
        """As `Box.positions`; a pixel that a patch covers in part counts in part.

        Raises:
            ConfigurationError: no patch shows the region; the mask is not as large as the image.
        """
        return layout.positions[cells_of(layout, self)]

    def area(self, layout: VisualLayout) -> np.ndarray:
        """As `Box.area`.

        Raises:
            ConfigurationError: the mask is not as large as the image, or there is no map.
        """
        layout.check_map()
        mask, tag, size = self.mask, layout.orientation, layout.image_size
        if labels_orientation(tag, size, mask.shape[::-1], self.orientation) == "stored":
            mask = upright_mask(mask, tag)
        height, width = mask.shape
        if (width, height) != tuple(size):
            raise ConfigurationError(
                f"the mask of pixels is {width} x {height} (width x height), but the image is "
                f"{layout.image_size[0]} x {layout.image_size[1]}; give a mask of the original."
            )
        # area[y, x] of the mask above and left of a point, between whole pixels in proportion
        area = np.zeros((height + 1, width + 1))
        area[1:, 1:] = mask.cumsum(0, dtype=np.float64).cumsum(1)
        left, top, right, bottom = layout.boxes.T
        return (
            _between(area, bottom, right)
            - _between(area, top, right)
            - _between(area, bottom, left)
            + _between(area, top, left)
        )


Cell = tuple[int, int] | tuple[int, int, int]
"""(row, column) in the grid of the whole image, or (row, column, tile)."""

Region: TypeAlias = (
    "Box | Mask | tuple[float, float, float, float] | np.ndarray | Tensor | Sequence[Cell]"
)
"""A `Box` or a plain (left, top, right, bottom); `Mask` or a plain bool mask [height, width];
both hold the patches that they cover by half unless they say otherwise. Or cells, in an order of
one's own."""


def area_of(region: Any) -> Box | Mask | None:
    """The box or mask that a region is; None if it is none, so that only cells are left.

    Raises:
        ConfigurationError: a box without area, or a mask that is not [height, width].
    """
    if isinstance(region, Box | Mask):
        return region
    if hasattr(region, "__array__"):  # an array or a tensor
        values = np.asarray(region)
        if values.dtype == np.bool_:
            return Mask(values)
        region = values.tolist()
    if isinstance(region, Sequence) and len(region) == 4 and all(map(_is_number, region)):
        return Box(*region)
    return None


def layout_with(region: Region, layouts: Sequence[VisualLayout]) -> VisualLayout:
    """The layout of the image that a region is of, among those of a prompt.

    Raises:
        ConfigurationError: there are several, and it says of none, or of one that there is not.
    """
    number = getattr(region, "image", None)
    if number is None and len(layouts) == 1:
        return layouts[0]
    if number is None:
        raise ConfigurationError(
            f"the prompt is about {len(layouts)} images: say which one the region is of, as in "
            "Box(left, top, right, bottom, image=0)"
        )
    if not 0 <= whole_number(number, "image") < len(layouts):
        raise ConfigurationError(
            f"{region}: there is no image {number}; the prompt is about {len(layouts)}"
        )
    return layouts[number]


def cells_of(layout: VisualLayout, region: Region) -> np.ndarray:
    """Indices in 0..n-1 of the cells of a region: int64, in the given order or in the layout's.

    Boxes and masks hold the cells of which they cover half, or their own `share`, or more; where
    the model sees an image in several tiles, cells of all tiles, the whole image's too.

    Raises:
        ConfigurationError: a region without cells, cells that are not there or doubled, a mask of
            another size than the image, or a layout without a map.
    """
    area = area_of(region)
    if area is None:
        return _named_cells(layout, region)
    left, top, right, bottom = layout.boxes.T
    whole = (right - left) * (bottom - top)
    enough = max(area.share - _ROUNDING, _ROUNDING) * whole
    cells = np.flatnonzero(layout.on_image & (area.area(layout) >= enough))
    if len(cells) == 0:
        width, height = layout.image_size
        raise ConfigurationError(
            f"{area} covers no patch by its share, {area.share}: the image is {width} x {height} "
            f"pixels, and a patch about {whole.max(initial=0) ** 0.5:.0f} wide (share=0 takes "
            "every patch that is touched)."
        )
    return cells


def shape_of(layout: VisualLayout, cells: np.ndarray) -> list[tuple[int, int, int]]:
    """(tile, row, column) of the cells, counted from their first tile, row and column.

    It is the same for two regions of one shape.
    """
    shape = []
    for number, tile in enumerate(dict.fromkeys(layout.tile[cells].tolist())):
        of_tile = cells[layout.tile[cells] == tile]
        row, col = layout.row[of_tile], layout.col[of_tile]
        shape += [
            (number, int(r), int(c)) for r, c in zip(row - row.min(), col - col.min(), strict=True)
        ]
    return shape


def _named_cells(layout: VisualLayout, region: Any) -> np.ndarray:
    cells = list(region) if isinstance(region, Sequence) and len(region) else [region]
    for cell in cells:
        if not isinstance(cell, Sequence) or len(cell) not in (2, 3) or isinstance(cell, str):
            raise ConfigurationError(
                f"{cell!r} is no cell: give cells as (row, column) or (row, column, tile), a box "
                "as (left, top, right, bottom) in pixels, or a mask as a bool array [height, width]"
            )
    indices = np.array([layout.index(*cell) for cell in cells], dtype=np.int64)
    if len(set(indices.tolist())) < len(indices):
        raise ConfigurationError(f"the same cell is named twice: {cells}")
    return indices


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _between(area: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    row = np.minimum(y.astype(np.int64), area.shape[0] - 2)
    col = np.minimum(x.astype(np.int64), area.shape[1] - 2)
    down, across = y - row, x - col
    upper = area[row, col] * (1 - across) + area[row, col + 1] * across
    lower = area[row + 1, col] * (1 - across) + area[row + 1, col + 1] * across
    return upper * (1 - down) + lower * down


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise ConfigurationError(f"share={share} is not a share of a patch, 0 to 1.")
