"""What models read off an image, by the lens, and off the patches that a figure draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.patch_grid import is_true
from llavit_lens.images.layout import VisualLayout
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.token_strings import token_strings
from llavit_lens.results.words import Words
from llavit_lens.studies.paper_figures.contents import FigurePatch, RankedWord, TopWords
from llavit_lens.studies.paper_figures.definitions import TOP, PaperFigure
from llavit_lens.studies.paper_figures.patch_choice import Cell
from llavit_lens.studies.paper_figures.word_choice import Vocabulary, choose_words
from llavit_lens.vlm.trace import Trace

_DIGITS = 6  # significant ones of a value


@dataclass(frozen=True)
class ModelWords:
    """What one model makes of one image: the top 3 words of every patch.

    Attributes:
        model: its name, as the user gave it.
        words: at the input (where the figure shows it) and at the output, in this order.
        vocabulary: tells its whole words.
    """

    model: str
    words: tuple[Words, ...]
    vocabulary: Vocabulary

    @property
    def layout(self) -> VisualLayout:
        return self.words[-1].layout


def read_model(trace: Trace, figure: PaperFigure, layer: int) -> ModelWords:
    """The top 3 words of every patch; `layer` is that of the logit lens, -1 for the output.

    Raises:
        ConfigurationError: there is no such layer.
    """
    output = logit_lens(trace, TOP, layer)
    words = (input_similarity(trace, TOP), output) if figure.shows_input else (output,)
    return ModelWords(
        str(trace.provenance["model"]), words, Vocabulary(token_strings(trace.tokenizer))
    )


def check_cells(cells: Sequence[Cell], models: Sequence[ModelWords], image: str) -> None:
    """Refuse patches that a model does not have, or that models see in other places.

    Raises:
        ConfigurationError: says which patch, of which image or model.
    """
    first = models[0]
    for one in models:
        if one.layout.grid != first.layout.grid:
            raise ConfigurationError(
                f"{image}: {one.model} sees {_grid(one.layout)} patches and {first.model} "
                f"{_grid(first.layout)}; models side by side have to see the same ones"
            )
    try:
        indices = [[one.layout.index(*cell) for cell in cells] for one in models]
    except ConfigurationError as error:
        raise ConfigurationError(f"{image}: {error}") from error
    if len(set(indices[0])) < len(cells):
        raise ConfigurationError(f"{image}: a patch is named twice")
    boxes = [one.layout.boxes[cells_of] for one, cells_of in zip(models, indices, strict=True)]
    for cell, (left, top, right, bottom) in zip(cells, boxes[0], strict=True):
        if left == right or top == bottom:
            raise ConfigurationError(
                f"{image}: the patch at row {cell[0]}, column {cell[1]} lies in the padding"
            )
    for one, others in zip(models, boxes, strict=True):
        if not np.allclose(others, boxes[0]):
            raise ConfigurationError(
                f"{image}: {one.model} sees other parts of the image than {first.model}; "
                "models side by side have to see the same patches"
            )


def read_patches(
    models: Sequence[ModelWords],
    cells: Sequence[Cell],
    relevant: Sequence[frozenset[str] | None],
    figure: PaperFigure,
    first: int,
) -> tuple[FigurePatch, ...]:
    """The words of patches that `check_cells` let pass, numbered from `first`."""
    layout = models[0].layout
    patches = []
    for number, (cell, words) in enumerate(zip(cells, relevant, strict=True), start=first):
        index = layout.index(*cell)
        left, top, right, bottom = layout.boxes[index].tolist()
        positive = int(layout.row[index]), int(layout.col[index]), int(layout.tile[index])
        top_words = tuple(
            _top_words(one, which, positive, words, figure) for one in models for which in one.words
        )
        listed = None if words is None else tuple(sorted(words))
        patches.append(FigurePatch(number, positive, (left, top, right, bottom), listed, top_words))
    return tuple(patches)


def _top_words(
    model: ModelWords,
    words: Words,
    cell: Cell,
    relevant: frozenset[str] | None,
    figure: PaperFigure,
) -> TopWords:
    layer = words.layers[0]
    top = words.at(layer, *cell)
    texts = [word.word for word in top]
    order = list(range(len(top)))
    if figure.words_drawn is not None:
        order = choose_words(texts, model.vocabulary, figure.words_drawn)
    return TopWords(
        model=model.model,
        layer=layer,
        layer_name=_layer_name(words),
        measure="cosine" if words.kind == "input_similarity" else "probability",
        words=tuple(
            RankedWord(
                rank=rank,
                text=word.word,
                id=word.id,
                value=_rounded(word.value if word.probability is None else word.probability),
                relevant=None if relevant is None else is_true(word.word, relevant),
                whole_word=model.vocabulary.is_word(word.word),
            )
            for rank, word in enumerate(top, start=1)
        ),
        order=tuple(order),
    )


def _layer_name(words: Words) -> str:
    if words.kind == "input_similarity":
        return "input"
    layer = words.layers[0]
    return "output" if layer == words.provenance["n_layers"] else f"layer {layer}"


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _grid(layout: VisualLayout) -> str:
    rows, cols = layout.grid[layout.whole or 0]
    others = len(layout.grid) - 1
    return f"{rows} x {cols}" + (f" (and {others} tiles more)" if others else "")
