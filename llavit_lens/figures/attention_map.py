"""Where a token looks: the attention of one token on every patch of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from llavit_lens.figures.color_scale import draw_color_scale
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.patch_values import draw_values, outline, tiles_of
from llavit_lens.results.result import image_of

if TYPE_CHECKING:
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.attention_patterns import AttentionPatterns, Head, Query

_GAP, _PANEL = 0.25, 3.7  # inches

# Light to dark in one direction, readable without color vision.
_PALETTE = colormaps["YlOrRd"]


def draw_attention(
    patterns: AttentionPatterns,
    query: Query | None = None,
    layer: int = -1,
    head: Head = "mean",
    image: ImageSource | None = None,
) -> Figure:
    """Draw the image, and it again in gray, each patch tinted by the weight it gets.

    An image that the model sees in several tiles is tinted twice, whole and in tiles: a
    token attends to both. A patch that is the query has a frame.

    Args:
        query, layer, head: as in `AttentionPatterns.at`.
        image: as in `Words.plot`.

    Raises:
        ConfigurationError: as `AttentionPatterns.at`; or there is no image, or it is another one.
        ImageError: the image cannot be read.
    """
    weights = patterns.at(query, layer, head)
    token, layout = patterns.query(query), patterns.layout
    pixels = image_of(image, patterns.image, layout, patterns.provenance.get("image_sha256"))
    panels = tiles_of(layout)
    width, height = _PANEL, _PANEL * pixels.height / pixels.width
    page = Page(2 * EDGE + width + len(panels) * (width + _GAP))
    name = f"{token.kind} '{drawable(token.text)}'" if token.text else token.kind
    top = page.heading(
        f"Where the {name} looks",
        _about(patterns, query, layer, head),
        f"Asked: {drawable(patterns.prompt)}",
    )
    top += 0.4

    def panel(column: int, title: str) -> Axes:
        left = EDGE + column * (width + _GAP)
        page.text(left, top - 0.25, title, size=11)
        return page.axes(left, top, width, height)

    scale = Normalize(0.0, max(float(weights.max()), 1e-9))
    draw_image(panel(0, "the image"), pixels, layout)
    for column, (tile, tile_name) in enumerate(panels, 1):
        axes = panel(column, f"attention{tile_name and ', '}{tile_name}")
        draw_values(axes, pixels, layout, weights, scale, _PALETTE, tile)
        if token.cell >= 0 and token.cell in layout.of_tile(tile):
            outline(axes, layout.boxes[token.cell])
    most = scale.vmax or 0.0
    foot = draw_color_scale(
        page,
        EDGE,
        top + height + 0.2,
        scale,
        _PALETTE,
        "share of the token's attention on the patch (spread evenly over all "
        f"{patterns.n_tokens} tokens it would be {_percent(1 / patterns.n_tokens)})",
        ticks={0.0: "0", most / 2: _percent(most / 2), most: _percent(most)},
    )
    return page.finish(foot + EDGE)


def _about(patterns: AttentionPatterns, query: Query | None, layer: int, head: Head) -> str:
    """Which model, layer and heads, and how much of the attention goes to the image."""
    share = patterns.share(query, layer, head)
    heads = {
        "mean": f"mean of {len(patterns.heads)} heads",
        "max": f"the largest of {len(patterns.heads)} heads",
    }.get(str(head), f"head {head}")
    part = "of its attention goes" if head != "max" else "of the attention of one head goes"
    return (
        f"{drawable(patterns.model)}, layer {patterns.layer_number(layer)} of 0 to "
        f"{patterns.n_layers - 1}, {heads}. {'Up to ' if head == 'max' else ''}{share:.0%} {part} "
        "to the image, the rest to text."
    )


def _percent(share: float) -> str:
    """With two digits that count."""
    digits = 0 if share >= 0.1 or share == 0 else int(np.ceil(-np.log10(share * 100))) + 1
    return f"{share:.{min(max(digits, 0), 6)}%}"
