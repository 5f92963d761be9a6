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
"""A tile by its number, or "grid": all but the one that shows the whole image, which together show
the image again."""

Precision = Literal["exact", "measured", "none", "unknown"]
"""How boxes are known: by the processor's own arithmetic, by what it did to test images, or not at
all: each token reads the whole image ("none"), or the model's type is not described here."""

_NO_MAP = {
    "none": "are queries that read the whole image (a resampler), not patches: ",
    "unknown": "lie at unknown places: this type of model is not described here "
    "(ll.register_family adds it; docs/families.md): ",
}


def _nowhere() -> np.ndarray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class VisualLayout:
    """The n visual tokens of one image, in the order in which they stand in the sequence.

    Some models see an image in several tiles (Any-Res). As a rule one tile shows the whole image:
    it may be the first or the last. The others show parts of a larger version of it, in reading
    order, and may differ in their grids.

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
        whole: the number of the tile that shows the whole image; 0 where the image is one tile;
            None if no tile does.
        precision: "exact"; "measured", boxes within about a pixel; "none" for tokens that are no
            patches but queries which read the whole image (`without_map`); or "unknown".
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
    whole: int | None = 0
    precision: Precision = "exact"

    @classmethod
    def without_map(
        cls,
        positions: np.ndarray,
        image_size: tuple[int, int],
        off_image: np.ndarray | None = None,
        precision: Literal["none", "unknown"] = "none",
    ) -> VisualLayout:
        """The layout of tokens that are no patches: queries of a resampler or a Q-Former.

        Their positions are known, so their words can be read. Each of them reads the whole image,
        so there is no map: the layout has one row of n cells, and boxes of zero area.

        Args:
            positions: int64 [n], indices in the token sequence.
            image_size: (width, height) of the upright image in pixels.
            off_image: int64 [m], as in the attributes.
            precision: "unknown" for tokens of which it is not known what they show.
        """
        positions = np.asarray(positions, dtype=np.int64)
        n = len(positions)
        return cls(
            positions=positions,
            tile=np.zeros(n, dtype=np.int64),
            row=np.zeros(n, dtype=np.int64),
            col=np.arange(n, dtype=np.int64),
            grid=((1, n),),
            image_size=image_size,
            boxes=np.zeros((n, 4)),
            off_image=_nowhere() if off_image is None else np.asarray(off_image, dtype=np.int64),
            whole=None,
            precision=precision,
        )

    def __len__(self) -> int:
        return len(self.positions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VisualLayout):
            return NotImplemented
        plain = ("grid", "image_size", "whole", "precision")
        arrays = ("positions", "tile", "row", "col", "boxes", "off_image")
        return all(getattr(self, name) == getattr(other, name) for name in plain) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in arrays
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        width, height = self.image_size
        measured = "; measured: boxes within 1 pixel" if self.precision == "measured" else ""
        return f"VisualLayout({self.summary}, on an image of {width} x {height} pixels{measured})"

    def _repr_html_(self) -> str:
        tiles = self._tiles_in_words() if self.has_map else {}
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

    def _tiles_in_words(self) -> dict[str, str]:
        numbers = list(range(len(self.grid)))[:_MOST_TILES]
        if self.whole is not None and self.whole not in numbers:
            numbers[-1] = self.whole
        tiles = {}
        for number in numbers:
            rows, cols = self.grid[number]
            shows = ", the whole image" if number == self.whole and len(self.grid) > 1 else ""
            tokens = (self.tile == number).sum()
            tiles[f"tile {number}"] = f"{rows} x {cols} patches, {tokens} tokens{shows}"
        if (more := len(self.grid) - len(numbers)) > 0:
            tiles[f"{more} more"] = ""
        return tiles

    @property
    def has_map(self) -> bool:
        """Whether tokens are patches, which lie somewhere on the image."""
        return self.precision not in _NO_MAP

    def check_map(self) -> None:
        """Raise ConfigurationError, which says what to do instead, if tokens are no patches."""
        if not self.has_map:
            raise ConfigurationError(
                f"{len(self)} visual tokens {_NO_MAP[self.precision]}"
                "words by token (words.by_token()), no map"
            )

    @property
    def summary(self) -> str:
        """How many visual tokens, and of which grid: '64 visual tokens, 8 x 8 patches'."""
        if self.precision == "none":
            return f"{len(self)} visual tokens, no patches: each reads the whole image"
        if self.precision == "unknown":
            return f"{len(self)} visual tokens, at places that are not known"
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
        if not self.has_map:  # none shows padding alone
            return np.ones(len(self), dtype=bool)
        left, top, right, bottom = self.boxes.T
        return (left < right) & (top < bottom)

    @property
    def view(self) -> Tile:
        """What is shown of the image where no tile is named: the tile that shows it whole, or all
        tiles together where none does."""
        if self.whole is not None:
            return self.whole
        return "grid" if len(self.grid) > 1 else 0

    @property
    def in_detail(self) -> np.ndarray:
        """bool [n]: True in tiles that show parts of the image, False in the one that shows it
        whole."""
        return self.tile != self.whole if len(self.grid) > 1 else np.zeros(len(self), dtype=bool)

    def tile_name(self, tile: Tile) -> str:
        """Such as "whole image", "tile 3", or "in tiles" for all that show parts."""
        if tile == "grid":
            return "in tiles"
        return "whole image" if tile == self.whole else f"tile {tile}"

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

    def index(self, row: int, col: int, tile: int | None = None) -> int:
        """Index in 0..n-1 of a cell. Negative rows and columns count from the end.

        Args:
            tile: default: the one that shows the whole image, or 0 where none does.

        Raises:
            ConfigurationError: there is no such cell, or no map.
        """
        self.check_map()
        row, col = whole_number(row, "row"), whole_number(col, "col")
        tile = (self.whole or 0) if tile is None else whole_number(tile, "tile")
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

    def of_tile(self, tile: Tile | None = None) -> np.ndarray:
        """int64, indices in 0..n-1 of the cells of one tile, or of the grid of tiles.

        Args:
            tile: default: `view`.

        Raises:
            ConfigurationError: there is no such tile, or no map.
        """
        self.check_map()
        tile = self.view if tile is None else tile
        last = len(self.grid) - 1
        if tile == "grid" and last > 0:
            return np.flatnonzero(self.in_detail)
        if isinstance(tile, str) or not 0 <= tile <= last:
            raise ConfigurationError(f"there is no tile {tile}: the image has {self._tiles()}")
        return np.flatnonzero(self.tile == tile)

    def cells_drawn(self, tile: Tile | None = None) -> np.ndarray:
        """int64, the cells of `of_tile` that are drawn: all but those that `covered` names, where
        tiles are drawn together.

        Raises:
            ConfigurationError: as `of_tile`.
        """
        cells = self.of_tile(tile)
        together = (self.view if tile is None else tile) == "grid"
        return cells[~self.covered[cells]] if together else cells

    @property
    def covered(self) -> np.ndarray:
        """bool [n]: True for cells of tiles that show parts, with their middle in an earlier such
        tile: where tiles overlap, one cell is drawn for a place."""
        covered = np.zeros(len(self), dtype=bool)
        if len(self.grid) == 1:
            return covered
        middles = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        for number in np.unique(self.tile[self.in_detail]).tolist():
            boxes = self.boxes[(self.tile == number) & self.on_image]
            if len(boxes):
                inside = (middles > boxes[:, :2].min(0)) & (middles < boxes[:, 2:].max(0))
                covered |= self.in_detail & (self.tile > number) & inside.all(axis=1)
        return covered

    def _tiles(self) -> str:
        """The tiles that can be named, for a message."""
        last = len(self.grid) - 1
        if last == 0:
            return "one tile, 0"
        parts = {None: "all of them", 0: f"1 to {last}", last: f"0 to {last - 1}"}
        return f"tiles 0 to {last}, or 'grid' for {parts.get(self.whole, f'all but {self.whole}')}"

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON; `from_dict` is its exact inverse.

        `whole` and `precision` are there where they are not 0 and "exact", so that files of all
        other layouts are the same as those of earlier versions.
        """
        later: dict[str, Any] = {"whole": self.whole, "precision": self.precision}
        usual = {"whole": 0, "precision": "exact"}
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
            **{name: value for name, value in later.items() if value != usual[name]},
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
            whole=fields.get("whole", 0),
            precision=fields.get("precision", "exact"),
        )


def _warn_renamed(old: str, new: str) -> None:
    warnings.warn(
        f"VisualLayout.{old} is now {new}; the old name goes with the next version",
        DeprecationWarning,
        stacklevel=3,
    )
