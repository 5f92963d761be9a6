"""The demo's figure: a scene, and what miniature models make of each of its patches."""

from __future__ import annotations

from matplotlib.figure import Figure
from PIL import Image

from llavit_lens.figures.panels import Panels, draw_word_panels
from llavit_lens.results.truth import Truth

MINIATURE = (
    "These are miniature models, a few million weights each, trained on drawn scenes like this "
    "one. They show how the lens works; they are not the models of the paper."
)


def draw_comparison(
    image: Image.Image,
    rows: Panels,
    truth: Truth | None = None,
) -> Figure:
    """Draw the scene, and to the right of it one row for each model with one panel for each layer.

    Args:
        image: the scene; it may be a sharper rendering of the one that the models were given.
        rows: (model, panels), a panel is (words, layer): usually the input, a middle layer and
            the output.
        truth: the true words of each patch, None for a patch that is not judged.

    Raises:
        ConfigurationError: as `draw_word_panels`.
    """
    return draw_word_panels(
        rows,
        image,
        title="Miniature models: the word of each patch",
        truth=truth,
    )
