"""A patch's place, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llavit_lens.images.layout import VisualLayout


def place_of(layout: VisualLayout, patch: int) -> str:
    """Such as "row 3, column 5", in the words of the view in the browser; with the tile where there
    are several."""
    row, col, tile = (int(axis[patch]) for axis in (layout.row, layout.col, layout.tile))
    where = f"row {row}, column {col}"
    if len(layout.grid) == 1:
        return where
    return f"{where}, tile {tile}" if tile else f"{where}, whole picture"
