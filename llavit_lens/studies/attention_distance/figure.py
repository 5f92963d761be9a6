"""How far visual tokens look, layer by layer: a dot for each head, a line for their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from llavit_lens.figures.charts import (
    DASHED,
    LAYERS,
    draw_line,
    name_panel,
    name_states,
    new_chart,
)
from llavit_lens.figures.fit import shorten_start
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.style import BOLD_WIDTH, MUTED, model_colors, text_width

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_PANEL = 3.3  # inches, with its labels
_TITLE = "Distance: "
_SHARES = {"visual": "Attention kept in the image", "self": "… and on the token itself"}
_HEADS: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 4, "alpha": 0.55}
_UNIFORM: dict[str, Any] = {"linestyle": DASHED, "linewidth": 1.2}
_KEY = [
    ("a head", {"color": MUTED, **_HEADS}),
    ("mean of the heads", {"color": MUTED, "marker": "o", "markersize": 4}),
    ("if attention were uniform over what the mask allows", {"color": MUTED, **_UNIFORM}),
]


def draw_attention_distance(table: pd.DataFrame) -> Figure:
    """Draw the table of `attention_distance.measure` for one model or several."""
    colors = model_colors(table["model"])
    columns = len(colors) + len(_SHARES)
    figure, [panels] = new_chart(
        "How far visual tokens look",
        "Mean distance from a patch to the patches it attends to, weighted by attention (text left "
        f"out). {table['n'].iloc[0]} images; bands: 95 % intervals.",
        _KEY,
        columns,
        size=(columns * _PANEL, 4.0),
    )
    distances = table[table["measure"].eq("patches")]
    for axes, (model, color) in zip(panels, colors.items(), strict=False):
        _draw(axes, distances[distances["model"].eq(model)], color)
        axes.set_ylim(0, 1.05 * _highest(distances))
        axes.set_ylabel("patches")
        name = shorten_start(
            drawable(model), (_PANEL - 0.6) * 72 / 11.5 / BOLD_WIDTH - text_width(_TITLE)
        )
        name_panel(axes, f"{_TITLE}{name}", color=color)
    for axes, (measure, name) in zip(panels[len(colors) :], _SHARES.items(), strict=True):
        shares = table[table["measure"].eq(measure)]
        for number, (model, color) in enumerate(colors.items()):
            shift = 0.14 * (number - (len(colors) - 1) / 2)
            _draw(axes, shares[shares["model"].eq(model)], color, shift)
        axes.set_ylim(0, 1.03 * _highest(shares))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        name_panel(axes, name)
    return figure


def _highest(rows: pd.DataFrame) -> float:
    return float(rows[["value", "high", "uniform"]].max().max())


def _draw(axes: Axes, rows: pd.DataFrame, color: str, shift: float = 0.0) -> None:
    """Heads, their mean with its interval, and uniform attention, over the layers."""
    heads, mean = rows[rows["head"].notna()], rows[rows["head"].isna()]
    at = mean["layer"].astype(float)
    axes.plot(heads["layer"] + shift, heads["value"], color=color, markeredgewidth=0, **_HEADS)
    draw_line(axes, at, mean, color=color, band=0.15)
    axes.plot(at, mean["uniform"], color=color, **_UNIFORM)
    name_states(axes, LAYERS)
