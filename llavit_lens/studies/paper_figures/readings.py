"""What models read off chosen patches of a picture: all that a figure draws and its file holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.legible import escaped
from llavit_lens.figures.patch_grid import is_true
from llavit_lens.images.layout import VisualLayout
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.token_strings import token_strings
from llavit_lens.results.words import Words
from llavit_lens.studies.paper_figures.patch_choice import Place
from llavit_lens.studies.paper_figures.specs import TOP, FigureSpec
from llavit_lens.studies.paper_figures.word_choice import Vocabulary, choose_words
from llavit_lens.vlm.trace import Trace

_DIGITS = 6  # significant ones of a value


@dataclass(frozen=True)
class Probed:
    """What one model makes of one picture: the top 3 words of every patch.

    Attributes:
        model: its name, as it was asked for.
        words: at the input (where the figure shows it) and at the output, in this order.
        vocabulary: tells its whole words.
    """

    model: str
    words: tuple[Words, ...]
    vocabulary: Vocabulary

    @property
    def layout(self) -> VisualLayout:
        return self.words[-1].layout


@dataclass(frozen=True)
class ReadWord:
    """One of the top words of a patch.

    Attributes:
        rank: from 1.
        text: the token's text, with its leading space if it has one.
        id: token id.
        value: cosine or probability, to six significant digits.
        relevant: true of the thing on the patch, or in the user's list for the picture; None:
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
class Reading:
    """The top words of one patch at one place of one model.

    Attributes:
        model: its name.
        layer: 0 is the projector's output.
        place: `input`, `output` or `layer 2`.
        measure: what the values are.
        words: best first.
        order: indices into `words` of those shown, in the order to show them.
    """

    model: str
    layer: int
    place: str
    measure: Literal["cosine", "probability"]
    words: tuple[ReadWord, ...]
    order: tuple[int, ...]

    @property
    def shown(self) -> list[ReadWord]:
        return [self.words[i] for i in self.order]


@dataclass(frozen=True)
class PatchReadings:
    """One patch; `number` counts from 1 through the figure, `relevant` holds the words that count
    as relevant to it (None: not judged), `box` is in pixels of the picture."""

    number: int
    place: Place
    box: tuple[float, float, float, float]
    relevant: tuple[str, ...] | None
    readings: tuple[Reading, ...]


@dataclass(frozen=True, eq=False)
class PictureReadings:
    """One picture of a figure.

    Attributes:
        name: what it is called.
        image: the one to draw; it may be sharper than the one that was read.
        layout: where its patches lie.
        models: names, left to right.
        patches: those shown.
        rule: by which they were chosen.
    """

    name: str
    image: Image.Image
    layout: VisualLayout
    models: tuple[str, ...]
    patches: tuple[PatchReadings, ...]
    rule: str


def probe(trace: Trace, spec: FigureSpec, layer: int) -> Probed:
    """The top 3 words of every patch; `layer` is that of the logit lens, -1 for the output.

    Raises:
        ConfigurationError: there is no such layer.
    """
    output = logit_lens(trace, TOP, layer)
    words = (input_similarity(trace, TOP), output) if spec.shows_input else (output,)
    return Probed(str(trace.provenance["model"]), words, Vocabulary(token_strings(trace.tokenizer)))


def check_places(places: Sequence[Place], probed: Sequence[Probed], picture: str) -> None:
    """Refuse patches that a model does not have, or that models see in other places.

    Raises:
        ConfigurationError: says which patch, of which picture or model.
    """
    first = probed[0]
    for one in probed:
        if one.layout.grid != first.layout.grid:
            raise ConfigurationError(
                f"{picture}: {one.model} sees {_grid(one.layout)} patches and {first.model} "
                f"{_grid(first.layout)}; models side by side have to see the same ones"
            )
    try:
        chosen = [[one.layout.index(*place) for place in places] for one in probed]
    except ConfigurationError as error:
        raise ConfigurationError(f"{picture}: {error}") from error
    if len(set(chosen[0])) < len(places):
        raise ConfigurationError(f"{picture}: a patch is named twice")
    boxes = [one.layout.boxes[own] for one, own in zip(probed, chosen, strict=True)]
    for place, (left, top, right, bottom) in zip(places, boxes[0], strict=True):
        if left == right or top == bottom:
            raise ConfigurationError(
                f"{picture}: the patch at row {place[0]}, column {place[1]} lies in the padding"
            )
    for one, own in zip(probed, boxes, strict=True):
        if not np.allclose(own, boxes[0]):
            raise ConfigurationError(
                f"{picture}: {one.model} sees other parts of the picture than {first.model}; "
                "models side by side have to see the same patches"
            )


def read_patches(
    probed: Sequence[Probed],
    places: Sequence[Place],
    relevant: Sequence[frozenset[str] | None],
    spec: FigureSpec,
    first: int,
) -> tuple[PatchReadings, ...]:
    """The readings of patches that `check_places` let pass, numbered from `first`."""
    layout = probed[0].layout
    found = []
    for number, (place, words) in enumerate(zip(places, relevant, strict=True), start=first):
        index = layout.index(*place)
        left, top, right, bottom = layout.boxes[index].tolist()
        cell = int(layout.row[index]), int(layout.col[index]), int(layout.tile[index])
        readings = tuple(
            _reading(one, which, cell, words, spec) for one in probed for which in one.words
        )
        listed = None if words is None else tuple(sorted(words))
        found.append(PatchReadings(number, cell, (left, top, right, bottom), listed, readings))
    return tuple(found)


def _reading(
    probed: Probed, words: Words, place: Place, relevant: frozenset[str] | None, spec: FigureSpec
) -> Reading:
    layer = words.layers[0]
    top = words.at(layer, *place)
    texts = [word.word for word in top]
    order = list(range(len(top)))
    if spec.chosen is not None:
        order = choose_words(texts, probed.vocabulary, spec.chosen)
    return Reading(
        model=probed.model,
        layer=layer,
        place=_place_name(words),
        measure="cosine" if words.kind == "input_similarity" else "probability",
        words=tuple(
            ReadWord(
                rank=rank,
                text=word.word,
                id=word.id,
                value=_rounded(word.value if word.probability is None else word.probability),
                relevant=None if relevant is None else is_true(word.word, relevant),
                whole_word=probed.vocabulary.is_word(word.word),
            )
            for rank, word in enumerate(top, start=1)
        ),
        order=tuple(order),
    )


def _place_name(words: Words) -> str:
    if words.kind == "input_similarity":
        return "input"
    layer = words.layers[0]
    return "output" if layer == words.provenance["n_layers"] else f"layer {layer}"


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _grid(layout: VisualLayout) -> str:
    (rows, cols), *others = layout.grid
    return f"{rows} x {cols}" + (f" (and {len(others)} tiles more)" if others else "")
