"""What a LLaViT says and reads when visual tokens use the text's Q, K, V in the last layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llavit_lens.figures.charts import (
    DASHED,
    SMALL,
    draw_line,
    draw_points,
    in_percent,
    in_points,
    name_panel,
    name_states,
    new_page,
    zero_line,
)
from llavit_lens.figures.names import category_name, in_order, model_titles, which_models
from llavit_lens.figures.style import DARK, model_colors
from llavit_lens.studies.conditions import AS_TRAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llavit_lens.figures.figure import Figure

_ACROSS = 4  # panels in a row
_MOST = 7  # panels of differences; of a deeper decoder, so many from the first to the last
_PANEL = 2.0  # inches
_SHADE = "#eceff1"


def draw_undone(table: pd.DataFrame) -> Figure:
    """Draw the `condition_table` of a model as trained and undone from layers on.

    Above: answers, as changes in points. Below: words; first the model as trained, beside other
    models in the table, then the change for each way to undo. 95 % intervals.

    Raises:
        ConfigurationError: nothing is undone in the table.
    """
    undone = table[table["condition"].ne(AS_TRAINED)]
    model, what = str(undone["model"].iloc[0]), str(undone["condition"].iloc[0])  # "text QKV"
    titles, colors = model_titles(table["model"]), model_colors(table["model"])
    answers = undone[undone["measure"].eq("accuracy")]
    categories = in_order(answers["category"])
    firsts = _some(sorted(set(undone["first_layer"].astype(int)), reverse=True))
    rows_above, rows_below = -(-len(categories) // _ACROSS), -(-(1 + len(firsts)) // _ACROSS)
    key = [(titles[model], {"color": colors[model], "marker": "o", "markersize": 4})]
    key += [
        (titles[name], {"color": DARK, "marker": "o", "markersize": 4, "linestyle": DASHED})
        for name in titles
        if name != model
    ]
    figure = new_page(
        f"What the visual {', '.join(what.removeprefix('text '))} do, layer by layer",
        _caption(table, titles, model, what, len(firsts)),
        key,
        (rows_above + rows_below) * _PANEL,
    )
    grid = figure.add_gridspec(rows_above + rows_below, _ACROSS)
    places = [figure.add_subplot(grid[n // _ACROSS, n % _ACROSS]) for n in range(len(categories))]
    for axes, category in zip(places, categories, strict=True):
        own = answers[answers["category"].eq(category)]
        _draw_answers(axes, own, category, colors[model])
    _same_range(places)
    below = [
        figure.add_subplot(grid[rows_above + n // _ACROSS, n % _ACROSS])
        for n in range(1 + len(firsts))
    ]
    words = table[table["measure"].eq("hit3")]
    _draw_levels(below[0], words[words["condition"].eq(AS_TRAINED)], model, colors[model])
    changes = words[words["model"].eq(model)]
    for axes, first in zip(below[1:], firsts, strict=True):
        own = changes[changes["first_layer"].eq(first)]
        _draw_change(axes, own, what, first, colors[model])
    _same_range(below[1:])
    return figure


def _some(layers: list[int]) -> list[int]:
    if len(layers) <= _MOST:
        return layers
    chosen = np.linspace(0, len(layers) - 1, _MOST).round().astype(int)
    return [layers[i] for i in chosen]


def _draw_answers(axes: Axes, rows: pd.DataFrame, category: str, color: str) -> None:
    """Points from all layers undone, left, to the last one alone."""
    firsts = rows["first_layer"].astype(int)
    zero_line(axes)
    draw_points(axes, firsts.astype(float), rows, "change", color=color)
    axes.set_xlim(firsts.min() - 0.5, firsts.max() + 0.5)
    name_states(axes, "from this layer on")
    in_points(axes.yaxis)
    name_panel(axes, category_name(category).capitalize(), "right answers")


def _draw_levels(axes: Axes, rows: pd.DataFrame, model: str, color: str) -> None:
    for name, line in rows.groupby("model", sort=False):
        style = {"color": color} if name == model else {"color": DARK, "linestyle": DASHED}
        draw_line(axes, line["state"].astype(float), line, **style)
    name_states(axes, "state")
    in_percent(axes.yaxis)
    name_panel(axes, "As trained", "patches that read right")


def _draw_change(axes: Axes, rows: pd.DataFrame, what: str, first: int, color: str) -> None:
    """Shaded are the states that come after a layer where it is undone."""
    zero_line(axes)
    at = rows["state"].astype(float)
    axes.axvspan(first + 0.5, float(at.max()) + 0.5, color=_SHADE, zorder=0)
    draw_points(axes, at, rows, "change", color=color, markersize=3.5)
    name_states(axes, "state")
    axes.set_xlim(float(at.min()) - 0.5, float(at.max()) + 0.5)
    in_points(axes.yaxis)
    layers = _layers(first, int(rows["last_layer"].max()))
    name_panel(axes, f"{what} in {layers}", "patches that read right")


def _same_range(panels: list[Axes]) -> None:
    """So that panels compare. The first one that stands in a row has the numbers."""
    ends = [axes.get_ylim() for axes in panels]
    rows = set()
    for axes in panels:
        place = axes.get_subplotspec()
        assert place is not None
        axes.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
        if place.rowspan.start in rows:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("change in points", fontsize=SMALL, labelpad=1)
        rows.add(place.rowspan.start)


def _layers(first: int, last: int) -> str:
    return f"{first}-{last}" if first < last else str(last)


def _caption(
    table: pd.DataFrame, titles: Mapping[str, str], model: str, what: str, drawn: int
) -> str:
    letters = ", ".join(what.removeprefix("text "))
    total = table.loc[table["condition"].ne(AS_TRAINED), "first_layer"].nunique()
    some = "" if drawn == total else f" {drawn} of {total} ways are drawn; the table has all."
    return (
        f"Visual tokens of {titles[model]} use the {letters} of text tokens, not their own (Eq. 6 "
        "of the paper undone), in the last decoder layer, in the last two, and so on; layers count "
        "from 0. Above: the change in right answers against the model as trained, by category of "
        "question. Below: patches of things whose three likeliest words hold a true one, at each "
        "state of the residual stream (0 is the projector's output); first the model as trained, "
        "then the change in points, where the gray states come after a layer that was undone. "
        f"{table['scenes'].iloc[0]} held-out scenes of the miniature world, the same for all; bars "
        f"and bands: 95 % intervals, paired where they are of a change.{some} "
        f"{which_models(titles)}"
    )
