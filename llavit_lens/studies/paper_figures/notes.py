"""What stands under a figure: how to read it, and by which rules it was made."""

from __future__ import annotations

from collections.abc import Sequence

from llavit_lens.figures.demo import MINIATURE
from llavit_lens.studies.paper_figures import word_choice
from llavit_lens.studies.paper_figures.parts import model_titles
from llavit_lens.studies.paper_figures.readings import PictureReadings
from llavit_lens.studies.paper_figures.specs import FigureSpec


def figure_notes(
    spec: FigureSpec,
    pictures: Sequence[PictureReadings],
    meanings: Sequence[str],
    miniature: bool,
) -> list[str]:
    """Paragraphs.

    Args:
        meanings: what a mark on a word may mean; none where nothing is marked.
        miniature: models of the demo are among those shown.
    """
    places = {reading.place for picture in pictures for reading in picture.patches[0].readings}
    output = " and ".join(sorted(places - {"input"})).capitalize()
    read = f"{output}: the words that the LLM finds likeliest there (logit lens)."
    if spec.shows_input:
        read = f"Input: words whose embeddings are nearest to the visual token (Eq. 4). {read}"
    if meanings:
        read += f" {'Bold' if spec.bold else 'Yellow'}: {', or '.join(meanings)}."
    else:
        read += " No word is marked: it is not known which are relevant (--relevant tells)."
    rules = "; ".join(dict.fromkeys(picture.rule for picture in pictures))
    chosen = f"Patches: {rules}."
    titles = model_titles(pictures)
    said = [name if title == name else f"{title} is {name}" for name, title in titles.items()]
    return [
        read,
        f"{word_choice.RULE} {chosen}" if spec.chosen else chosen,
        f"Model{'s' * (len(said) > 1)}: {', '.join(said)}.",
        *([MINIATURE] if miniature else []),
    ]
