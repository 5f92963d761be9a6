"""All that a figure draws: its images, their numbered patches, and the words read off these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from llavit_lens.figures import names
from llavit_lens.figures.numbered import NumberedPatch, PatchWord
from llavit_lens.images.layout import VisualLayout
from llavit_lens.studies.paper_figures.patch_choice import Cell
from llavit_lens.token_text import escaped


@dataclass(frozen=True)
class RankedWord:
    """One of the top words of a patch.

    Attributes:
        rank: from 1.
        text: the token's text, with its leading space if it has one.
        id: token id.
        value: cosine or probability, to six significant digits.
        relevant: true of the thing on the patch, or in the user's list for the image; None:
            not judged.
        whole_word: it is one, by `Vocabulary.is_word`.
    """

    rank: int
    text: str
    id: int
    value: float
    relevant: bool | None
    whole_word: bool

    @property
    def drawn(self) -> str:
        """The text in printable ASCII."""
        return escaped(self.text)


@dataclass(frozen=True)
class TopWords:
    """The top words of one patch at one layer of one model.

    Attributes:
        model: its name.
        layer: 0 is the projector's output.
        layer_name: `input`, `output` or `layer 2`.
        measure: what the values are.
        words: best first.
        order: indices into `words` of those drawn, in the order in which they are drawn.
    """

    model: str
    layer: int
    layer_name: str
    measure: Literal["cosine", "probability"]
    words: tuple[RankedWord, ...]
    order: tuple[int, ...]

    @property
    def drawn(self) -> list[RankedWord]:
        return [self.words[i] for i in self.order]


@dataclass(frozen=True)
class FigurePatch:
    """One numbered patch.

    Attributes:
        number: from 1 through the figure.
        cell: (row, column, tile).
        box: (left, top, right, bottom) in pixels of the image.
        relevant: the words that count as relevant to it; None: not judged.
        top_words: of each model and layer.
    """

    number: int
    cell: Cell
    box: tuple[float, float, float, float]
    relevant: tuple[str, ...] | None
    top_words: tuple[TopWords, ...]

    def numbered(self, *, gray_fillers: bool) -> NumberedPatch:
        """The patch as it is drawn; `gray_fillers`: tokens that are no whole words are gray."""
        return NumberedPatch(
            self.number,
            self.box,
            [
                [
                    PatchWord(
                        word.drawn,
                        marked=bool(word.relevant),
                        filler=gray_fillers and not word.whole_word,
                    )
                    for word in top.drawn
                ]
                for top in self.top_words
            ],
        )


@dataclass(frozen=True, eq=False)
class FigureImage:
    """One image of a figure.

    Attributes:
        name: what it is called.
        image: the one to draw; it may be sharper than the one that was read.
        layout: where its patches lie.
        models: names, left to right.
        patches: those drawn.
        rule: by which they were chosen.
    """

    name: str
    image: Image.Image
    layout: VisualLayout
    models: tuple[str, ...]
    patches: tuple[FigurePatch, ...]
    rule: str

    def size_within(self, width: float, height: float) -> tuple[float, float]:
        """(width, height) of the image that fills a space as far as its shape allows."""
        scale = min(width / self.image.width, height / self.image.height)
        return self.image.width * scale, self.image.height * scale


def model_titles(images: Sequence[FigureImage]) -> dict[str, str]:
    """What the columns of a figure's models are called, by the models' names."""
    return names.model_titles(name for image in images for name in image.models)
