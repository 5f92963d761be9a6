"""Chosen words of one patch through the layers, as a plotly figure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from llavit_lens.figures.legible import printable
from llavit_lens.figures.style import color_of
from llavit_lens.lens.follow import log_probabilities
from llavit_lens.lens.token_strings import string_of, token_strings

if TYPE_CHECKING:
    from llavit_lens.explorer.bench import Reading
    from llavit_lens.lens.search import Found

MOST_TRACKED, FEW = 8, 5
FLOOR = 1e-5
"""Least probability that the axis shows."""


def tracked_words(reading: Reading, patch: int) -> list[int]:
    """The tokens to follow at a patch: all that come first at any layer, not only at the last.

    Where these are few, others that are likely somewhere join them; where they are more than
    `MOST_TRACKED`, the likeliest stay.
    """
    ids, values = reading.words.ids[:, patch], reading.words.values[:, patch]
    firsts = _likeliest(ids[:, :1], values[:, :1])
    others = [token for token in _likeliest(ids, values) if token not in firsts]
    return [*firsts[:MOST_TRACKED], *others[: max(0, FEW - len(firsts))]]


def _likeliest(ids: np.ndarray, values: np.ndarray) -> list[int]:
    """All tokens of an array, those first that reach the highest value anywhere."""
    best: dict[int, float] = {}
    for token, value in zip(ids.ravel().tolist(), values.ravel().tolist(), strict=True):
        best[token] = max(value, best.get(token, -np.inf))
    return sorted(best, key=lambda token: -best[token])


def trajectory_figure(
    reading: Reading, patch: int, layer: int | None, found: Found | None = None
) -> Any:
    """Probability of the tracked words of a patch over the layers, on a log scale.

    Args:
        reading: what the model made of the picture.
        patch: index of the visual token.
        layer: the layer that is looked at, marked; None: none.
        found: a searched word, drawn dotted besides.
    """
    import plotly.graph_objects as go

    ids = tracked_words(reading, patch)
    table = token_strings(reading.trace.tokenizer)
    values = log_probabilities(reading.trace, reading.words, ids, [patch])[:, 0]
    lines: list[tuple[str, np.ndarray, str]] = [
        (printable(string_of(table, token)), values[:, i], "solid") for i, token in enumerate(ids)
    ]
    if found is not None:
        lines.append((f"{found.tokens.word} (searched)", found.values[:, patch], "dot"))
    layers = list(range(reading.depth + 1))
    figure = go.Figure()
    for number, (word, log_probability, dash) in enumerate(lines):
        probability = np.exp(log_probability.astype(np.float64))
        figure.add_scatter(
            x=layers,
            y=np.maximum(probability, FLOOR),
            customdata=probability,
            name=_literal(word),
            mode="lines+markers",
            line={"color": color_of(number), "dash": dash, "width": 2.5},
            hovertemplate="%{customdata:.2%}",
        )
    if layer is not None:
        figure.add_vline(x=layer, line={"color": "#888888", "width": 6}, opacity=0.3, layer="below")
    figure.update_layout(
        height=320,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        dragmode=False,
    )
    figure.update_xaxes(title="layer", tickvals=_ticks(reading.depth), fixedrange=True)
    figure.update_yaxes(
        title="probability",
        type="log",
        range=[np.log10(FLOOR) - 0.1, 0.1],
        tickvals=[10.0**-e for e in range(6)],
        ticktext=["100%", "10%", "1%", "0.1%", "0.01%", "0.001%"],
        fixedrange=True,
    )
    return figure


def _literal(text: str, most: int = 24) -> str:
    """plotly reads some tags and entities in its labels: a model's words are none."""
    return escape(text if len(text) <= most else f"{text[:most]}…")


def _ticks(depth: int) -> Sequence[int]:
    step = max(1, round(depth / 12))
    return sorted({*range(0, depth + 1, step), depth})
