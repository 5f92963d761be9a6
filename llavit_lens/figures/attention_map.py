"""Where a token looks: the attention of one token on every patch of the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from llavit_lens.figures.fit import wrap
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import Page
from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.patch_values import draw_color_scale, draw_values, outline, tiles_of
from llavit_lens.figures.style import MUTED
from llavit_lens.results.result import image_of

if TYPE_CHECKING:
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.attention_patterns import AttentionPatterns, Head, Query

# Inches.
_EDGE, _GAP, _PANEL, _SCALE = 0.3, 0.25, 3.7, 3.2

# Light to dark in one direction, readable without color vision.
_PALETTE = colormaps["YlOrRd"]


def draw_attention(
    patterns: AttentionPatterns,
    query: Query | None = None,
    layer: int = -1,
    head: Head = "mean",
    image: ImageSource | None = None,
) -> Figure:
    """Draw the picture, and it again in gray, each patch tinted by the weight it gets.

    A picture that the model sees in several tiles is tinted twice, whole and in tiles: a
    token attends to both. A patch that is the query has a frame.

    Args:
        query, layer, head: as in `AttentionPatterns.at`.
        image: as in `Words.plot`.

    Raises:
        ConfigurationError: as `AttentionPatterns.at`; or there is no image, or it is another one.
        ImageError: the image cannot be read.
    """
    weights = patterns.at(query, layer, head)
    share = patterns.share(query, layer, head)
    token, number = patterns.query(query), patterns.layer_number(layer)
    layout, digest = patterns.layout, patterns.provenance.get("image_sha256")
    picture = image_of(image, patterns.image, layout, digest)
    panels = tiles_of(layout)

    width, height = _PANEL, _PANEL * picture.height / picture.width
    page_width = 2 * _EDGE + width + len(panels) * (width + _GAP)
    room = (page_width - 2 * _EDGE) * 70  # points, and a little air
    name = f"{token.kind} '{drawable(token.text)}'" if token.text else token.kind
    title = wrap(f"Where the {name} looks", room / 1.15, 16)
    who = {
        "mean": f"mean of {len(patterns.heads)} heads",
        "max": f"the largest of {len(patterns.heads)} heads",
    }.get(str(head), f"head {head}")
    said = "of its attention goes" if head != "max" else "of the attention of one head goes"
    subtitle = wrap(
        f"{drawable(patterns.model)}, layer {number} of 0 to {patterns.n_layers - 1}, {who}. "
        f"{'Up to ' if head == 'max' else ''}{share:.0%} {said} to the picture, the rest to text.",
        room,
        10.5,
    )
    question = wrap(f"Asked: {drawable(patterns.prompt)}", room, 10.5)
    lines = len(title.splitlines()), len(subtitle.splitlines()), len(question.splitlines())
    under_title = _EDGE + 0.34 * lines[0]
    under_subtitle = under_title + 0.06 + 0.2 * lines[1]
    head_height = under_subtitle + 0.2 * lines[2] + 0.4
    page = Page(page_width, head_height + height + 0.95 + _EDGE)
    page.text(_EDGE, _EDGE - 0.02, title, size=16, weight="bold")
    page.text(_EDGE, under_title + 0.02, subtitle, size=10.5, color=MUTED)
    page.text(_EDGE, under_subtitle, question, size=10.5, color=MUTED)

    scale = Normalize(0.0, max(float(weights.max()), 1e-9))
    page.text(_EDGE, head_height - 0.25, "the picture", size=11)
    draw_image(page.axes(_EDGE, head_height, width, height), picture, layout)
    for column, (tile, panel_name) in enumerate(panels, 1):
        left = _EDGE + column * (width + _GAP)
        page.text(left, head_height - 0.25, f"attention{panel_name and ', '}{panel_name}", size=11)
        ax = page.axes(left, head_height, width, height)
        draw_values(ax, picture, layout, weights, scale, _PALETTE, tile)
        if token.cell >= 0 and token.cell in layout.of_tile(tile):
            outline(ax, layout.boxes[token.cell])
    even = _percent(1 / patterns.n_tokens)
    most = scale.vmax or 0.0
    ticks = {0.0: "0", most / 2: _percent(most / 2), most: _percent(most)}
    meaning = wrap(
        "share of the token's attention on the patch (spread evenly over all "
        f"{patterns.n_tokens} tokens it would be {even})",
        room,
        10,
    )
    draw_color_scale(
        page, _EDGE, head_height + height + 0.2, _SCALE, scale, _PALETTE, meaning, ticks
    )
    return page.figure


def _percent(share: float) -> str:
    """With two digits that count."""
    digits = 0 if share >= 0.1 or share == 0 else int(np.ceil(-np.log10(share * 100))) + 1
    return f"{share:.{min(max(digits, 0), 6)}%}"
