"""One model: the image, and the top word of every patch at one layer or at several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.color_scale import Scale, value_scale
from llavit_lens.figures.labels import model_name
from llavit_lens.figures.panels import draw_word_panels, panel_name
from llavit_lens.figures.patch_grid import draw_image, draw_words, image_of_words, top_values
from llavit_lens.figures.style import LITERAL
from llavit_lens.results.truth import words_of_patches

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from llavit_lens.images.layout import Tile
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.truth import Truth
    from llavit_lens.results.words import LayerChoice, Words


def draw_patch_words(
    words: Words,
    image: ImageSource | None = None,
    layer: LayerChoice = -1,
    *,
    truth: Truth | None = None,
    tile: Tile | None = None,
    scale: Scale = "data",
    title: str | None = None,
    ax: Axes | None = None,
) -> MatplotlibFigure:
    """Draw the image, and it again for each layer with the top words, colored by their values.

    How large the panels are, and which words are left out: see `draw_word_panels`.

    Args:
        words: what a lens read.
        image: the one that the words were read from, or a sharper or smaller copy of it; default:
            that one.
        layer: one layer, or several: see `Words.layers_chosen`.
        truth: for each visual token the words that are true of its patch (None: unknown), or a
            `LabelledImage`; right words get a green outline.
        tile: which tile of an image that the model sees in several, or "grid" for all that show
            parts of it; default: the whole image.
        scale: where the colors end: "data" at the largest value drawn, "fixed" at 1 (100 %), so
            that figures compare.
        title: the headline; default: the model's name.
        ax: axes of another figure to draw one layer on, without the image beside it and a legend.

    Raises:
        ConfigurationError: the words hold no such layer or tile, or no image; or it is another; or
            several layers for one `ax`.
    """
    layers = words.layers_chosen(layer)
    if ax is None:
        rows = [(model_name(words), [(words, number) for number in layers])]
        return draw_word_panels(rows, image, title=title, truth=truth, tile=tile, scale=scale)
    if len(layers) != 1:
        raise ConfigurationError("ax has room for one layer; leave it out to draw several")
    draw_image(ax, image_of_words([words], image), words.layout, backdrop=True)
    norm = value_scale(words.kind, top_values(words, layers[0]), scale)
    known = words_of_patches(truth, words)
    draw_words(ax, words, layers[0], scale=norm, tile=tile, truth=known)
    ax.set_title(title or panel_name(words, layers[0], tile), fontsize=10, **LITERAL)
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
