"""What breaks when visual tokens stop attending: answers, layers that matter, words on patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from llavit_lens.figures.page import Page
from llavit_lens.figures.style import LITERAL, MUTED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Inches.
_WIDTH, _EDGE, _TOP, _LEFT, _GAP, _PANEL, _HIGH = 13.6, 0.35, 1.75, 0.75, 0.72, 3.75, 2.9
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # of models (Okabe-Ito)


def draw_ablation(table: pd.DataFrame, scenes: int) -> Figure:
    """Draw `miniature.ablation.table()` of one model or several, with 95 % intervals."""
    models = list(dict.fromkeys(table["model"]))
    colors = {name: _COLORS[i % len(_COLORS)] for i, name in enumerate(models)}
    page = Page(_WIDTH, _TOP + _HIGH + 0.85)
    page.text(_EDGE, 0.26, "When visual tokens stop attending", size=17, weight="bold")
    page.text(
        _EDGE,
        0.64,
        "Eq. 5 of the paper: attention leaves visual tokens as they are; text still attends to "
        f"them. {scenes} held-out scenes of the miniature world; bars and bands: 95 % intervals.",
        size=11,
        color=MUTED,
    )
    lefts = [_LEFT + i * (_PANEL + _GAP) for i in range(3)]
    names = ("Right answers", "What each layer costs", "Patches that read right")
    for left, name in zip(lefts, names, strict=True):
        page.text(left, 1.2, name, size=12.5, weight="bold")
    answers, windows, words = (page.axes(left, _TOP, _PANEL, _HIGH) for left in lefts)
    _draw_answers(answers, table, colors)
    _draw_windows(windows, table, colors)
    _draw_words(words, table, colors)
    for axes in (answers, windows, words):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    return page.figure


def _draw_answers(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq("accuracy") & table["condition"].ne("Eq. 5, window")]
    categories = list(dict.fromkeys(rows["category"]))
    kinds = list(rows.groupby(["model", "condition"], sort=False).groups)
    step = 0.8 / len(kinds)
    for number, (model, condition) in enumerate(kinds):
        own = rows[rows["model"].eq(model) & rows["condition"].eq(condition)]
        at = [i + (number - (len(kinds) - 1) / 2) * step for i in range(len(categories))]
        axes.errorbar(
            at,
            own["value"],
            yerr=[own["value"] - own["low"], own["high"] - own["value"]],
            fmt={"as trained": "o", "Eq. 5": "X"}.get(condition, "_"),
            color=colors[model],
            markersize=6.5,
            linewidth=1.2,
            label=f"{model}, {condition}",
        )
    axes.set_xticks(range(len(categories)), [c.replace("_", "-") for c in categories], **LITERAL)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="#e6e8eb")
    axes.legend(fontsize=7.5, frameon=False, loc="lower right", prop={"size": 7.5})


def _draw_windows(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq("accuracy") & table["condition"].eq("Eq. 5, window")]
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for model in dict.fromkeys(rows["model"]):
        own = rows[rows["model"].eq(model)]
        worst = own.groupby("category", sort=False)["change"].min().idxmin()
        own = own[own["category"].eq(worst)]
        at = (own["first_layer"] + own["last_layer"]).astype(float) / 2
        label = f"{model}: {str(worst).replace('_', '-')}"
        _line(axes, at, own, "change", colors[model], label)
    axes.set_xlabel("decoder layers without visual attention (middle of the window)", fontsize=9)
    axes.set_ylabel("change of accuracy, category hit hardest", fontsize=9)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" pts"))
    axes.legend(fontsize=8, frameon=False)


def _draw_words(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq("hit3")]
    for model in dict.fromkeys(rows["model"]):
        for condition, style in (("as trained", "-"), ("Eq. 5", "--")):
            own = rows[rows["model"].eq(model) & rows["condition"].eq(condition)]
            if len(own):
                at = own["state"].astype(float)
                _line(axes, at, own, "value", colors[model], f"{model}, {condition}", style)
    axes.set_xlabel("state of the residual stream (0: projector's output)", fontsize=9)
    axes.set_ylabel("a true word among the top 3", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="#e6e8eb")
    axes.legend(fontsize=8, frameon=False)


def _line(
    axes: Axes, at: pd.Series, rows: pd.DataFrame, name: str, color: str, label: str, style="-"
) -> None:
    low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    axes.fill_between(at, rows[low], rows[high], color=color, alpha=0.15, linewidth=0)
    axes.plot(at, rows[name], style, color=color, marker="o", markersize=4, label=label)
