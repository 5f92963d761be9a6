"""What brings the answer back (activation patching): one state's effect by layer and place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.color_scale import draw_color_scale
from llavit_lens.figures.fit import shorten
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.patch_values import draw_values, tiles_of
from llavit_lens.figures.style import LITERAL, MUTED, ink

if TYPE_CHECKING:
    from PIL import Image

    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.restore_map import RestoreMap

# Blue took the answer further away, white did nothing, red brought it back: apart for people with
# any color vision.
_PALETTE = colormaps["RdBu_r"]

# Inches.
_GAP, _IMAGE, _PANEL, _ROW = 0.3, 2.3, 2.3, 0.3
_LABELS, _CELL, _BAR = 1.75, 0.42, 3.4
_RIGHT = EDGE + _IMAGE + 0.45  # where what stands beside the images begins
_ACROSS, _MOST_PANELS = 3, 6  # layers drawn in a row, and in all unless they are named
_LONGEST = 40  # characters of an answer in the title

_POINTS = {
    "resid_pre": "the input of a decoder layer",
    "resid_mid": "the stream between attention and MLP of a decoder layer",
    "resid_post": "the output of a decoder layer",
    "attn_out": "what attention adds in a decoder layer",
    "mlp_out": "what the MLP adds in a decoder layer",
}


def draw_restore_map(
    sweep: RestoreMap,
    layers: Sequence[int] | None = None,
    clean_image: ImageSource | None = None,
    corrupted_image: ImageSource | None = None,
) -> Figure:
    """Draw the two images, each patch's effect at some layers, and layers x all other places.

    Patches and table have different scales of colors: one patch brings back a few percent of
    what the whole image does.

    Args:
        layers: those drawn on the image, from 0; default: at most 6, evenly spread.
        clean_image, corrupted_image: each as `image` in `Words.plot`.

    Raises:
        ConfigurationError: a layer that was not computed; there is no image, or it is another one.
        ImageError: an image cannot be read.
    """
    clean, corrupted = sweep.images(clean_image, corrupted_image)
    patches = [i for i, place in enumerate(sweep.places) if place.cell >= 0]
    others = [i for i, place in enumerate(sweep.places) if place.cell < 0]
    others.sort(key=lambda i: sweep.places[i].kind in ("text", "last"))  # the image's come first
    panel_layers = _panel_layers(sweep, layers) if patches else []

    table_left = EDGE if patches else _RIGHT
    table_width = max(_LABELS + _CELL * len(sweep.layers), _BAR + 1.0)
    page = Page(
        max(
            _RIGHT + _ACROSS * (_PANEL + _GAP) - _GAP + EDGE if patches else 0.0,
            table_left + table_width + EDGE if others else 0.0,
            6.5 + 2 * EDGE,
        )
    )
    top = page.heading(f"What brings the answer '{_short_answer(sweep)}' back?", _about(sweep))
    top += 0.3
    foot = _draw_images(page, top, sweep, clean, corrupted)
    if patches:
        foot = max(foot, _draw_panels(page, top, sweep, clean, panel_layers, patches))
        top = foot + 0.35
    if others:
        title = "Other places restored" if patches else "Places restored"
        foot = max(foot, _draw_others(page, table_left, top, sweep, others, title))
    return page.finish(foot + EDGE)


def _about(sweep: RestoreMap) -> str:
    point = _POINTS.get(sweep.point, f"{sweep.point} of a decoder layer")
    return (
        f"{drawable(sweep.model)} is asked: {drawable(sweep.question)} It reads "
        "image 2, but one piece of what it computed for image 1 is put in its place: the state "
        f"of some tokens at {point}. Red: this piece alone brings the answer back."
    )


def _draw_images(
    page: Page, top: float, sweep: RestoreMap, clean: Image.Image, corrupted: Image.Image
) -> float:
    """The image with the answer above the one without it. Returns where they end."""
    height = _IMAGE * clean.height / clean.width
    for image, name, value in (
        (clean, "1. has the answer", sweep.clean),
        (corrupted, "2. does not have it", sweep.corrupted),
    ):
        page.text(EDGE, top, name, size=11, weight="bold")
        draw_image(page.axes(EDGE, top + 0.25, _IMAGE, height), image, sweep.layout)
        note = f"log p(answer) = {value:.4g} nats"
        page.text(EDGE, top + 0.31 + height, note, size=10, color=MUTED)
        top += 0.65 + height
    return top - 0.1


def _draw_panels(
    page: Page,
    top: float,
    sweep: RestoreMap,
    image: Image.Image,
    layers: list[int],
    patches: list[int],
) -> float:
    """Each patch's effect on the image with the answer, layer by layer. Returns their end."""
    height = _PANEL * image.height / image.width
    window = f"window of {sweep.window} x {sweep.window} patches"
    what = "patch" if sweep.window == 1 else window
    page.text(_RIGHT, top, f"One {what} restored, drawn on image 1", size=11, weight="bold")
    top += 0.3
    rows = [sweep.layers.index(layer) for layer in layers]
    cells = [sweep.places[i].cell for i in patches]
    scale = _scale_of(sweep.effect[rows][:, patches])
    for tile, tile_name in tiles_of(sweep.layout):
        for number, (row, layer) in enumerate(zip(rows, layers, strict=True)):
            column = number % _ACROSS
            left = _RIGHT + column * (_PANEL + _GAP)
            title = f"layer {layer}{f', {tile_name}' if tile_name else ''}"
            page.text(left, top, title, size=10)
            values = np.full(len(sweep.layout), np.nan)
            values[cells] = sweep.effect[row, patches]
            axes = page.axes(left, top + 0.2, _PANEL, height)
            draw_values(axes, image, sweep.layout, values, scale, _PALETTE, tile)
            if column == _ACROSS - 1 or number == len(layers) - 1:
                top += height + 0.45
    return _draw_scale(page, _RIGHT, top - 0.05, scale)


def _draw_others(
    page: Page, left: float, top: float, sweep: RestoreMap, places: list[int], title: str
) -> float:
    """The table of all places that are no patches. Returns where it ends."""
    page.text(left, top, f"{title}, effect in %", size=11, weight="bold")
    page.text(left + _LABELS - 0.5, top + 0.345, "layer", size=9.5, color=MUTED)
    top += 0.55
    scale, height = _scale_of(sweep.effect[:, places]), _ROW * len(places)
    axes = page.axes(left + _LABELS, top, _CELL * len(sweep.layers), height)
    _draw_table(axes, sweep, places, scale)
    for row, index in enumerate(places):
        label = shorten(_label(sweep, index), (_LABELS - 0.12) * 72 / 10)
        page.text(left, top + _ROW * (row + 0.68), label, size=10, baseline=True)
    return page.paragraph(
        left,
        _draw_scale(page, left, top + height + 0.2, scale) + 0.1,
        "Of an answer of several tokens, effects that run through its own tokens are not among "
        "these places.",
        size=10,
    )


def _draw_table(axes: Axes, sweep: RestoreMap, places: list[int], scale: Normalize) -> None:
    """Places down, layers across, the effect in each cell as color and in percent."""
    effect = sweep.effect[:, places].T
    axes.imshow(
        scale(effect),
        cmap=_PALETTE,
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(sweep.layers), len(places), 0),
    )
    for row, column in np.ndindex(effect.shape):
        axes.text(
            column + 0.5,
            row + 0.5,
            str(round(100 * float(effect[row, column]))),
            fontsize=8,
            ha="center",
            va="center_baseline",
            color=ink(_PALETTE(scale(effect[row, column]))),
            **LITERAL,
        )
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(sweep.layers)) + 0.5, labels=[str(x) for x in sweep.layers])
    axes.set_yticks([])
    axes.tick_params(labelsize=9, length=0)
    axes.spines[:].set_visible(False)


def _scale_of(effect: np.ndarray) -> Normalize:
    """Colors up to ±100%, or up to the next whole percent where all effects are smaller."""
    limit = min(max(np.ceil(100 * abs(effect).max()), 1), 100) / 100
    return Normalize(-limit, limit, clip=True)


def _draw_scale(page: Page, left: float, top: float, scale: Normalize) -> float:
    limit = scale.vmax or 1.0
    ends = f"-{limit:.0%}", "100%: all of it" if limit == 1 else f"{limit:.0%}"
    return draw_color_scale(
        page,
        left + 0.15,
        top,
        scale,
        _PALETTE,
        "how far log p(answer) comes back, as a share of the way from image 2 to image 1",
        width=_BAR,
        ticks={-limit: ends[0], 0.0: "no effect", limit: ends[1]},
    )


def _panel_layers(sweep: RestoreMap, layers: Sequence[int] | None) -> list[int]:
    if layers is None:
        count = min(_MOST_PANELS, len(sweep.layers))
        picked = np.linspace(0, len(sweep.layers) - 1, count).round().astype(int)
        return [sweep.layers[i] for i in picked.tolist()]
    missing = [layer for layer in layers if layer not in sweep.layers]
    if missing:
        raise ConfigurationError(
            f"layer {missing[0]} was not computed, only {', '.join(map(str, sweep.layers))}"
        )
    return list(layers)


def _short_answer(sweep: RestoreMap) -> str:
    answer = drawable(sweep.answer)
    return answer if len(answer) <= _LONGEST else f"{answer[: _LONGEST - 1].rstrip()}…"


def _label(sweep: RestoreMap, index: int) -> str:
    place = sweep.places[index]
    if place.kind == "text":
        last = " (last)" if place.tokens[0] == sweep.last_token else ""
        return f"text '{drawable(place.name)}'{last}"
    return drawable(place.name)
