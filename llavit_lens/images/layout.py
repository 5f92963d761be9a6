"""Where the visual tokens lie: in the token sequence, on the grid, and on the original image.

Everything is read off what the processor returned and was configured to do; no other code knows
image sizes, patch sizes, token counts or placeholder ids.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from llavit_lens.card import card, facts
from llavit_lens.errors import ConfigurationError
from llavit_lens.images.orientation import UPRIGHT
from llavit_lens.inputs import whole_number

_MOST_TILES = 12  # in a card

Tile = int | Literal["grid"]
"""A tile by its number, or "grid": all but the base tile, which together show the image again."""


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
        off_image: int64 [m], positions of visual tokens that are no patches: the newlines that
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
    off_image: np.ndarray = field(default_factory=_nowhere)
    orientation: int = UPRIGHT

    def __len__(self) -> int:
        return len(self.positions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VisualLayout):
            return NotImplemented
        return (self.grid, self.image_size) == (other.grid, other.image_size) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("positions", "tile", "row", "col", "boxes", "off_image")
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        width, height = self.image_size
        return f"VisualLayout({self.summary}, on an image of {width} x {height} pixels)"

    def _repr_html_(self) -> str:
        tiles = {
            f"tile {number}": f"{rows} x {cols} patches, {(self.tile == number).sum()} tokens"
            for number, (rows, cols) in enumerate(self.grid[:_MOST_TILES])
        }
        if (more := len(self.grid) - _MOST_TILES) > 0:
            tiles[f"{more} more"] = ""
        first, last = (self.all_positions[[0, -1]]) if len(self) else ("none", "none")
        return card(
            repr(self),
            facts(
                {
                    **tiles,
                    "in the prompt": f"token {first} to token {last}",
                    "tokens that are no patches": len(self.off_image),
                }
            ),
        )

    @property
    def summary(self) -> str:
        """How many visual tokens, and of which grid: '64 visual tokens, 8 x 8 patches'."""
        grids = sorted(set(self.grid), key=self.grid.index)
        patches = " and ".join(f"{rows} x {cols}" for rows, cols in grids[:3])
        tiles = f" in {len(self.grid)} tiles" if len(self.grid) > 1 else ""
        each = " each" if tiles and len(grids) == 1 else ""
        return f"{len(self)} visual tokens{tiles}, {patches} patches{each}"

    @property
    def all_positions(self) -> np.ndarray:
        """int64 [n + m], ascending: of all visual tokens, those that are no patches among them."""
        return np.sort(np.concatenate([self.positions, self.off_image]))

    @property
    def on_image(self) -> np.ndarray:
        """bool [n]: False where a cell shows only padding."""
        left, top, right, bottom = self.boxes.T
        return (left < right) & (top < bottom)

    @property
    def on_picture(self) -> np.ndarray:
        """The name of `on_image` in version 0.1; goes with the next one."""
        _warn_renamed("on_picture", "on_image")
        return self.on_image

    @property
    def off_picture(self) -> np.ndarray:
        """The name of `off_image` in version 0.1; goes with the next one."""
        _warn_renamed("off_picture", "off_image")
        return self.off_image

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
        cells = np.flatnonzero(
            (self.tile == tile) & (self.row == row % rows) & (self.col == col % cols)
        )
        if len(cells) == 0:
            raise ConfigurationError(
                f"row {row}, column {col} of tile {tile} has no visual token: it lies in the "
                "padding around the image, which is left out"
            )
        return int(cells[0])

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
            "off_picture": self.off_image.tolist(),
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
            off_image=np.array(fields.get("off_picture", []), dtype=np.int64),
            orientation=fields.get("orientation", UPRIGHT),
        )


def _warn_renamed(old: str, new: str) -> None:
    warnings.warn(
        f"VisualLayout.{old} is now {new}; the old name goes with the next version",
        DeprecationWarning,
        stacklevel=3,
    )
