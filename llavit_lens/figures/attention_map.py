"""Where a token looks: the attention of one token on every patch of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from llavit_lens.figures.color_scale import draw_color_scale
from llavit_lens.figures.figure import Figure
from llavit_lens.figures.fit import shorten
from llavit_lens.figures.labels import asked, same_decimals, two_digits
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.patch_values import draw_values, outline, tiles_of
from llavit_lens.figures.style import MUTED, TINT
from llavit_lens.results.result import image_of

if TYPE_CHECKING:
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.attention_patterns import AttentionPatterns, Head, Query

_GAP, _PANEL = 0.25, 3.7  # inches
_SMALL = 11.0  # points


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
        ConfigurationError: as `AttentionPatterns.at`; or there is no image, or it is another one;
            or visual tokens are no patches.
        ImageError: the image cannot be read.
    """
    patterns.layout.check_map()
    weights = patterns.at(query, layer, head)
    token, layout = patterns.query(query), patterns.layout
    pixels = image_of(image, patterns.image, layout, patterns.provenance.get("image_sha256"))
    panels = tiles_of(layout)
    width, height = _PANEL, _PANEL * pixels.height / pixels.width
    page = Page(2 * EDGE + width + len(panels) * (width + _GAP))
    kind = drawable(token.kind)
    name = f"{kind} '{drawable(token.text)}'" if token.text else kind
    top = page.heading(f"Where the {name} looks", _about(patterns, query, layer, head), size=15)
    line = f"asked: {drawable(asked(patterns.prompt))}"
    room = 72 * (page.width - 2 * EDGE) / _SMALL
    page.text(EDGE, top, shorten(line, room), size=_SMALL, color=MUTED)
    top += 0.65

    def panel(column: int, title: str) -> Axes:
        left = EDGE + column * (width + _GAP)
        page.text(left, top - 0.25, title, size=11)
        return page.axes(left, top, width, height)

    # by the square root: one patch often has as much as a hundred others
    scale = PowerNorm(0.5, 0.0, max(float(weights.max()), 1e-9), clip=True)
    draw_image(panel(0, "the image"), pixels, layout)
    for column, (tile, tile_name) in enumerate(panels, 1):
        axes = panel(column, f"attention{tile_name and ', '}{tile_name}")
        draw_values(axes, pixels, layout, weights, scale, TINT, tile)
        if token.cell >= 0 and token.cell in layout.of_tile(tile):
            outline(axes, layout.boxes[token.cell])
    most, even = scale.vmax or 0.0, 1 / patterns.n_tokens
    at = (0.0, most / 4, most)
    foot = draw_color_scale(
        page,
        EDGE + 0.1,
        top + height + 0.2,
        scale,
        TINT,
        "share of the token's attention on the patch; the scale ends at the largest, "
        f"{two_digits(most)} (spread evenly over all {patterns.n_tokens} tokens: "
        f"{two_digits(even)})",
        _PANEL - 0.2,
        ticks=dict(zip(at, same_decimals(at), strict=True)),
    )
    page.figure.caption = (
        "Each patch is one visual token. The darker it is, the more attention it gets from the "
        f"{name}; colors follow the square root of the share, so that small ones are seen."
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
