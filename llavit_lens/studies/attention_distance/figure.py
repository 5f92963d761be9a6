"""How far visual tokens look, layer by layer: a dot for each head, a line for their mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llavit_lens.figures.charts import (
    DASHED,
    PANEL,
    WIDTH,
    draw_line,
    in_percent,
    name_panel,
    name_states,
    new_chart,
)
from llavit_lens.figures.fit import shorten_start
from llavit_lens.figures.names import model_titles, which_models
from llavit_lens.figures.style import BOLD_WIDTH, MUTED, model_colors

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from llavit_lens.figures.figure import Figure

_ACROSS = 4  # panels in a row
_HEIGHT = 2.5  # inches of a row
_SHARES = {"visual": "Kept in the image", "self": "On itself"}
_HEADS: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 3.5, "alpha": 0.55}
_UNIFORM: dict[str, Any] = {"linestyle": DASHED, "linewidth": 1.2}
_KEY = [
    ("a head", {"color": MUTED, **_HEADS}),
    ("mean of the heads", {"color": MUTED, "marker": "o", "markersize": 4}),
    ("uniform attention", {"color": MUTED, **_UNIFORM}),
]


def draw_attention_distance(table: pd.DataFrame) -> Figure:
    """Draw the table of `attention_distance.measure` for one model or several."""
    colors, titles = model_colors(table["model"]), model_titles(table["model"])
    number = len(colors) + len(_SHARES)
    columns = min(number, _ACROSS)
    figure, places = new_chart(
        "How far visual tokens look",
        _caption(table, titles),
        [*((titles[model], {"color": color}) for model, color in colors.items()), *_KEY],
        columns,
        -(-number // columns),
        height=-(-number // columns) * _HEIGHT,
    )
    panels = list(places.flat)
    for axes in panels[number:]:
        axes.set_axis_off()
    room = (WIDTH / columns - 0.3) * 72 / PANEL / BOLD_WIDTH
    distances = table[table["measure"].eq("patches")]
    for axes, (model, color) in zip(panels, colors.items(), strict=False):
        _draw(axes, distances[distances["model"].eq(model)], color)
        axes.set_ylim(0, 1.05 * _highest(distances))
        name_panel(axes, shorten_start(titles[model], room), "distance in patches", color=color)
    for axes, (measure, name) in zip(panels[len(colors) :], _SHARES.items(), strict=False):
        shares = table[table["measure"].eq(measure)]
        for i, (model, color) in enumerate(colors.items()):
            shift = 0.14 * (i - (len(colors) - 1) / 2)
            _draw(axes, shares[shares["model"].eq(model)], color, shift)
        axes.set_ylim(0, 1.03 * _highest(shares))
        in_percent(axes.yaxis)
        name_panel(axes, name, "share of attention")
    return figure


def _caption(table: pd.DataFrame, titles: Mapping[str, str]) -> str:
    return (
        "The mean distance from a patch to the patches it attends to, weighted by attention (text "
        "left out), by decoder layer; then the share of attention that stays on visual tokens, and "
        "the share on the token itself. A dot is a head, the line the mean of the heads. Dashed: "
        "attention spread evenly over all that the mask allows; compare each model with its own. "
        f"{table['n'].iloc[0]} images; bands: 95 % intervals of the mean. {which_models(titles)}"
    )


def _highest(rows: pd.DataFrame) -> float:
    return float(rows[["value", "high", "uniform"]].max().max())


def _draw(axes: Axes, rows: pd.DataFrame, color: str, shift: float = 0.0) -> None:
    """Heads, their mean with its interval, and uniform attention, over the layers."""
    heads, mean = rows[rows["head"].notna()], rows[rows["head"].isna()]
    at = mean["layer"].astype(float)
    axes.plot(heads["layer"] + shift, heads["value"], color=color, markeredgewidth=0, **_HEADS)
    draw_line(axes, at, mean, color=color, band=0.15)
    axes.plot(at, mean["uniform"], color=color, **_UNIFORM)
    name_states(axes, "decoder layer")
