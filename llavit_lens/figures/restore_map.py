"""What brings the answer back (activation patching): one state's effect by layer and place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm, Normalize

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.color_scale import draw_color_scale
from llavit_lens.figures.figure import Figure
from llavit_lens.figures.fit import shorten
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.patch_values import draw_values, tiles_of
from llavit_lens.figures.style import LITERAL, MUTED, TWO_TINTS, ink, on_white

if TYPE_CHECKING:
    from PIL import Image

    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.restore_map import RestoreMap

# Inches.
_GAP, _IMAGE, _PANEL, _ROW = 0.3, 2.3, 2.3, 0.26
_LABELS, _CELL, _BAR = 1.75, 0.42, 3.4
_MOST_ROWS = 16  # of the table, so that the page has an end
_RIGHT = EDGE + _IMAGE + 0.45  # where what stands beside the images begins
_ACROSS, _MOST_PANELS = 3, 6  # layers drawn in a row, and in all unless they are named
_LONGEST = 40  # characters of an answer in the title
_FAINT = 0.1  # of the largest effect of a patch: a layer where none has as much is left out

_SMALL = 11.0  # points

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
    """Draw the two images, each patch's effect at some layers, and layers x other places.

    One scale of colors for all. It follows the square root of the effect, as one patch brings back
    a few percent of what the whole image does.

    Args:
        layers: those drawn on the image, from 0; default: at most 6 of those where a patch has a
            tenth of the largest effect of a patch, evenly spread.
        clean_image, corrupted_image: each as `image` in `Words.plot`.

    Raises:
        ConfigurationError: a layer that was not computed; there is no image, or it is another one.
        ImageError: an image cannot be read.
    """
    clean, corrupted = sweep.images(clean_image, corrupted_image)
    patches = [i for i, place in enumerate(sweep.places) if place.cell >= 0]
    others = _other_places(sweep)
    panel_layers = _panel_layers(sweep, layers, patches) if patches else []
    rows = [sweep.layers.index(layer) for layer in panel_layers]
    drawn = [sweep.effect[rows][:, patches].ravel(), sweep.effect[:, others].ravel()]
    scale = _scale_of(np.concatenate(drawn))

    table_width = max(_LABELS + _CELL * len(sweep.layers), _BAR + 1.0)
    across = min(_ACROSS, len(panel_layers))
    page = Page(
        max(
            _RIGHT + across * (_PANEL + _GAP) - _GAP + EDGE if patches else 0.0,
            _RIGHT + table_width + EDGE if others else 0.0,
            6.5 + 2 * EDGE,
        )
    )
    top = page.heading(f"What brings the answer '{_short_answer(sweep)}' back?", size=15)
    about = f"{drawable(sweep.model)} is asked: {drawable(sweep.question)}"
    room = 72 * (page.width - 2 * EDGE) / _SMALL
    page.text(EDGE, top, shorten(about, room), size=_SMALL, color=MUTED)
    top += 0.5
    foot = _draw_images(page, top, sweep, clean, corrupted)
    if patches:
        top = _draw_panels(page, top, sweep, clean, panel_layers, patches, scale) + 0.3
    if others:
        title = "Other places restored" if patches else "Places restored"
        top = _draw_others(page, _RIGHT, top, sweep, others, title, scale) + 0.3
    top = _draw_scale(page, _RIGHT, top, scale)
    page.figure.caption = _caption(sweep)
    return page.finish(max(foot, top) + EDGE)


def _other_places(sweep: RestoreMap) -> list[int]:
    """Places that are no patches, the image's first; of many those with the largest effects."""
    others = [i for i, place in enumerate(sweep.places) if place.cell < 0]
    strongest = abs(sweep.effect[:, others]).max(0) if others else np.zeros(0)
    kept = set(np.argsort(-strongest, kind="stable")[:_MOST_ROWS].tolist())
    others = [i for number, i in enumerate(others) if number in kept]
    return sorted(others, key=lambda i: sweep.places[i].kind in ("text", "last"))


def _caption(sweep: RestoreMap) -> str:
    point = _POINTS.get(sweep.point, f"{sweep.point} of a decoder layer")
    return (
        f"{drawable(sweep.model)} is asked: {drawable(sweep.question)} It reads image 2, but one "
        "piece of what it computed for image 1 is put in its place: the state of some tokens at "
        f"{point}. Red: this piece alone brings the answer back. Colors follow the square root of "
        "the effect. Of an answer of several tokens, effects that run through its own tokens are "
        "not among these places."
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
    scale: Normalize,
) -> float:
    """Each patch's effect on the image with the answer, layer by layer. Returns their end."""
    height = _PANEL * image.height / image.width
    window = f"window of {sweep.window} x {sweep.window} patches"
    what = "patch" if sweep.window == 1 else window
    page.text(_RIGHT, top, f"One {what} restored, drawn on image 1", size=11, weight="bold")
    top += 0.3
    rows = [sweep.layers.index(layer) for layer in layers]
    cells = [sweep.places[i].cell for i in patches]
    for tile, tile_name in tiles_of(sweep.layout):
        for number, (row, layer) in enumerate(zip(rows, layers, strict=True)):
            column = number % _ACROSS
            left = _RIGHT + column * (_PANEL + _GAP)
            title = f"layer {layer}{f', {tile_name}' if tile_name else ''}"
            page.text(left, top, title, size=10)
            values = np.full(len(sweep.layout), np.nan)
            values[cells] = sweep.effect[row, patches]
            axes = page.axes(left, top + 0.2, _PANEL, height)
            draw_values(axes, image, sweep.layout, values, scale, TWO_TINTS, tile)
            if column == _ACROSS - 1 or number == len(layers) - 1:
                top += height + 0.45
    return top - 0.2


def _draw_others(
    page: Page,
    left: float,
    top: float,
    sweep: RestoreMap,
    places: list[int],
    title: str,
    scale: Normalize,
) -> float:
    """The table of places that are no patches. Returns where it ends."""
    left_out = sum(place.cell < 0 for place in sweep.places) - len(places)
    page.text(left, top, f"{title}, effect in %", size=11, weight="bold")
    page.text(left + _LABELS - 0.5, top + 0.345, "layer", size=9.5, color=MUTED)
    top += 0.55
    height = _ROW * len(places)
    axes = page.axes(left + _LABELS, top, _CELL * len(sweep.layers), height)
    _draw_table(axes, sweep, places, scale)
    for row, index in enumerate(places):
        label = shorten(_label(sweep, index), (_LABELS - 0.12) * 72 / 10)
        page.text(left, top + _ROW * (row + 0.68), label, size=10, baseline=True)
    if not left_out:
        return top + height
    note = f"{left_out} places with smaller effects are left out"
    page.text(left, top + height + 0.08, note, size=9.5, color=MUTED)
    return top + height + 0.25


def _draw_table(axes: Axes, sweep: RestoreMap, places: list[int], scale: Normalize) -> None:
    """Places down, layers across, the effect in each cell as color and in percent."""
    effect = sweep.effect[:, places].T
    axes.imshow(
        TWO_TINTS(scale(effect)),
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
            color=ink(on_white(TWO_TINTS(float(scale(effect[row, column]))))),
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
    return FuncNorm((_signed_root, _signed_square), -limit, limit, clip=True)


def _signed_root(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.sqrt(np.abs(values))


def _signed_square(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.square(values)


def _draw_scale(page: Page, left: float, top: float, scale: Normalize) -> float:
    limit = float(scale.vmax or 1.0)
    ends = {at: f"{at:.0%}" if limit >= 0.04 else f"{at:.1%}" for at in (-limit, -limit / 4)}
    ends |= {0.0: "0", limit / 4: ends[-limit / 4][1:], limit: ends[-limit][1:]}
    return draw_color_scale(
        page,
        left + 0.15,
        top,
        scale,
        TWO_TINTS,
        "how far log p(answer) comes back: 0 as on image 2, 100% as on image 1; square-root scale",
        width=_BAR,
        ticks=ends,
    )


def _panel_layers(sweep: RestoreMap, layers: Sequence[int] | None, patches: list[int]) -> list[int]:
    if layers is None:
        strongest = abs(sweep.effect[:, patches]).max(1)
        seen = np.flatnonzero(strongest >= _FAINT * strongest.max())
        count = min(_MOST_PANELS, len(seen))
        picked = np.linspace(0, len(seen) - 1, count).round().astype(int)
        return [sweep.layers[i] for i in seen[picked].tolist()]
    missing = [layer for layer in layers if layer not in sweep.layers]
    if missing or not layers:
        fault = f"layer {missing[0]} was not computed" if missing else "no layers were given"
        raise ConfigurationError(f"{fault}, only {', '.join(map(str, sweep.layers))} are there")
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
