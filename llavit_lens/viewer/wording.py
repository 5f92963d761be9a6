"""Text of the view: patches in words, and long texts cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llavit_lens.images.layout import VisualLayout


def shortened(text: str, most: int = 40) -> str:
    """A text of at most `most` characters; of a longer one the beginning and an ellipsis."""
    return text if len(text) <= most else f"{text[:most]}…"


def patch_name(layout: VisualLayout, patch: int) -> str:
    """Such as "row 3, column 5", with the tile if there are several (`patchName` in data.js)."""
    row, col, tile = (int(axis[patch]) for axis in (layout.row, layout.col, layout.tile))
    cell = f"row {row}, column {col}"
    if len(layout.grid) == 1:
        return cell
    return f"{cell}, {layout.tile_name(tile)}"
