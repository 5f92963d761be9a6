"""The image, its patch grid and one word per patch, drawn on given axes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.fit import fit_words
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.style import DARK, LIGHT, LITERAL, NEUTRAL, PALETTE, RIGHT, ink
from llavit_lens.results.result import image_of

if TYPE_CHECKING:
    from llavit_lens.images.layout import Tile, VisualLayout
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.words import Words

Truth = Sequence[Collection[str] | None]
"""For each visual token, in the layout's order, the true words of its patch; None: unknown."""

_SLIVER = 0.25  # of a whole patch
_LARGEST_DRAWN = 1600  # pixels: a figure shows no more, and a PDF would carry them all


def image_of_words(all_words: Sequence[Words], image: ImageSource | None) -> Image.Image:
    """The image to draw words on.

    Args:
        all_words: those of a figure.
        image: the one that they were read from, or a sharper or smaller copy of it; default: that
            of the first words.

    Raises:
        ConfigurationError: none is given, and the words (read from a file) hold none; the words
            were read from several images, or from another one.
        ImageError: the image cannot be read.
    """
    digests = {words.provenance.get("image_sha256") for words in all_words} - {None}
    if len(digests) > 1:
        raise ConfigurationError(
            "these words were read from different images; draw them in different figures"
        )
    first = all_words[0]
    return image_of(image, first.image, first.layout, next(iter(digests), None))


def draw_image(ax: Axes, image: Image.Image, layout: VisualLayout) -> None:
    """Draw the image in the layout's coordinates; what the model does not see of it is faded.

    The image may have more or fewer pixels than the one that the model was given.

    Raises:
        ConfigurationError: the image has another shape than the one that the layout is of.
    """
    width, height = layout.image_size
    if abs(image.width * height - image.height * width) > 0.02 * image.height * width:
        raise _other_image(
            f"{image.width} x {image.height} pixels, of another shape than {width} x {height}"
        )
    small = image.convert("RGB")
    small.thumbnail((_LARGEST_DRAWN, _LARGEST_DRAWN))
    ax.imshow(np.asarray(small), extent=(0, width, height, 0), interpolation="bicubic")
    for x0, y0, x1, y1 in _outside(seen_part(layout), (width, height)):
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, color="white", alpha=0.7, lw=0))
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.set_aspect("equal")
    ax.set_axis_off()


def _other_image(fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"image= is not the one that was read ({fault}); pass that one, or a copy of it"
    )


def draw_words(
    ax: Axes,
    words: Words,
    layer: int,
    *,
    scale: Normalize,
    tile: Tile = 0,
    truth: Truth | None = None,
) -> None:
    """Draw the patches of one tile or of the grid of tiles, each with a bar with its top word.

    The bar's color is the word's value. With known truth it has an outline: thick and green when
    the word is true of the patch, else thin and gray. A patch that is mostly padding has no word.
    The axes must already have their limits and place (`draw_image`), since fonts are fitted to
    them.

    Raises:
        ConfigurationError: no such layer or tile, or truth for another number of patches.
    """
    layout = words.layout
    if truth is not None and len(truth) != len(layout):
        raise ConfigurationError(f"truth has {len(truth)} entries for {len(layout)} patches")
    cells = _roomy_cells(layout, tile)
    boxes = layout.boxes[cells]
    top_ids = words.ids[words.layer_index(layer), cells, 0].tolist()
    top_words = [words.strings[token_id] for token_id in top_ids]
    colors = PALETTE(scale(np.array(top_values(words, layer))[cells]))
    _draw_grid(ax, boxes)

    pixel = _points_per_pixel(ax)
    cell_width, cell_height = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    margin = 0.03 * cell_width
    room = 0.92 * (boxes[:, 2] - boxes[:, 0]) - 2 * margin
    fitted = fit_words(list(map(drawable, top_words)), room * pixel, 0.5 * cell_height * pixel)
    bar = min(0.5 * cell_height, 1.45 * max(text.size for text in fitted) / pixel)
    for cell, (x0, _, x1, y1), word, color, text in zip(
        cells.tolist(), boxes, top_words, colors, fitted, strict=True
    ):
        edge, line = _outline(word, None if truth is None else truth[cell])
        ax.add_patch(
            Rectangle(
                (x0 + margin, y1 - bar - margin),
                x1 - x0 - 2 * margin,
                bar,
                facecolor=color,
                edgecolor=edge,
                linewidth=min(line, 0.08 * cell_width * pixel),
            )
        )
        ax.text(
            (x0 + x1) / 2,
            y1 - margin - bar / 2,
            text.text,
            fontsize=text.size,
            color=ink(color),
            ha="center",
            va="center_baseline",
            clip_on=True,
            **LITERAL,
        )


def _roomy_cells(layout: VisualLayout, tile: Tile) -> np.ndarray:
    """Cells with room for a word: one of zero area shows only padding, and some are slivers."""
    cells = layout.of_tile(tile)
    area = np.prod(layout.boxes[cells, 2:] - layout.boxes[cells, :2], axis=1)
    return cells[area > _SLIVER * area.max()]


def _outline(word: str, truth: Collection[str] | None) -> tuple[str, float]:
    """Color and width in points of the outline of a word."""
    if truth is None:
        return "none", 0.0
    return (RIGHT, 1.8) if is_true(word, truth) else (NEUTRAL, 0.7)


def is_true(word: str, truth: Collection[str]) -> bool:
    """Whether a token names one of the true words, whatever its case and the spaces around it."""
    return word.strip().casefold() in {w.strip().casefold() for w in truth}


def top_values(words: Words, layer: int) -> list[float]:
    """Probability (or cosine) of each patch's top word at a layer."""
    values = np.asarray(words.values)[words.layer_index(layer), :, 0]
    return [float(v) for v in (np.exp(values) if words.kind == "logit_lens" else values)]


def _draw_grid(ax: Axes, boxes: np.ndarray) -> None:
    cells = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)] for x0, y0, x1, y1 in boxes]
    ax.add_collection(LineCollection(cells, colors=DARK, linewidths=0.9, alpha=0.35), autolim=False)
    ax.add_collection(LineCollection(cells, colors=LIGHT, linewidths=0.5, alpha=0.9), autolim=False)


def _points_per_pixel(ax: Axes) -> float:
    """Points of the page per pixel of the image."""
    ax.apply_aspect()
    (x0, _), (x1, _) = ax.transData.transform([(0, 0), (1, 0)])
    return abs(float(x1 - x0)) * 72 / float(ax.get_figure(root=True).dpi)  # type: ignore[union-attr]


def seen_part(layout: VisualLayout) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of what the model sees of the image, in pixels."""
    left, top = layout.boxes[:, :2].min(axis=0)
    right, bottom = layout.boxes[:, 2:].max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def _outside(
    seen: tuple[float, float, float, float], size: tuple[int, int]
) -> list[tuple[float, float, float, float]]:
    """The parts of an image outside a rectangle: at most four strips."""
    width, height = size
    left, top, right, bottom = seen
    strips = [
        (0.0, 0.0, float(width), top),
        (0.0, bottom, float(width), float(height)),
        (0.0, top, left, bottom),
        (right, top, float(width), bottom),
    ]
    return [s for s in strips if s[2] - s[0] > 0.5 and s[3] - s[1] > 0.5]
