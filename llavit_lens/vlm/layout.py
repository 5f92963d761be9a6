"""Where the visual tokens lie: in the token sequence, on the grid, and on the original picture.

Everything is read off what the processor returned and was configured to do; no other code knows
image sizes, patch sizes, token counts or placeholder ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llavit_lens.errors import ConfigurationError


@dataclass(frozen=True, eq=False)
class VisualLayout:
    """The n visual tokens of one image, in the order in which they stand in the sequence.

    Attributes:
        positions: int64 [n], indices in the token sequence.
        tile: int64 [n], which tile of the image (0 where the image is one tile).
        row, col: int64 [n], cell of the tile's patch grid, from the top left.
        grid: (rows, cols) of each tile.
        image_size: (width, height) of the original image in pixels.
        boxes: float64 [n, 4], (left, top, right, bottom) of each cell in pixels of the original
            image; of zero area where the cell shows only padding.
    """

    positions: np.ndarray
    tile: np.ndarray
    row: np.ndarray
    col: np.ndarray
    grid: tuple[tuple[int, int], ...]
    image_size: tuple[int, int]
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VisualLayout):
            return NotImplemented
        return (self.grid, self.image_size) == (other.grid, other.image_size) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("positions", "tile", "row", "col", "boxes")
        )

    __hash__ = None  # type: ignore[assignment]

    def index(self, row: int, col: int, tile: int = 0) -> int:
        """Index in 0..n-1 of a cell. Negative rows and columns count from the end.

        Raises:
            ConfigurationError: there is no such cell.
        """
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
                f"row {row}, column {col} of tile {tile} shows no part of the image"
            )
        return int(found[0])

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
        )


def layout_of(
    inputs: Mapping[str, Any],
    processor: Any,
    image_token_id: int,
    image_size: tuple[int, int],
) -> VisualLayout:
    """Layout of the one image in `inputs`, for models that see it as one grid (LLaVA, LLaViT).

    Args:
        inputs: what the processor returned: `input_ids` [1, seq], `pixel_values`
            [1, 3, height, width] and, where the family has them, `mm_token_type_ids` [1, seq]
            (1 = image).
        processor: the processor that made them.
        image_token_id: the placeholder's id, used when there are no `mm_token_type_ids`.
        image_size: (width, height) of the original image.

    Raises:
        ConfigurationError: the family lays its tokens out in a way that is not known here.
    """
    pixel_shape = tuple(inputs["pixel_values"].shape)
    patch = getattr(processor, "patch_size", None)
    if len(pixel_shape) != 4 or pixel_shape[0] != 1 or not patch:
        raise ConfigurationError(
            f"{type(processor).__name__} lays visual tokens out in a way that is not known here; "
            "use a model that sees the image as one grid of patches (LLaVA, LLaViT)"
        )
    if "mm_token_type_ids" in inputs:
        visual = inputs["mm_token_type_ids"][0] == 1
    else:
        visual = inputs["input_ids"][0] == image_token_id
    positions = np.flatnonzero(visual.cpu().numpy())

    height, width = pixel_shape[2:]
    rows, cols = height // patch, width // patch
    extra = len(positions) - rows * cols
    # A class token, where the model keeps it, comes first and lies nowhere on the picture.
    if extra not in {0, getattr(processor, "num_additional_image_tokens", 0)}:
        raise ConfigurationError(
            f"{len(positions)} visual tokens do not fill a grid of {rows} x {cols} patches: "
            "the processor's patch_size or vision_feature_select_strategy does not fit the model"
        )
    row, col = (axis.ravel().astype(np.int64) for axis in np.indices((rows, cols)))
    return VisualLayout(
        positions=positions[extra:].astype(np.int64),
        tile=np.zeros_like(row),
        row=row,
        col=col,
        grid=((rows, cols),),
        image_size=image_size,
        boxes=_boxes(row, col, patch, (width, height), processor.image_processor, image_size),
    )


def _boxes(
    row: np.ndarray,
    col: np.ndarray,
    patch: int,
    seen_size: tuple[int, int],
    image_processor: Any,
    image_size: tuple[int, int],
) -> np.ndarray:
    """Cells of the image the model saw (`seen_size`), taken back through crop and resize."""
    resized_size = _resized_size(image_processor, image_size)
    cropped = getattr(image_processor, "do_center_crop", False)
    padded = getattr(image_processor, "do_pad", False)
    if padded or (not cropped and resized_size != seen_size):
        raise ConfigurationError(
            f"{type(image_processor).__name__} turned {image_size} into {seen_size} pixels "
            "in a way that is not known here; only resize and center crop are"
        )
    edges = []
    for cell, seen, resized, original in zip(
        (col, row), seen_size, resized_size, image_size, strict=True
    ):
        # floor, also where the crop is larger than the image (zero padding) and the offset < 0
        offset = (resized - seen) // 2
        low, high = offset + cell * patch, offset + (cell + 1) * patch
        edges += [np.clip(edge * original / resized, 0, original) for edge in (low, high)]
    left, right, top, bottom = edges
    return np.stack([left, top, right, bottom], axis=1)


def _resized_size(image_processor: Any, image_size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) after the resize step."""
    if not getattr(image_processor, "do_resize", False):
        return image_size
    size = dict(image_processor.size)
    width, height = image_size
    if size.get("height") and size.get("width"):
        return size["width"], size["height"]
    if size.get("shortest_edge") and not size.get("longest_edge"):
        # transformers' own rounding: the long edge is cut down to a whole pixel
        short = size["shortest_edge"]
        long = int(short * max(image_size) / min(image_size))
        return (short, long) if width <= height else (long, short)
    raise ConfigurationError(f"an image processor with size {size} is not supported yet")
