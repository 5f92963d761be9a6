"""What brings the answer back: the effect of restoring one state, over layers and places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.fit import shorten, wrap
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import Page
from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.patch_values import draw_color_scale, draw_values, tiles_of
from llavit_lens.figures.style import LITERAL, MUTED, ink

if TYPE_CHECKING:
    from llavit_lens.interventions.restore_map import RestoreMap

# Blue took the answer further away, white did nothing, red brought it back: apart for people with
# any color vision.
_PALETTE = colormaps["RdBu_r"]
_SCALE = Normalize(-1.0, 1.0, clip=True)

# Inches.
_EDGE, _GAP, _PICTURE, _PANEL, _ROW = 0.35, 0.3, 2.3, 2.3, 0.3
_LARGEST = 6  # layers drawn on the picture, unless they are named

_POINTS = {
    "resid_pre": "the input of a decoder layer",
    "resid_mid": "the stream between attention and MLP of a decoder layer",
    "resid_post": "the output of a decoder layer",
    "attn_out": "what attention adds in a decoder layer",
    "mlp_out": "what the MLP adds in a decoder layer",
}


def draw_restore_map(
    found: RestoreMap,
    layers: Sequence[int] | None = None,
    *,
    clean_image: Image.Image | None = None,
    corrupted_image: Image.Image | None = None,
) -> Figure:
    """Draw the two pictures, each patch's effect at some layers, and layers x all other places.

    Args:
        layers: those drawn on the picture, from 0; default: at most 6, evenly spread.
        clean_image, corrupted_image: other versions of the pictures to be shown.

    Raises:
        ConfigurationError: a layer that was not computed; a picture of another shape.
    """
    clean = clean_image if clean_image is not None else found.clean_image
    corrupted = corrupted_image if corrupted_image is not None else found.corrupted_image
    patches = [i for i, place in enumerate(found.places) if place.cell >= 0]
    others = [i for i, place in enumerate(found.places) if place.cell < 0]
    others.sort(key=lambda i: found.places[i].kind in ("text", "last"))  # the picture's come first
    panels = _panel_layers(found, layers) if patches else []
    tiles = tiles_of(found.layout)

    ratio = clean.height / clean.width
    rows_of_panels = [
        (tile, name, panels[start : start + 3])
        for tile, name in tiles
        for start in range(0, len(panels), 3)
    ]
    labels = [_label(found, i) for i in others]
    cell = 0.42
    label_width = 1.75
    table_width = label_width + cell * len(found.layers)
    page_width = 2 * _EDGE + max(
        _PICTURE + 0.45 + 3 * _PANEL + 2 * _GAP if panels else 2 * _PICTURE + _GAP,
        2 * _PICTURE + _GAP + 0.6 + table_width if others and not panels else 0.0,
        table_width,
        6.5,
    )
    room = (page_width - 2 * _EDGE) * 70  # points, and a little air
    point = _POINTS.get(found.point, f"{found.point} of a decoder layer")
    title = wrap(f"What brings the answer '{drawable(found.answer)}' back?", room / 1.15, 17)
    subtitle = wrap(
        f"{drawable(found.model)} is asked: {drawable(found.question)} It reads "
        "picture 2, but one piece of what it computed for picture 1 is put in its place: the state "
        f"of some tokens at {point}. Red: this piece alone brings the answer back.",
        room,
        11,
    )
    head = _EDGE + 0.36 * len(title.splitlines()) + 0.06 + 0.205 * len(subtitle.splitlines()) + 0.3

    panel_height, picture_height = _PANEL * ratio, _PICTURE * ratio
    left_height = 2 * (picture_height + 0.65)
    panel_block = len(rows_of_panels) * (panel_height + 0.45) + (0.3 if panels else 0)
    upper = max(left_height, panel_block)
    table_top = head + upper + 0.35
    table_height = (0.75 + _ROW * len(others)) if others else 0.0
    page = Page(page_width, table_top + table_height + 1.05 + _EDGE)
    page.text(_EDGE, _EDGE - 0.02, title, size=17, weight="bold")
    page.text(_EDGE, _EDGE + 0.36 * len(title.splitlines()) + 0.04, subtitle, size=11, color=MUTED)

    for number, (picture, name, value) in enumerate(
        [
            (clean, "1. has the answer", found.clean),
            (corrupted, "2. does not have it", found.corrupted),
        ]
    ):
        top = head + number * (picture_height + 0.65)
        page.text(_EDGE, top, name, size=11, weight="bold")
        draw_image(page.axes(_EDGE, top + 0.25, _PICTURE, picture_height), picture, found.layout)
        page.text(
            _EDGE,
            top + 0.31 + picture_height,
            f"p(answer) = {100 * np.exp(value):.3g}%",
            size=10,
            color=MUTED,
        )

    left = _EDGE + _PICTURE + 0.45
    if panels:
        what = (
            "patch" if found.window == 1 else f"window of {found.window} x {found.window} patches"
        )
        page.text(left, head, f"One {what} restored, drawn on picture 1", size=11, weight="bold")
    for number, (tile, name, chosen) in enumerate(rows_of_panels):
        top = head + 0.3 + number * (panel_height + 0.45)
        for column, layer in enumerate(chosen):
            at = left + column * (_PANEL + _GAP)
            values = np.full(len(found.layout), np.nan)
            cells = [found.places[i].cell for i in patches]
            values[cells] = found.effect[found.layers.index(layer), patches]
            page.text(at, top, f"layer {layer}{f', {name}' if name else ''}", size=10)
            ax = page.axes(at, top + 0.2, _PANEL, panel_height)
            draw_values(ax, clean, found.layout, values, _SCALE, _PALETTE, tile)

    if others:
        page.text(_EDGE, table_top, "Other places restored, effect in %", size=11, weight="bold")
        ax = page.axes(
            _EDGE + label_width, table_top + 0.55, cell * len(found.layers), _ROW * len(others)
        )
        _draw_table(ax, found, others)
        page.text(_EDGE + label_width - 0.5, table_top + 0.345, "layer", size=9.5, color=MUTED)
        for row, label in enumerate(labels):
            page.text(
                _EDGE,
                table_top + 0.55 + _ROW * (row + 0.68),
                shorten(label, (label_width - 0.12) * 72 / 10),
                size=10,
                baseline=True,
            )
    draw_color_scale(
        page,
        _EDGE + 0.15,
        table_top + table_height + 0.2,
        3.4,
        _SCALE,
        _PALETTE,
        "how far log p(answer) comes back, as a share of the way from picture 2 to picture 1",
        {-1.0: "-100%", 0.0: "no effect", 1.0: "100%: all of it"},
    )
    return page.figure


def _draw_table(ax: Axes, found: RestoreMap, places: list[int]) -> None:
    """Places down, layers across, the effect in each cell as color and in percent."""
    effect = found.effect[:, places].T
    ax.imshow(
        _SCALE(effect),
        cmap=_PALETTE,
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(found.layers), len(places), 0),
    )
    for row, column in np.ndindex(effect.shape):
        ax.text(
            column + 0.5,
            row + 0.5,
            str(round(100 * float(effect[row, column]))),
            fontsize=8,
            ha="center",
            va="center_baseline",
            color=ink(_PALETTE(_SCALE(effect[row, column]))),
            **LITERAL,
        )
    ax.xaxis.tick_top()
    ax.set_xticks(np.arange(len(found.layers)) + 0.5, labels=[str(x) for x in found.layers])
    ax.set_yticks([])
    ax.tick_params(labelsize=9, length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _panel_layers(found: RestoreMap, layers: Sequence[int] | None) -> list[int]:
    if layers is None:
        count = min(_LARGEST, len(found.layers))
        picked = np.linspace(0, len(found.layers) - 1, count).round().astype(int)
        return [found.layers[i] for i in picked.tolist()]
    missing = [layer for layer in layers if layer not in found.layers]
    if missing:
        raise ConfigurationError(
            f"layer {missing[0]} was not computed, only {', '.join(map(str, found.layers))}"
        )
    return list(layers)


def _label(found: RestoreMap, index: int) -> str:
    place = found.places[index]
    if place.kind == "text":
        last = " (last)" if place.tokens[0] == found.last_token else ""
        return f"text '{drawable(place.name)}'{last}"
    return drawable(place.name)
