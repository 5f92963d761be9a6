"""What breaks when visual tokens stop attending: answers, layers that matter, words on patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from llavit_lens.figures.page import Page
from llavit_lens.figures.style import LITERAL, MUTED
from llavit_lens.studies.ablation.measure import AS_TRAINED, NO_UPDATE, SELF_ONLY, WINDOW

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Inches.
_WIDTH, _EDGE, _TOP, _LEFT, _GAP, _PANEL, _HIGH = 13.6, 0.35, 1.95, 0.75, 0.82, 3.65, 3.0
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b8860b")  # Okabe-Ito
_MARKS = {AS_TRAINED: "o", NO_UPDATE: "X", SELF_ONLY: "d"}
_SWEPT = "vision_centric"  # the questions of the sweep, the same for all models
_STYLES: dict[str, Any] = {AS_TRAINED: "-", NO_UPDATE: (0, (4, 2))}
_MEANINGS = {
    AS_TRAINED: "as trained",
    NO_UPDATE: "without attention update (Eq. 5)",
    SELF_ONLY: "patches see no other patch",
}


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
    _draw_keys(page, colors)
    lefts = [_LEFT + i * (_PANEL + _GAP) for i in range(3)]
    names = ("Right answers", "What each window of layers costs", "Patches that read right")
    for left, name in zip(lefts, names, strict=True):
        page.text(left, 1.5, name, size=12.5, weight="bold")
    answers, windows, words = (page.axes(left, _TOP, _PANEL, _HIGH) for left in lefts)
    _draw_answers(answers, table, colors)
    _draw_windows(windows, table, colors)
    _draw_words(words, table, colors)
    for axes in (answers, windows, words):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    return page.figure


def _draw_keys(page: Page, colors: dict[str, str]) -> None:
    """Colors of the models, marks and lines of what was done to them."""
    axes = page.axes(_EDGE, 1.0, _WIDTH - 2 * _EDGE, 0.3)
    axes.set_axis_off()
    models = [Line2D([], [], color=color, linewidth=5) for color in colors.values()]
    kinds = [
        Line2D([], [], color=MUTED, marker=_MARKS[name], linestyle=_STYLES.get(name, "none"))
        for name in _MARKS
    ]
    axes.legend(
        [*models, *kinds],
        [*colors, *(_MEANINGS[name] for name in _MARKS)],
        ncols=len(models) + len(kinds),
        loc="center left",
        bbox_to_anchor=(0.0, 0.5),
        borderpad=0,
        handlelength=3,
        columnspacing=1.4,
        frameon=False,
        fontsize=9,
    )


def _draw_answers(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq("accuracy") & table["condition"].isin(_MARKS)]
    categories = list(dict.fromkeys(rows["category"]))
    kinds = list(dict.fromkeys(zip(rows["model"], rows["condition"], strict=True)))
    step = 0.8 / len(kinds)
    for number, (model, condition) in enumerate(kinds):
        own = rows[rows["model"].eq(model) & rows["condition"].eq(condition)]
        at = [i + (number - (len(kinds) - 1) / 2) * step for i in range(len(categories))]
        axes.errorbar(
            at,
            own["value"],
            yerr=[own["value"] - own["low"], own["high"] - own["value"]],
            fmt=_MARKS[condition],
            color=colors[model],
            markersize=7,
            linewidth=1.2,
        )
    axes.set_xticks(range(len(categories)), [c.replace("_", "-") for c in categories], **LITERAL)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="#e6e8eb")


def _draw_windows(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["condition"].eq(WINDOW) & table["category"].eq(_SWEPT)]
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for model in dict.fromkeys(rows["model"]):
        own = rows[rows["model"].eq(model)]
        _line(axes, own["first_layer"].astype(int), own, "change", colors[model])
    windows = rows[["first_layer", "last_layer"]].drop_duplicates()
    names = [f"{first}-{last}" for first, last in windows.itertuples(index=False)]
    axes.set_xticks(windows["first_layer"].astype(int), names)
    axes.set_xlabel("decoder layers under Eq. 5, counted from 0", fontsize=9)
    axes.set_ylabel(f"{_SWEPT.replace('_', '-')} questions: change, in points", fontsize=9)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=""))


def _draw_words(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq("hit3")]
    for model in dict.fromkeys(rows["model"]):
        for condition, style in _STYLES.items():
            own = rows[rows["model"].eq(model) & rows["condition"].eq(condition)]
            if len(own):
                at = own["state"].astype(float)
                _line(axes, at, own, "value", colors[model], style)
    axes.set_xlabel("state of the residual stream (0: projector's output)", fontsize=9)
    axes.set_ylabel("a true word among the top 3", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color="#e6e8eb")


def _line(
    axes: Axes, at: pd.Series, rows: pd.DataFrame, name: str, color: str, style: Any = "-"
) -> None:
    low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    axes.fill_between(at, rows[low], rows[high], color=color, alpha=0.1, linewidth=0)
    axes.plot(at, rows[name], linestyle=style, color=color, marker="o", markersize=4)
