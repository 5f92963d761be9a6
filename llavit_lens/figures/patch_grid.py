"""The image, its patch grid and one word per patch, drawn on given axes."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.fit import fit_words
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.regions import Region, regions_of
from llavit_lens.figures.style import DARK, LIGHT, LITERAL, RIGHT, TINT
from llavit_lens.results.result import image_of

if TYPE_CHECKING:
    from llavit_lens.images.layout import Tile, VisualLayout
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.truth import WordsOfPatches
    from llavit_lens.results.words import Words

_SLIVER = 0.25  # of a whole patch
_ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|U[0-9a-f]{8})")
_RIGHT_LINE = 2.0  # points
_FADED = 0.25  # how much of a backdrop is white
_LARGEST_DRAWN = 1600  # pixels: a figure shows no more, and a PDF would carry them all


def image_of_words(all_words: Sequence[Words], image: ImageSource | None) -> Image.Image:
    """The image to draw words on.

    Args:
        all_words: those of a figure.
        image: the one that they were read from, or a sharper or smaller copy of it; default: that
            of the first words.

    Raises:
        ConfigurationError: none is given, and the words (read from a file) hold none; the words
            were read from several images, or from another one; their tokens are no patches.
        ImageError: the image cannot be read.
    """
    for words in all_words:
        words.layout.check_map()
    digests = {words.provenance.get("image_sha256") for words in all_words} - {None}
    if len(digests) > 1:
        raise ConfigurationError(
            "these words were read from different images; draw them in different figures"
        )
    first = all_words[0]
    return image_of(image, first.image, first.layout, next(iter(digests), None))


def draw_image(
    ax: Axes, image: Image.Image, layout: VisualLayout, *, backdrop: bool = False
) -> None:
    """Draw the image in the layout's coordinates; what the model does not see of it is faded.

    The image may have more or fewer pixels than the one that the model was given.

    Args:
        backdrop: a little faded, so that what is drawn on it stands out, and only the part that
            the model sees.

    Raises:
        ConfigurationError: the image has another shape than the one that the layout is of.
    """
    width, height = layout.image_size
    if abs(image.width * height - image.height * width) > 0.02 * image.height * width:
        raise _other_image(
            f"{image.width} x {image.height} pixels, of another shape than {width} x {height}"
        )
    small = image.convert("RGB")
    if backdrop:
        small = Image.blend(small, Image.new("RGB", small.size, "white"), _FADED)
    small.thumbnail((_LARGEST_DRAWN, _LARGEST_DRAWN))
    ax.imshow(np.asarray(small), extent=(0, width, height, 0), interpolation="bicubic")
    seen = seen_part(layout)
    if not backdrop:
        for x0, y0, x1, y1 in _outside(seen, (width, height)):
            ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, color="white", alpha=0.7, lw=0))
        seen = (0.0, 0.0, float(width), float(height))
    ax.set_xlim(seen[0], seen[2])
    ax.set_ylim(seen[3], seen[1])
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
    tile: Tile | None = None,
    truth: WordsOfPatches | None = None,
) -> None:
    """Tint the patches of one tile or of the grid of tiles, and write their top words on them.

    The darker the tint, the higher the word's value. Patches side by side with the same top word
    are one region, with one label. A word stands there only where it can be read (`fit_words`);
    smaller patches have their tint only, and so has a patch that is mostly padding.

    With known truth a region whose word is true of its patches has a green outline, and a patch of
    which nothing is known a diagonal line.

    The axes must already have their limits and place (`draw_image`), since fonts are fitted to
    them.

    Raises:
        ConfigurationError: no such layer or tile.
    """
    layout = words.layout
    cells = _roomy_cells(layout, tile)
    boxes = layout.boxes[cells]
    top_ids = words.ids[words.layer_index(layer), cells, 0].tolist()
    top_words = [drawable(words.strings[token_id]) for token_id in top_ids]
    verdicts = [
        None if truth is None or (true := truth[cell]) is None else is_true(words.strings[i], true)
        for cell, i in zip(cells.tolist(), top_ids, strict=True)
    ]
    _draw_tints(ax, boxes, TINT(scale(np.array(top_values(words, layer))[cells])))
    regions = regions_of(boxes, list(zip(top_words, verdicts, strict=True)))
    _draw_edges(ax, regions)
    points = _points_per_pixel(ax)
    if truth is not None:
        _draw_unknown(ax, boxes[[verdict is None for verdict in verdicts]])
        right = [region for region in regions if verdicts[region.cells[0]]]
        cell_width = float(np.median(boxes[:, 2] - boxes[:, 0]))
        draw_right(ax, right, min(_RIGHT_LINE, 0.08 * cell_width * points), points)
    _draw_labels(ax, regions, [top_words[region.cells[0]] for region in regions], points)


def _draw_tints(ax: Axes, boxes: np.ndarray, colors: np.ndarray) -> None:
    corners = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1 in boxes]
    tints = PolyCollection(corners, facecolors=colors, edgecolors="none", antialiaseds=False)
    ax.add_collection(tints, autolim=False)


def _draw_edges(ax: Axes, regions: Sequence[Region]) -> None:
    edges = [edge for region in regions for edge in region.edges()]
    for color, line, alpha in ((DARK, 0.9, 0.35), (LIGHT, 0.5, 0.9)):
        ax.add_collection(
            LineCollection(edges, colors=color, linewidths=line, alpha=alpha), autolim=False
        )


def _draw_unknown(ax: Axes, boxes: np.ndarray) -> None:
    """A diagonal across each patch of which nothing is known."""
    diagonals = [((x0, y1), (x1, y0)) for x0, y0, x1, y1 in boxes.tolist()]
    for color, line in ((DARK, 1.1), (LIGHT, 0.6)):
        ax.add_collection(
            LineCollection(diagonals, colors=color, linewidths=line, alpha=0.6), autolim=False
        )


def draw_right(ax: Axes, regions: Sequence[Region], line: float, points: float) -> None:
    """A green outline just inside each region.

    Args:
        line: its width in points.
        points: of the page, for each pixel of the image.
    """
    edges = [edge for region in regions for edge in region.inner_edges(0.6 * line / points)]
    ax.add_collection(
        LineCollection(edges, colors=RIGHT, linewidths=line, capstyle="projecting"), autolim=False
    )


def _draw_labels(ax: Axes, regions: Sequence[Region], texts: Sequence[str], points: float) -> None:
    """The words of the regions, each on a light ground.

    Escaped characters stand whole or not at all: a part of an escape tells a reader nothing.
    """
    rooms = np.array([region.room for region in regions]).reshape(-1, 4)
    widths, heights = ((rooms[:, 2:] - rooms[:, :2]) * points).T
    fitted = fit_words(texts, 0.88 * widths - 1, 0.8 * heights)
    for (x0, y0, x1, y1), text, label in zip(rooms.tolist(), texts, fitted, strict=True):
        if label is None or not label.text:
            continue
        if _ESCAPE.search(text) and "".join(label.text.split()) != "".join(text.split()):
            continue
        ax.text(
            (x0 + x1) / 2,
            (y0 + y1) / 2,
            label.text,
            fontsize=label.size,
            linespacing=1.0,
            color=DARK,
            ha="center",
            va="center",
            bbox={
                "boxstyle": f"round,pad={0.12},rounding_size=0.25",
                "facecolor": LIGHT,
                "alpha": 0.82,
                "edgecolor": "none",
            },
            **LITERAL,
        )


def _roomy_cells(layout: VisualLayout, tile: Tile | None) -> np.ndarray:
    """Cells with room for a word: one of zero area shows only padding, and some are slivers."""
    cells = layout.cells_drawn(tile)
    area = np.prod(layout.boxes[cells, 2:] - layout.boxes[cells, :2], axis=1)
    return cells[area > _SLIVER * area.max()]


def is_true(word: str, truth: Collection[str]) -> bool:
    """Whether a token names one of the true words, whatever its case and the spaces around it."""
    return word.strip().casefold() in {w.strip().casefold() for w in truth}


def top_values(words: Words, layer: int) -> list[float]:
    """Probability (or cosine) of each patch's top word at a layer."""
    values = np.asarray(words.values)[words.layer_index(layer), :, 0]
    return [float(v) for v in (np.exp(values) if words.kind == "logit_lens" else values)]


def _points_per_pixel(ax: Axes) -> float:
    """Points of the page per pixel of the image."""
    ax.apply_aspect()
    (x0, _), (x1, _) = ax.transData.transform([(0, 0), (1, 0)])
    return abs(float(x1 - x0)) * 72 / float(ax.get_figure(root=True).dpi)  # type: ignore[union-attr]


def seen_part(layout: VisualLayout) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of what the model sees of the image, in pixels."""
    if not layout.has_map:
        return 0.0, 0.0, float(layout.image_size[0]), float(layout.image_size[1])
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
