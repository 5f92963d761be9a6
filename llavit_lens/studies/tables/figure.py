"""Variants of the miniature study side by side: answers by category, words by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from llavit_lens.figures.charts import (
    draw_by_category,
    draw_line,
    name_panel,
    name_states,
    new_chart,
)
from llavit_lens.figures.style import model_colors

if TYPE_CHECKING:
    import pandas as pd

_MARKS = ("o", "X", "v", "s", "^", "D")


def draw_study(table: pd.DataFrame, guess: Mapping[str, float], scenes: int) -> Figure:
    """Draw the table of `compare`; guess: share of each category without looking."""
    seeds = table.groupby("variant")["seeds"].first()
    number = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    colors = model_colors(table["variant"])
    styles: dict[str, dict[str, Any]] = {
        variant: {"color": color, "marker": _MARKS[i % len(_MARKS)]}
        for i, (variant, color) in enumerate(colors.items())
    }
    figure, [[answers, words]] = new_chart(
        "The paper's variants in miniature",
        f"{number} seed{'s' if seeds.max() > 1 else ''} each, {scenes} held-out scenes; bars: 95 % "
        f"intervals over {over_what(seeds.tolist())}. Gray: guessing from the words of the "
        "question.",
        [(name.replace("_", " "), {**styles[name], "linestyle": "none"}) for name in styles],
        columns=2,
        size=(13.6, 4.3),
        width_ratios=(1.5, 1),
    )
    rows = table[table["measure"].eq("accuracy")].groupby("variant", sort=False)
    points = [
        (
            of_variant,
            {**styles[str(variant)], "linestyle": "none", "markersize": 7, "elinewidth": 1.4},
        )
        for variant, of_variant in rows
    ]
    for i, category in enumerate(draw_by_category(answers, points, spread=0.76)):
        answers.hlines(guess[category], i - 0.4, i + 0.4, color="#9aa0a6", linewidth=4)
    for variant, line in table[table["measure"].eq("hit3")].groupby("variant", sort=False):
        at = line["state"].astype(float)
        draw_line(words, at, line, band=0.08, markersize=5, **styles[str(variant)])
    name_states(words)
    words.set_ylabel("a true word among the top 3")
    for axes, title in ((answers, "Right answers"), (words, "Patches that read right")):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        name_panel(axes, title)
    return figure


def over_what(seeds: Collection[int]) -> str:
    """What intervals hold, with so many seeds of each variant."""
    if max(seeds) == 1:
        return "scenes alone; other seeds may differ by more"
    return "scenes and seeds" + (", of one seed over scenes alone" if min(seeds) == 1 else "")
