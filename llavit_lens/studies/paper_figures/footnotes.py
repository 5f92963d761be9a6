"""How to read a figure, and by which rules it was made: the text at its foot."""

from __future__ import annotations

from collections.abc import Sequence

from llavit_lens.figures.demo import MINIATURE
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.studies.paper_figures import word_choice
from llavit_lens.studies.paper_figures.contents import FigureImage, model_titles
from llavit_lens.studies.paper_figures.definitions import PaperFigure


def figure_notes(
    figure: PaperFigure,
    images: Sequence[FigureImage],
    meanings: Sequence[str],
    miniature: bool,
) -> list[str]:
    """Paragraphs.

    Args:
        meanings: what a mark on a word may mean; none where nothing is marked.
        miniature: models of the demo are among those drawn.
    """
    layers = {top.layer_name for image in images for top in image.patches[0].top_words}
    output = " and ".join(sorted(layers - {"input"})).capitalize()
    read = f"{output}: the words that the LLM finds likeliest there (logit lens)."
    if figure.shows_input:
        read = f"Input: words whose embeddings are nearest to the visual token (Eq. 4). {read}"
    if meanings:
        read += f" {'Bold' if figure.bold else 'Yellow'}: {', or '.join(meanings)}."
    else:
        read += " No word is marked: it is not known which are relevant (--relevant tells)."
    rules = "; ".join(dict.fromkeys(image.rule for image in images))
    patches = f"Patches: {rules}."
    titles = model_titles(images)
    models = [name if title == name else f"{title} is {name}" for name, title in titles.items()]
    return [
        read,
        f"{word_choice.RULE} {patches}" if figure.words_drawn else patches,
        f"Model{'s' * (len(models) > 1)}: {', '.join(models)}.",
        *([MINIATURE] if miniature else []),
    ]


def draw_footnotes(page: Page, top: float, notes: Sequence[str]) -> float:
    """A paragraph for each note. Returns where they end."""
    top += 0.15
    for note in notes:
        top = page.paragraph(EDGE, top, drawable(note), size=9.5)
    return top
