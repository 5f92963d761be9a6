"""The words of the pinned patch through the layers, as plotly figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from llavit_lens.explorer.panes import Pane
from llavit_lens.explorer.wording import escape_markdown
from llavit_lens.figures.style import color_of
from llavit_lens.lens.follow import log_probabilities
from llavit_lens.lens.token_strings import string_of, token_strings
from llavit_lens.results.matching import matched_layer, partners
from llavit_lens.token_text import printable
from llavit_lens.viewer.wording import patch_name, shortened

if TYPE_CHECKING:
    from llavit_lens.explorer.lens_cache import LensResult
    from llavit_lens.explorer.start import Start
    from llavit_lens.lens.search import Found

MOST_TRACKED, FEW = 8, 5
FLOOR = 1e-5
"""Least probability that the axis shows."""


def show_trajectories(
    panes: Sequence[Pane], start: Start, searches: Sequence[Found | None]
) -> None:
    """The pinned patch's words through the layers, in each pane."""
    if start.patch is None:
        st.subheader("A patch through the layers", anchor=False)
        st.caption("Click a patch: its words are followed here through the layers.")
        return
    lead = panes[0].result
    layout = lead.words.layout
    name = patch_name(layout, start.patch)
    st.subheader(f"The patch at {name}, through the layers", anchor=False)
    st.caption(
        "Thick lines: the words that come first at some layer. Thin lines: others that are likely "
        "at some layer. Dotted: the word that you search."
    )
    columns = st.columns(len(panes))
    for number, (column, pane, found) in enumerate(zip(columns, panes, searches, strict=True)):
        result = pane.result
        patch = start.patch
        if result is not lead:
            patch = int(partners(layout, result.words.layout)[patch])
        layer = None
        if start.layer >= 0:
            layer = matched_layer(start.layer, lead.depth, result.depth)
        figure = trajectory_figure(result, patch, layer, found)
        with column:
            if len(panes) > 1:
                st.markdown(f"**{escape_markdown(pane.title)}**")
            st.plotly_chart(figure, key=f"trajectory {number}", config={"displayModeBar": False})


def tracked_words(result: LensResult, patch: int) -> list[int]:
    """The tokens to follow at a patch: all that come first at any layer, not only at the last.

    If these are few, others that are likely at some layer join them; if they are more than
    `MOST_TRACKED`, the likeliest stay.
    """
    ids, values = result.words.ids[:, patch], result.words.values[:, patch]
    firsts = _likeliest(ids[:, :1], values[:, :1])
    others = [token for token in _likeliest(ids, values) if token not in firsts]
    return [*firsts[:MOST_TRACKED], *others[: max(0, FEW - len(firsts))]]


def _likeliest(ids: np.ndarray, values: np.ndarray) -> list[int]:
    """All tokens of an array, sorted by their highest value, the highest first."""
    best: dict[int, float] = {}
    for token, value in zip(ids.ravel().tolist(), values.ravel().tolist(), strict=True):
        best[token] = max(value, best.get(token, -np.inf))
    return sorted(best, key=lambda token: -best[token])


def trajectory_figure(
    result: LensResult, patch: int, layer: int | None, found: Found | None = None
) -> Any:
    """Probability of the tracked words of a patch over the layers, on a log scale.

    Those that come first at some layer have thick lines.

    Args:
        result: of the model.
        patch: index of the visual token.
        layer: the layer to mark; None: none.
        found: a searched word, drawn as a dotted line.
    """
    import plotly.graph_objects as go

    ids = tracked_words(result, patch)
    table = token_strings(result.trace.tokenizer)
    values = log_probabilities(result.trace, result.words, ids, [patch])[:, 0]
    firsts = set(result.words.ids[:, patch, 0].tolist())
    lines: list[tuple[str, np.ndarray, str, float]] = [
        (printable(string_of(table, token)), values[:, i], "solid", 3 if token in firsts else 1)
        for i, token in enumerate(ids)
    ]
    if found is not None:
        lines.append((f"{found.tokens.word} (searched)", found.values[:, patch], "dot", 2.5))
    layers = list(range(result.depth + 1))
    figure = go.Figure()
    for number, (word, log_probability, dash, width) in enumerate(lines):
        probability = np.exp(log_probability.astype(np.float64))
        figure.add_scatter(
            x=layers,
            y=np.maximum(probability, FLOOR),
            customdata=probability,
            name=_literal(word),
            mode="lines+markers",
            line={"color": color_of(number), "dash": dash, "width": width},
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
    figure.update_xaxes(title="layer", tickvals=_ticks(result.depth), fixedrange=True)
    figure.update_yaxes(
        title="probability",
        type="log",
        range=[np.log10(FLOOR) - 0.1, 0.1],
        tickvals=[10.0**-e for e in range(6)],
        ticktext=["100%", "10%", "1%", "0.1%", "0.01%", "0.001%"],
        fixedrange=True,
    )
    return figure


def _literal(text: str) -> str:
    """The text as it is, where plotly would read some tags and entities in its labels."""
    return escape(shortened(text, 24))


def _ticks(depth: int) -> Sequence[int]:
    step = max(1, round(depth / 12))
    return sorted({*range(0, depth + 1, step), depth})
