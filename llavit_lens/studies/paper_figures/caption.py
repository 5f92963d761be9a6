"""How to read a figure, and by which rules it was made: its caption."""

from __future__ import annotations

from collections.abc import Sequence

from llavit_lens.figures.demo import MINIATURE
from llavit_lens.figures.names import which_models
from llavit_lens.figures.numbered import Mark
from llavit_lens.studies.paper_figures import word_choice
from llavit_lens.studies.paper_figures.contents import FigureImage, model_titles
from llavit_lens.studies.paper_figures.definitions import PaperFigure

_MARKS: dict[Mark, str] = {"outline": "Green outline", "yellow": "Yellow", "bold": "Bold"}


def figure_notes(
    figure: PaperFigure,
    images: Sequence[FigureImage],
    meanings: Sequence[str],
    mark: Mark,
    miniature: bool,
) -> list[str]:
    """Paragraphs of the caption, safe to draw.

    Args:
        mark: of relevant words.
        meanings: what a mark on a word may mean; none where nothing is marked.
        miniature: models of the demo are among those drawn.
    """
    layers = {top.layer_name for image in images for top in image.patches[0].top_words}
    output = " and ".join(sorted(layers - {"input"})).capitalize()
    read = f"{output}: the words that the LLM finds likeliest there (logit lens)."
    if figure.shows_input:
        read = f"Input: words whose embeddings are nearest to the visual token (Eq. 4). {read}"
    if meanings:
        read += f" {_MARKS[mark]}: {', or '.join(meanings)}."
    else:
        read += " No word is marked: it is not known which are relevant (--relevant tells)."
    rules = "; ".join(dict.fromkeys(image.rule for image in images))
    patches = f"Patches: {rules}."
    titles = model_titles(images)
    return [
        read,
        f"{word_choice.RULE} {patches}" if figure.words_drawn else patches,
        which_models(titles),
        *([MINIATURE] if miniature else []),
    ]
