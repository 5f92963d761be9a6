"""Words of several models, one above the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llavit_lens.figures.color_scale import Scale
from llavit_lens.figures.figure import Figure
from llavit_lens.figures.panels import draw_word_panels

if TYPE_CHECKING:
    from llavit_lens.images.layout import Tile
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.comparison import Comparison
    from llavit_lens.results.truth import Truth
    from llavit_lens.results.words import LayerChoice


def draw_word_comparison(
    comparison: Comparison,
    layer: LayerChoice = -1,
    image: ImageSource | None = None,
    *,
    truth: Truth | None = None,
    tile: Tile | None = None,
    scale: Scale = "data",
    title: str | None = None,
) -> Figure:
    """Draw the image, and beside it a row for each model and a column for each layer.

    Args:
        layer: of the first model, one or several (see `Words.layers_chosen`); the others' are those
            at the same share of the depth.
        image, truth, tile, scale, title: as in `draw_word_panels`.

    Raises:
        ConfigurationError, ImageError: as `draw_word_panels` and `Comparison.layer_of`.
    """
    chosen = comparison.words[0].layers_chosen(layer)
    rows = [
        (name, [(words, comparison.layer_of(number, chosen_layer)) for chosen_layer in chosen])
        for number, (name, words) in enumerate(zip(comparison.names, comparison.words, strict=True))
    ]
    return draw_word_panels(rows, image, title=title, truth=truth, tile=tile, scale=scale)
