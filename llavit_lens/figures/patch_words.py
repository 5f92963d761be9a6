"""One model, one layer: the image with its patch grid and the top word on every patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llavit_lens.figures.labels import model_name
from llavit_lens.figures.panels import draw_word_panels, panel_name
from llavit_lens.figures.patch_grid import Truth, draw_image, draw_words, image_of_words, top_values
from llavit_lens.figures.style import LITERAL, value_scale

if TYPE_CHECKING:
    from llavit_lens.images.layout import Tile
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.words import Words


def draw_patch_words(
    words: Words,
    image: ImageSource | None = None,
    layer: int = -1,
    *,
    ax: Axes | None = None,
    truth: Truth | None = None,
    tile: Tile = 0,
) -> Figure:
    """Draw the top word of every patch on the image, colored by its probability (or cosine).

    Args:
        words: what a lens read.
        image: the one that the words were read from, or a sharper or smaller copy of it; default:
            that one.
        layer: as in `Words.at`: 0 = projector output; negative: from the end.
        ax: axes of another figure to draw on; default: a new figure with title and scale.
        truth: for each visual token the words that are true of its patch (None: unknown); right
            words get a green outline.
        tile: which tile of an image that the model sees in several: 0 is the whole image,
            1, 2, … its parts, "grid" all those parts together.

    Raises:
        ConfigurationError: the words hold no such layer or tile, or no image; or it is another.
    """
    if ax is None:
        rows = [(model_name(words), [(words, layer)])]
        return draw_word_panels(rows, image, truth=truth, tile=tile)
    draw_image(ax, image_of_words([words], image), words.layout)
    scale = value_scale(words.kind, top_values(words, layer))
    draw_words(ax, words, layer, scale=scale, tile=tile, truth=truth)
    ax.set_title(panel_name(words, layer, tile), fontsize=10, **LITERAL)
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
