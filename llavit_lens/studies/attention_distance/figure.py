"""How far visual tokens look, layer by layer: a dot for each head, a line for their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from llavit_lens.figures.fit import shorten
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import MUTED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Inches.
_EDGE, _TOP, _LEFT, _GAP, _PANEL, _HIGH = 0.35, 1.95, 0.75, 0.75, 2.65, 3.0
COLORS = ("#0072b2", "#d55e00", "#009e73")  # Okabe-Ito
_SHARES = {"visual": "Attention kept in the picture", "self": "… and on the token itself"}


def draw_attention_distance(table: pd.DataFrame) -> Figure:
    """Draw `evaluation.attention_distance.distance_table()` of one model or several."""
    models = list(dict.fromkeys(table["model"]))
    panels = len(models) + len(_SHARES)
    lefts = [_LEFT + i * (_PANEL + _GAP) for i in range(panels)]
    page = Page(lefts[-1] + _PANEL + _EDGE, _TOP + _HIGH + 0.75)
    page.text(_EDGE, 0.26, "How far visual tokens look", size=17, weight="bold")
    page.text(
        _EDGE,
        0.64,
        "Mean distance from a patch to the patches it attends to, weighted by attention (text left "
        f"out). {table['n'].iloc[0]} pictures; bands: 95 % intervals.",
        size=11,
        color=MUTED,
    )
    _draw_key(page, lefts[-1] + _PANEL - _EDGE)
    far = table[table["measure"].eq("patches")]
    most = 1.05 * far[["value", "high", "uniform"]].max().max()
    for left, model, color in zip(lefts, models, COLORS, strict=False):
        name = shorten(f"Distance: {model}", _PANEL * 72 / 12.5)
        page.text(left, 1.55, name, size=11.5, weight="bold", color=color)
        axes = page.axes(left, _TOP, _PANEL, _HIGH)
        _draw(axes, far[far["model"].eq(model)], color)
        axes.set_ylim(0, most)
        axes.set_ylabel("patches", fontsize=9)
    for left, (measure, name) in zip(lefts[len(models) :], _SHARES.items(), strict=True):
        page.text(left, 1.55, name, size=11.5, weight="bold")
        axes = page.axes(left, _TOP, _PANEL, _HIGH)
        rows = table[table["measure"].eq(measure)]
        for i, (model, color) in enumerate(zip(models, COLORS, strict=False)):
            shift = 0.14 * (i - (len(models) - 1) / 2)
            _draw(axes, rows[rows["model"].eq(model)], color, shift)
        axes.set_ylim(0, 1.03 * rows[["value", "high", "uniform"]].max().max())
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return page.figure


def _draw_key(page: Page, width: float) -> None:
    axes = page.axes(_EDGE, 1.0, width, 0.3)
    axes.set_axis_off()
    marks: list[dict[str, Any]] = [
        {"marker": "o", "linestyle": "none", "markersize": 4, "alpha": 0.55},
        {"marker": "o", "markersize": 4},
        {"linestyle": (0, (4, 2))},
    ]
    axes.legend(
        [Line2D([], [], color=MUTED, **mark) for mark in marks],
        ["a head", "mean of the heads", "if attention were uniform over what the mask allows"],
        ncols=len(marks),
        loc="center left",
        bbox_to_anchor=(0.0, 0.5),
        borderpad=0,
        handlelength=3,
        frameon=False,
        fontsize=9,
    )


def _draw(axes: Axes, rows: pd.DataFrame, color: str, shift: float = 0.0) -> None:
    """Heads, their mean with its interval, and uniform attention, over the layers."""
    heads, mean = rows[rows["head"].notna()], rows[rows["head"].isna()]
    at = mean["layer"].astype(float)
    axes.plot(heads["layer"] + shift, heads["value"], "o", ms=4, mew=0, color=color, alpha=0.55)
    axes.fill_between(at, mean["low"], mean["high"], color=color, alpha=0.15, linewidth=0)
    axes.plot(at, mean["value"], "-o", color=color, markersize=4)
    axes.plot(at, mean["uniform"], color=color, linestyle=(0, (4, 2)), linewidth=1.2)
    axes.set_xlabel("decoder layer, counted from 0", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#e6e8eb")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
