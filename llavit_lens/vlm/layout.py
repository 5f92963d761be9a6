"""Where the visual tokens lie: in the token sequence, on the grid, and on the original picture.

Everything is read off what the processor returned and was configured to do; no other code knows
image sizes, patch sizes, token counts or placeholder ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.processing import makes_tiles, merge_type_of
from llavit_lens.model.tiles import NEWLINE, tile_grid, token_order
from llavit_lens.vlm.boxes import boxes_of, check_tiles, grid_of_tiles, stretched, whole_picture
from llavit_lens.vlm.orientation import UPRIGHT
from llavit_lens.vlm.whole import whole_number

Tile = int | Literal["grid"]
"""A tile by its number, or "grid": all but the base tile, which together show the picture again."""


def _nowhere() -> np.ndarray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class VisualLayout:
    """The n visual tokens of one image, in the order in which they stand in the sequence.

    A model that sees an image in several tiles (Any-Res) has the whole image as tile 0, the base
    tile, and in tiles 1, 2, … parts of a larger version of it, in reading order.

    Attributes:
        positions: int64 [n], indices in the token sequence.
        tile: int64 [n], which tile of the image (0 where the image is one tile).
        row, col: int64 [n], cell of the tile's patch grid, from the top left.
        grid: (rows, cols) of each tile.
        image_size: (width, height) of the original image in pixels.
        boxes: float64 [n, 4], (left, top, right, bottom) of each cell in pixels of the original
            image; of zero area where the cell shows only padding.
        off_picture: int64 [m], positions of visual tokens that are no patches: the newlines that
            end rows of tiles, or a class token. They lie nowhere, so they are not among the n.
        orientation: EXIF orientation (1 to 8) by which the image was turned to stand upright;
            `image_size` and `boxes` are those of the upright image.
    """

    positions: np.ndarray
    tile: np.ndarray
    row: np.ndarray
    col: np.ndarray
    grid: tuple[tuple[int, int], ...]
    image_size: tuple[int, int]
    boxes: np.ndarray
    off_picture: np.ndarray = field(default_factory=_nowhere)
    orientation: int = UPRIGHT

    def __len__(self) -> int:
        return len(self.positions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VisualLayout):
            return NotImplemented
        return (self.grid, self.image_size) == (other.grid, other.image_size) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("positions", "tile", "row", "col", "boxes", "off_picture")
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def on_picture(self) -> np.ndarray:
        """bool [n]: False where a cell shows only padding."""
        left, top, right, bottom = self.boxes.T
        return (left < right) & (top < bottom)

    def index(self, row: int, col: int, tile: int = 0) -> int:
        """Index in 0..n-1 of a cell. Negative rows and columns count from the end.

        Raises:
            ConfigurationError: there is no such cell.
        """
        row, col = whole_number(row, "row"), whole_number(col, "col")
        tile = whole_number(tile, "tile")
        if not 0 <= tile < len(self.grid):
            raise ConfigurationError(f"there is no tile {tile}: the image has {len(self.grid)}")
        rows, cols = self.grid[tile]
        if not (-rows <= row < rows and -cols <= col < cols):
            raise ConfigurationError(
                f"there is no patch at row {row}, column {col}: "
                f"the grid has {rows} rows and {cols} columns"
            )
        found = np.flatnonzero(
            (self.tile == tile) & (self.row == row % rows) & (self.col == col % cols)
        )
        if len(found) == 0:
            raise ConfigurationError(
                f"row {row}, column {col} of tile {tile} has no visual token: it lies in the "
                "padding around the image, which is left out"
            )
        return int(found[0])

    def of_tile(self, tile: Tile) -> np.ndarray:
        """int64, indices in 0..n-1 of the cells of one tile, or of the grid of tiles.

        Raises:
            ConfigurationError: there is no such tile.
        """
        last = len(self.grid) - 1
        if tile == "grid" and last > 0:
            return np.flatnonzero(self.tile > 0)
        if isinstance(tile, str) or not 0 <= tile <= last:
            tiles = "one tile, 0" if last == 0 else f"tiles 0 to {last}, or 'grid' for 1 to {last}"
            raise ConfigurationError(f"there is no tile {tile}: the image has {tiles}")
        return np.flatnonzero(self.tile == tile)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON; `from_dict` is its exact inverse."""
        return {
            "positions": self.positions.tolist(),
            "tile": self.tile.tolist(),
            "row": self.row.tolist(),
            "col": self.col.tolist(),
            "grid": [list(cells) for cells in self.grid],
            "image_size": list(self.image_size),
            "boxes": self.boxes.tolist(),
            "off_picture": self.off_picture.tolist(),
            "orientation": self.orientation,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> VisualLayout:
        """Inverse of `to_dict`."""
        integers = {
            name: np.array(fields[name], dtype=np.int64)
            for name in ("positions", "tile", "row", "col")
        }
        width, height = fields["image_size"]
        return cls(
            **integers,
            grid=tuple((rows, cols) for rows, cols in fields["grid"]),
            image_size=(width, height),
            boxes=np.array(fields["boxes"], dtype=np.float64).reshape(-1, 4),
            # not in files of earlier versions
            off_picture=np.array(fields.get("off_picture", []), dtype=np.int64),
            orientation=fields.get("orientation", UPRIGHT),
        )


def layout_of(
    inputs: Mapping[str, Any],
    processor: Any,
    image_token_id: int,
    image_size: tuple[int, int],
) -> VisualLayout:
    """Layout of the one image in `inputs`, for models of the LLaVA, LLaVA-NeXT and LLaViT families.

    Args:
        inputs: what the processor returned: `input_ids` [1, seq], `pixel_values`
            [1, 3, height, width], or [1, tiles, 3, height, width] with `image_sizes` [1, 2], and,
            where the family has them, `mm_token_type_ids` [1, seq] (1 = image).
        processor: the processor that made them.
        image_token_id: the placeholder's id, used when there are no `mm_token_type_ids`.
        image_size: (width, height) of the original image.

    Raises:
        ConfigurationError: the family lays its tokens out in a way that is not known here, or the
            visual tokens are not those of such an image.
    """
    shape = tuple(inputs["pixel_values"].shape)
    patch = getattr(processor, "patch_size", None)
    tiled = makes_tiles(getattr(processor, "image_processor", None))
    merge_type = merge_type_of(processor) if tiled else "one tile"
    if len(shape) != (5 if tiled else 4) or shape[0] != 1 or not patch or not merge_type:
        raise ConfigurationError(
            f"{type(processor).__name__} lays visual tokens out in a way that is not known here; "
            "use a model of the LLaVA, LLaVA-NeXT or LLaViT family"
        )
    if "mm_token_type_ids" in inputs:
        visual = inputs["mm_token_type_ids"][0] == 1
    else:
        visual = inputs["input_ids"][0] == image_token_id
    positions = np.flatnonzero(visual.cpu().numpy()).astype(np.int64)
    if tiled:
        sizes = inputs["image_sizes"].tolist()
        return _tiled(positions, shape[1:], sizes, processor, merge_type, image_size)
    return _whole(positions, shape[2:], processor, image_size)


def _whole(
    positions: np.ndarray, shape: tuple[int, ...], processor: Any, image_size: tuple[int, int]
) -> VisualLayout:
    """An image in one grid of patches, made of pixels of (height, width) `shape`."""
    height, width = shape
    patch = processor.patch_size
    rows, cols = height // patch, width // patch
    extra = len(positions) - rows * cols
    # A class token, where the model keeps it, comes first and lies nowhere on the picture.
    if extra not in {0, getattr(processor, "num_additional_image_tokens", 0)}:
        raise ConfigurationError(
            f"{len(positions)} visual tokens do not fill a grid of {rows} x {cols} patches: "
            "the processor's patch_size or vision_feature_select_strategy does not fit the model"
        )
    row, col = (axis.ravel().astype(np.int64) for axis in np.indices((rows, cols)))
    axes = whole_picture(processor.image_processor, image_size, (width, height))
    return VisualLayout(
        positions=positions[extra:],
        tile=np.zeros_like(row),
        row=row,
        col=col,
        grid=((rows, cols),),
        image_size=image_size,
        boxes=boxes_of(col * patch, row * patch, patch, *axes),
        off_picture=positions[:extra],
    )


def _tiled(
    positions: np.ndarray,
    shape: tuple[int, ...],
    sizes: list[list[int]],
    processor: Any,
    merge_type: str,
    image_size: tuple[int, int],
) -> VisualLayout:
    """An image in tiles (Any-Res) of pixels `shape` [tiles, 3, height, width].

    `sizes` is what the processor returned as `image_sizes`.
    """
    tiles, _, height, size = shape
    patch = processor.patch_size
    check_tiles(processor.image_processor, size)
    grid = tile_grid(image_size[::-1], processor.image_processor.image_grid_pinpoints, size)
    side = size // patch
    order = token_order(image_size[::-1], grid, side, merge_type).numpy()
    rows, cols = grid
    if sizes != [list(image_size[::-1])] or height != size or tiles != 1 + rows * cols:
        raise ConfigurationError(
            f"an image of (width, height) {image_size} makes a grid of {rows} x {cols} tiles and a "
            f"base tile, but the processor made {tiles} tiles of {height} x {size} pixels for "
            f"(height, width) {sizes}"
        )
    if len(order) != len(positions):
        raise ConfigurationError(
            f"{len(positions)} visual tokens are not the {len(order)} of {rows} x {cols} tiles "
            f"merged as {merge_type!r}: the processor's patch_size, image_grid_pinpoints or "
            "vision_feature_select_strategy does not fit the model"
        )
    is_patch = order != NEWLINE
    tile, cell = np.divmod(order[is_patch], side * side)
    row, col = np.divmod(cell, side)
    down, right = np.divmod(tile - 1, cols)
    base = boxes_of(col * patch, row * patch, patch, *stretched(image_size, (size, size)))
    fine = boxes_of(
        right * size + col * patch,
        down * size + row * patch,
        patch,
        *grid_of_tiles(image_size, (cols * size, rows * size)),
    )
    return VisualLayout(
        positions=positions[is_patch],
        tile=tile,
        row=row,
        col=col,
        grid=((side, side),) * tiles,
        image_size=image_size,
        boxes=np.where((tile == 0)[:, None], base, fine),
        off_picture=positions[~is_patch],
    )
