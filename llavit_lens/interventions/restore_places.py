"""The places of a restore map: groups of tokens whose state is restored together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.regions import Region, cells_of
from llavit_lens.lens.text_tokens import text_tokens
from llavit_lens.results.restore_map import Place
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM

PlaceKind = Literal["patches", "rows", "visual", "last", "text"]
"""Each patch (or the window around it), each row of patches, all visual tokens, the last token of
the prompt, each text token from the image on."""


def places_of(
    vlm: VLM,
    prompt: Prompt,
    kinds: Sequence[PlaceKind],
    window: int = 1,
    objects: Mapping[str, Region] | None = None,
) -> list[Place]:
    """The places in the order of `kinds`, then the objects.

    Text before the image is left out: it cannot have seen the image.

    Raises:
        ConfigurationError: a kind that is not known, an even window, none at all, or regions as in
            `cells_of`.
    """
    unknown = [kind for kind in kinds if kind not in get_args(PlaceKind)]
    if isinstance(kinds, str) or unknown:
        raise ConfigurationError(
            f"places={kinds!r}: give a list of {', '.join(map(repr, get_args(PlaceKind)))}"
        )
    if window < 1 or window % 2 == 0:
        raise ConfigurationError(f"window={window}: give 1, 3, 5, … patches on each side")
    layout, groups = prompt.layout, []
    for kind in kinds:
        if kind in ("patches", "rows"):
            layout.check_map()
        if kind == "patches":
            groups += [
                _patch(layout, cell, window) for cell in np.flatnonzero(layout.on_image).tolist()
            ]
        elif kind == "rows":
            groups += _rows(layout)
        elif kind == "visual":
            groups.append(Place("visual", "whole image", layout.all_positions, -1))
        elif kind == "last":
            groups.append(Place("last", "last token", np.array([prompt.length - 1]), -1))
        else:
            groups += [
                Place("text", token.text, np.array([token.position]), -1)
                for token in text_tokens(vlm, prompt)
                if token.position > layout.positions.min()
            ]
    for name, region in (objects or {}).items():
        groups.append(Place("object", name, layout.positions[cells_of(layout, region)], -1))
    if not groups:
        raise ConfigurationError("there is nothing to restore: give places or objects")
    return groups


def _patch(layout: VisualLayout, cell: int, window: int) -> Place:
    """A patch, or the window around it, cut off at the edges of its tile."""
    reach = window // 2
    near = (
        (layout.tile == layout.tile[cell])
        & (abs(layout.row - layout.row[cell]) <= reach)
        & (abs(layout.col - layout.col[cell]) <= reach)
    )
    name = f"row {layout.row[cell]}, column {layout.col[cell]}{_of_tile(layout, cell)}"
    return Place("patch", name, layout.positions[near], cell)


def _rows(layout: VisualLayout) -> list[Place]:
    rows = dict.fromkeys(zip(layout.tile.tolist(), layout.row.tolist(), strict=True))
    places = []
    for tile, row in rows:
        cells = np.flatnonzero((layout.tile == tile) & (layout.row == row))
        name = f"row {row}{_of_tile(layout, cells[0])}"
        places.append(Place("row", name, layout.positions[cells], -1))
    return places


def _of_tile(layout: VisualLayout, cell: int) -> str:
    return "" if len(layout.grid) == 1 else f" of tile {layout.tile[cell]}"
