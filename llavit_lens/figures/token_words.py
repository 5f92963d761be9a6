"""Words by layer and token: the logit lens of tokens of text, as a table of colored cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.color_scale import Scale, draw_value_scale, value_scale
from llavit_lens.figures.figure import Figure
from llavit_lens.figures.fit import fit_words, shorten
from llavit_lens.figures.labels import asked
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.style import BOLD_WIDTH, DARK, LITERAL, MUTED, TINT, ink, on_white

if TYPE_CHECKING:
    from llavit_lens.results.layered_words import LayerChoice
    from llavit_lens.results.token_words import TokenWords

_MOST_LAYERS, _MOST_TOKENS = 16, 24
_LABELS, _CELL, _ROW = 0.55, 0.82, 0.3  # inches
_PAD = 4.0  # points between a word and its cell's edges
_LEAST_WIDTH = 6.5


def draw_token_words(
    words: TokenWords,
    layers: LayerChoice | None = None,
    tokens: slice | None = None,
    *,
    scale: Scale = "data",
    title: str | None = None,
) -> Figure:
    """Draw the best word of each layer and token; arguments as those of `TokenWords.plot`.

    The layer nearest the answer is at the top, as the stream runs up; below the cells stand the
    tokens that the model has read there. Those of an answer are bold.
    """
    rows = _rows(words, layers)
    columns = range(len(words.tokens))[slice(-_MOST_TOKENS, None) if tokens is None else tokens]
    if not columns:
        raise ConfigurationError(f"tokens={tokens!r} means none of the {len(words.tokens)} tokens")
    best = words.values[np.ix_(rows, columns)][..., 0]
    shares = np.exp(best) if words.kind == "logit_lens" else best
    width = max(2 * EDGE + _LABELS + _CELL * len(columns), _LEAST_WIDTH)
    page = Page(width)
    top = page.heading(
        drawable(title or str(words.provenance.get("model"))),
        f"asked: {drawable(asked(str(words.provenance.get('prompt'))))}",
        "In each cell: the word that the model would say next, if it ended after that layer.",
        size=15,
    )
    top += 0.3
    norm = value_scale(words.kind, shares.ravel().tolist(), scale)
    left = EDGE + _LABELS
    axes = page.axes(left, top, _CELL * len(columns), _ROW * len(rows))
    axes.imshow(
        TINT(norm(shares)),
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(columns), len(rows), 0),
    )
    texts = [drawable(words.strings[t]) for t in words.ids[np.ix_(rows, columns)][..., 0].ravel()]
    room = 72 * _CELL - _PAD, 72 * _ROW - _PAD
    fitted = fit_words(texts, [room[0]] * len(texts), [room[1]] * len(texts))
    for number, word in enumerate(fitted):
        if word is None:
            continue
        row, column = divmod(number, len(columns))
        background = on_white(TINT(float(norm(shares[row, column]))))
        axes.text(
            column + 0.5,
            row + 0.5,
            word.text,
            fontsize=word.size,
            ha="center",
            va="center_baseline",
            color=ink(background),
            **LITERAL,
        )
    axes.set_xticks([])
    axes.set_yticks(np.arange(len(rows)) + 0.5, labels=[str(words.layers[i]) for i in rows])
    axes.tick_params(labelsize=9, length=0)
    axes.spines[:].set_visible(False)
    page.text(EDGE, top - 0.08, "layer", size=9, color=MUTED, baseline=True)
    page.text(EDGE, top + _ROW * (len(rows) + 0.7), "token", size=9, color=MUTED, baseline=True)
    for place, column in enumerate(columns):
        in_answer = words.positions[column] >= words.prompt_length
        axes.text(
            place + 0.5,
            len(rows) + 0.7,
            shorten(drawable(words.tokens[column]), room[0] / 9 / BOLD_WIDTH),
            fontsize=9,
            ha="center",
            color=DARK,
            weight="bold" if in_answer else "normal",
            **LITERAL,
        )
    top += _ROW * (len(rows) + 1)
    foot = draw_value_scale(page, EDGE + 0.1, top + 0.2, words.kind, norm, scale, 3.4)
    page.figure.caption = (
        "Each column is one token that the model has read, with all before it; each row is a "
        "layer, from the word embeddings (0) up. A cell holds the likeliest next word at that "
        "layer, darker where it is likelier. Tokens of the answer are bold."
    )
    return page.finish(foot + EDGE)


def _rows(words: TokenWords, layers: LayerChoice | None) -> list[int]:
    """Indices of the layers drawn, the last one first."""
    if layers is None:
        last = len(words.layers) - 1
        chosen = np.linspace(0, last, min(last + 1, _MOST_LAYERS)).round().astype(int).tolist()
    else:
        chosen = [words.layers.index(layer) for layer in words.layers_chosen(layers)]
    return sorted(chosen, reverse=True)
