"""What the paper's figures of words show, one definition for each."""

from __future__ import annotations

from dataclasses import dataclass

WIDTH = 10.0  # inches: a README shows a page at about 90 pixels an inch
TOP = 3  # words that are read off each patch
PATCHES = 4  # of each image, where none are named


@dataclass(frozen=True)
class PaperFigure:
    """One figure of the paper.

    Attributes:
        number: the paper's.
        title: what it shows, in a line.
        shows_input: the words at the input (Eq. 4) as well as those at the output.
        words_drawn: how many of the top 3 words, without values; None: all, with values.
        bold: in the paper relevant words are bold, as in Figure 3, and not yellow.
        compares: by default a second model stands beside the baseline.
        scenes: numbers of the example scenes that are drawn by default, of those with three things
            or more, in the order in which they ship. As in the paper, Figure 4 has the images of
            Figure 1, and Figure 3 has one of Figure 5 and one of Figure 6.
    """

    number: int
    title: str
    shows_input: bool
    words_drawn: int | None
    bold: bool
    compares: bool
    scenes: tuple[int, int]

    @property
    def name(self) -> str:
        """`figure_1`: the name of its files."""
        return f"figure_{self.number}"


FIGURES: dict[int, PaperFigure] = {
    figure.number: figure
    for figure in (
        PaperFigure(
            1, "How the LLM reads visual tokens at its input and at its output",
            shows_input=True, words_drawn=2, bold=False, compares=False, scenes=(0, 1),
        ),
        PaperFigure(
            3, "Visual tokens in words, at the output of the LLM",
            shows_input=False, words_drawn=2, bold=True, compares=True, scenes=(2, 5),
        ),
        PaperFigure(
            4, "The top 3 words of visual tokens, at the LLM's input and output",
            shows_input=True, words_drawn=None, bold=False, compares=False, scenes=(0, 1),
        ),
        PaperFigure(
            5, "The top 3 words of visual tokens, at the output of the LLM",
            shows_input=False, words_drawn=None, bold=False, compares=True, scenes=(2, 3),
        ),
        PaperFigure(
            6, "The top 3 words of visual tokens, at the output of the LLM: two more images",
            shows_input=False, words_drawn=None, bold=False, compares=True, scenes=(4, 5),
        ),
    )
}  # fmt: skip
