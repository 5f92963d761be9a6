"""Answers without a picture: accuracy and likelihood by category, model beside model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from llavit_lens.figures.page import Page
from llavit_lens.figures.style import LITERAL, MUTED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Inches.
_WIDTH, _EDGE, _TOP, _LEFT, _GAP, _PANEL, _ROW = 11.0, 0.35, 1.95, 1.75, 0.5, 4.2, 0.36
_COLORS = ("#444444", "#0072b2", "#d55e00")  # Okabe-Ito: base LLM, baseline, LLaViT
_TITLES = {"accuracy": "Right answers", "nll": "-log p(right answer), in nats: less is better"}


def draw_text_only(table: pd.DataFrame) -> Figure:
    """Draw `evaluation.text_table.text_table()` of at most 3 models, with 95 % intervals."""
    models = list(dict.fromkeys(table["model"]))
    categories = list(dict.fromkeys(table["category"]))
    colors = dict(zip(models, _COLORS[-len(models) :], strict=True))
    high = _ROW * (len(categories) + 0.5)
    page = Page(_WIDTH, _TOP + high + 0.6)
    page.text(_EDGE, 0.26, "Asked in text alone, without a picture", size=17, weight="bold")
    asked = table.loc[table["category"].eq(categories[0]), "n"].iloc[0]
    page.text(
        _EDGE,
        0.64,
        f"{asked} questions, the same for every model; bars: 95 % intervals.",
        size=11,
        color=MUTED,
    )
    key = page.axes(_EDGE, 1.0, _WIDTH - 2 * _EDGE, 0.3)
    key.set_axis_off()
    key.legend(
        [Line2D([], [], color=color, marker="o", linestyle="none") for color in colors.values()],
        models,
        ncols=len(models),
        loc="center left",
        bbox_to_anchor=(0.0, 0.5),
        borderpad=0,
        frameon=False,
        fontsize=9.5,
    )
    for number, (measure, title) in enumerate(_TITLES.items()):
        left = _LEFT + number * (_PANEL + _GAP)
        page.text(left, 1.55, title, size=12, weight="bold")
        axes = page.axes(left, _TOP, _PANEL, high)
        _draw(axes, table[table["measure"].eq(measure)], categories, colors)
        names = [name.replace("_", " ") for name in categories] if number == 0 else []
        axes.set_yticks(range(len(categories)), names or [""] * len(categories), **LITERAL)
        if measure == "accuracy":
            axes.set_xlim(0, 1.02)
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        else:
            axes.set_xlim(left=0)
    return page.figure


def _draw(axes: Axes, rows: pd.DataFrame, categories: list[str], colors: dict[str, str]) -> None:
    step = 0.22
    for number, (model, color) in enumerate(colors.items()):
        own = rows[rows["model"].eq(model)].set_index("category").loc[categories]
        shift = (number - (len(colors) - 1) / 2) * step
        axes.errorbar(
            own["value"],
            [at + shift for at in range(len(categories))],
            xerr=[own["value"] - own["low"], own["high"] - own["value"]],
            fmt="o",
            color=color,
            markersize=5,
            linewidth=1.2,
        )
    axes.set_ylim(len(categories) - 0.5, -0.5)
    axes.axhline(0.5, color=MUTED, linewidth=0.6)
    axes.grid(axis="x", color="#e6e8eb")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
