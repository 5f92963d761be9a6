"""What brings the answer back: the effect of restoring one state, over layers and places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.fit import shorten, wrap
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import Page
from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.patch_values import draw_color_scale, draw_values, tiles_of
from llavit_lens.figures.style import LITERAL, MUTED, ink

if TYPE_CHECKING:
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.restore_map import RestoreMap

# Blue took the answer further away, white did nothing, red brought it back: apart for people with
# any color vision.
_PALETTE = colormaps["RdBu_r"]

# Inches.
_EDGE, _GAP, _PICTURE, _PANEL, _ROW = 0.35, 0.3, 2.3, 2.3, 0.3
_LABELS, _CELL, _BAR, _BAR_BLOCK = 1.75, 0.42, 3.4, 0.95
_LARGEST = 6  # layers drawn on the picture, unless they are named
_LONGEST = 40  # characters of an answer in the title

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
    clean_image: ImageSource | None = None,
    corrupted_image: ImageSource | None = None,
) -> Figure:
    """Draw the two pictures, each patch's effect at some layers, and layers x all other places.

    Patches and table have a scale of colors of their own: one patch brings back a few percent of
    what the whole picture does.

    Args:
        layers: those drawn on the picture, from 0; default: at most 6, evenly spread.

        clean_image, corrupted_image: each as `image` in `Words.plot`.

    Raises:
        ConfigurationError: a layer that was not computed; there is no image, or it is another one.
        ImageError: an image cannot be read.
    """
    clean, corrupted = found.images(clean_image, corrupted_image)
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
    right = _EDGE + _PICTURE + 0.45
    table_left = _EDGE if panels else right
    table_width = _LABELS + _CELL * len(found.layers)
    page_width = _EDGE + max(
        right + 3 * _PANEL + 2 * _GAP if panels else 0.0,
        table_left + max(table_width, _BAR + 1.0) if others else 0.0,
        6.5 + _EDGE,
    )
    room = (page_width - 2 * _EDGE) * 70  # points, and a little air
    point = _POINTS.get(found.point, f"{found.point} of a decoder layer")
    title = wrap(f"What brings the answer '{_short_answer(found)}' back?", room / 1.15, 17)
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
    panel_block = len(rows_of_panels) * (panel_height + 0.45) + 0.3 + _BAR_BLOCK if panels else 0.0
    meaning, note = (
        wrap(text, (page_width - _EDGE - table_left) * 70, 10)
        for text in (
            "how far log p(answer) comes back, as a share of the way from picture 2 to picture 1",
            "Of an answer of several tokens, effects that run through its own tokens are not among "
            "these places.",
        )
    )
    table_height = _ROW * len(others)
    table_block = 0.55 + table_height + 0.2 + _BAR_BLOCK + 0.4 + 0.2 * meaning.count("\n")
    table_block = table_block + 0.2 * note.count("\n") if others else 0.0
    table_top = head + max(left_height, panel_block) + 0.35 if panels else head
    bottom = max(head + left_height, head + panel_block, table_top + table_block)
    page = Page(page_width, bottom + _EDGE)
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
            f"log p(answer) = {value:.4g} nats",
            size=10,
            color=MUTED,
        )

    if panels:
        what = (
            "patch" if found.window == 1 else f"window of {found.window} x {found.window} patches"
        )
        page.text(right, head, f"One {what} restored, drawn on picture 1", size=11, weight="bold")
        of_panels = found.effect[[found.layers.index(layer) for layer in panels]][:, patches]
        scale = _scale_of(of_panels)
        for number, (tile, name, chosen) in enumerate(rows_of_panels):
            top = head + 0.3 + number * (panel_height + 0.45)
            for column, layer in enumerate(chosen):
                at = right + column * (_PANEL + _GAP)
                values = np.full(len(found.layout), np.nan)
                cells = [found.places[i].cell for i in patches]
                values[cells] = found.effect[found.layers.index(layer), patches]
                page.text(at, top, f"layer {layer}{f', {name}' if name else ''}", size=10)
                ax = page.axes(at, top + 0.2, _PANEL, panel_height)
                draw_values(ax, clean, found.layout, values, scale, _PALETTE, tile)
        _draw_bar(page, right, head + panel_block - _BAR_BLOCK + 0.1, scale, meaning)

    if others:
        scale = _scale_of(found.effect[:, others])
        page.text(
            table_left,
            table_top,
            "Other places restored, effect in %" if panels else "Places restored, effect in %",
            size=11,
            weight="bold",
        )
        ax = page.axes(
            table_left + _LABELS, table_top + 0.55, _CELL * len(found.layers), table_height
        )
        _draw_table(ax, found, others, scale)
        page.text(table_left + _LABELS - 0.5, table_top + 0.345, "layer", size=9.5, color=MUTED)
        for row, index in enumerate(others):
            page.text(
                table_left,
                table_top + 0.55 + _ROW * (row + 0.68),
                shorten(_label(found, index), (_LABELS - 0.12) * 72 / 10),
                size=10,
                baseline=True,
            )
        under = table_top + 0.55 + table_height + 0.2
        _draw_bar(page, table_left, under, scale, meaning)
        lines = 1 + meaning.count("\n")
        page.text(table_left, under + 0.5 + 0.2 * lines, note, size=10, color=MUTED)
    return page.figure


def _scale_of(effect: np.ndarray) -> Normalize:
    """Colors up to ±100%, or up to the next whole percent where all effects are smaller."""
    limit = min(max(np.ceil(100 * abs(effect).max()), 1), 100) / 100
    return Normalize(-limit, limit, clip=True)


def _draw_bar(page: Page, left: float, top: float, scale: Normalize, meaning: str) -> None:
    limit = scale.vmax or 1.0
    ends = f"-{limit:.0%}", "100%: all of it" if limit == 1 else f"{limit:.0%}"
    ticks = {-limit: ends[0], 0.0: "no effect", limit: ends[1]}
    draw_color_scale(page, left + 0.15, top, _BAR, scale, _PALETTE, meaning, ticks)


def _draw_table(ax: Axes, found: RestoreMap, places: list[int], scale: Normalize) -> None:
    """Places down, layers across, the effect in each cell as color and in percent."""
    effect = found.effect[:, places].T
    ax.imshow(
        scale(effect),
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
            color=ink(_PALETTE(scale(effect[row, column]))),
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


def _short_answer(found: RestoreMap) -> str:
    answer = drawable(found.answer)
    return answer if len(answer) <= _LONGEST else f"{answer[: _LONGEST - 1].rstrip()}…"


def _label(found: RestoreMap, index: int) -> str:
    place = found.places[index]
    if place.kind == "text":
        last = " (last)" if place.tokens[0] == found.last_token else ""
        return f"text '{drawable(place.name)}'{last}"
    return drawable(place.name)
