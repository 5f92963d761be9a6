"""Variants of the miniature study side by side: answers by category, words by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from llavit_lens.figures.page import Page
from llavit_lens.figures.style import LITERAL, MUTED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Inches.
_WIDTH, _EDGE, _TOP, _LEFT, _GAP, _ANSWERS, _WORDS, _HIGH = (
    13.6,
    0.35,
    1.75,
    0.75,
    0.85,
    6.9,
    4.4,
    3.4,
)
_COLORS = ("#111111", "#b8860b", "#56b4e9", "#0072b2", "#009e73", "#d55e00")  # Okabe-Ito
_MARKS = ("o", "X", "v", "s", "^", "D")


def draw_study(table: pd.DataFrame, guess: Mapping[str, float], scenes: int) -> Figure:
    """Draw `miniature.comparison.compare()`; guess: share of each category without looking."""
    variants = list(dict.fromkeys(table["variant"]))
    page = Page(_WIDTH, _TOP + _HIGH + 0.75)
    page.text(_EDGE, 0.26, "The paper's variants in miniature", size=17, weight="bold")
    seeds = table.groupby("variant")["seeds"].first()
    number = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    several = seeds.max() > 1
    over = over_what(seeds.tolist())
    page.text(
        _EDGE,
        0.64,
        f"{number} seed{'s' if several else ''} each, {scenes} held-out scenes; bars: 95 % "
        f"intervals over {over}. Gray: guessing from the words of the question.",
        size=11,
        color=MUTED,
    )
    page.text(_LEFT, 1.35, "Right answers", size=12.5, weight="bold")
    page.text(_LEFT + _ANSWERS + _GAP, 1.35, "Patches that read right", size=12.5, weight="bold")
    answers = page.axes(_LEFT, _TOP, _ANSWERS, _HIGH)
    words = page.axes(_LEFT + _ANSWERS + _GAP, _TOP, _WORDS, _HIGH)
    _draw_answers(answers, table[table["measure"].eq("accuracy")], variants, guess)
    _draw_words(words, table[table["measure"].eq("hit3")], variants)
    handles, names = answers.get_legend_handles_labels()
    key = page.axes(_EDGE, 0.88, _WIDTH - 2 * _EDGE, 0.3)
    key.set_axis_off()
    key.legend(
        handles, names, ncols=len(names), loc="center left", bbox_to_anchor=(0.0, 0.5),
        borderpad=0, columnspacing=1.6, frameon=False, fontsize=9.5,
    )  # fmt: skip
    for axes in (answers, words):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis="y", color="#e6e8eb")
    return page.figure


def over_what(seeds: Collection[int]) -> str:
    """What intervals hold, with so many seeds of each variant."""
    if max(seeds) == 1:
        return "scenes alone; other seeds may differ by more"
    return "scenes and seeds" + (", of one seed over scenes alone" if min(seeds) == 1 else "")


def _draw_answers(
    axes: Axes, rows: pd.DataFrame, variants: list[str], guess: Mapping[str, float]
) -> None:
    categories = list(dict.fromkeys(rows["category"]))
    step = 0.76 / len(variants)
    for number, variant in enumerate(variants):
        own = rows[rows["variant"].eq(variant)]
        at = [i + (number - (len(variants) - 1) / 2) * step for i in range(len(categories))]
        axes.errorbar(
            at,
            own["value"],
            yerr=[own["value"] - own["low"], own["high"] - own["value"]],
            fmt=_MARKS[number],
            color=_COLORS[number],
            markersize=7,
            linewidth=1.4,
            label=variant.replace("_", " "),
        )
    for i, category in enumerate(categories):
        axes.hlines(guess[category], i - 0.4, i + 0.4, color="#9aa0a6", linewidth=4)
    axes.set_xticks(range(len(categories)), [c.replace("_", "-") for c in categories], **LITERAL)


def _draw_words(axes: Axes, rows: pd.DataFrame, variants: list[str]) -> None:
    for number, variant in enumerate(variants):
        own = rows[rows["variant"].eq(variant)]
        at = own["state"].astype(float)
        axes.fill_between(at, own["low"], own["high"], color=_COLORS[number], alpha=0.08, lw=0)
        axes.plot(at, own["value"], color=_COLORS[number], marker=_MARKS[number], markersize=5)
    axes.set_xlabel("state of the residual stream (0: projector's output)", fontsize=9)
    axes.set_ylabel("a true word among the top 3", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
