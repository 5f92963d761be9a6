"""What a LLaViT says and reads when visual tokens lose their own Q, K, V in the last layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from llavit_lens.figures.page import Page
from llavit_lens.figures.style import DARK, LITERAL, MUTED
from llavit_lens.studies.ablation.measure import AS_TRAINED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Inches.
_WIDTH, _EDGE, _TOP, _LEFT, _PANEL, _SECOND, _HIGH = 13.6, 0.35, 1.7, 0.75, 4.6, 8.05, 3.4
_COLORS = ("#0072b2", "#b8860b", "#009e73", "#cc79a7")  # Okabe-Ito, without that of the model
_TRAINED = "#d55e00"


def draw_undone(table: pd.DataFrame, model: str, scenes: int) -> Figure:
    """Draw `miniature.ablation.table()` of a model as trained and undone from layers on.

    Rows of other models, as trained, are drawn for comparison. 95 % intervals.
    """
    undone = table["model"].eq(model) & table["condition"].ne(AS_TRAINED)
    what = str(table.loc[undone, "condition"].iloc[0])  # such as "text QKV"
    page = Page(_WIDTH, _TOP + _HIGH + 0.75)
    page.text(_EDGE, 0.26, "What the visual projections do, layer by layer", size=17, weight="bold")
    page.text(
        _EDGE,
        0.64,
        f"{model}: visual tokens use {what}, not their own (Eq. 6 undone), from a layer on. "
        f"{scenes} held-out scenes; bars and bands: 95 % intervals.",
        size=11,
        color=MUTED,
    )
    page.text(_LEFT, 1.3, "Patches that read right", size=12.5, weight="bold")
    page.text(_SECOND, 1.3, "What it changes in answers", size=12.5, weight="bold")
    words = page.axes(_LEFT, _TOP, _PANEL, _HIGH)
    answers = page.axes(_SECOND, _TOP, _PANEL - 0.1, _HIGH)
    _draw_words(words, table[table["measure"].eq("hit3")], model)
    _draw_answers(answers, table[undone & table["measure"].eq("accuracy")], what)
    for axes in (words, answers):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
        axes.grid(axis="y", color="#e6e8eb")
    return page.figure


def _draw_words(axes: Axes, rows: pd.DataFrame, model: str) -> None:
    last = rows["last_layer"].max()
    ramp = mpl.colormaps["viridis_r"]
    keys = ["model", "condition", "first_layer"]
    for (name, how, first), own in rows.groupby(keys, sort=False, dropna=False):
        if name != model:
            style: dict[str, Any] = {"color": DARK, "linestyle": (0, (4, 2)), "label": name}
        elif how == AS_TRAINED:
            style = {"color": _TRAINED, "linewidth": 2.5, "label": f"{name}, as trained"}
        else:
            label = f"{how} in {first}-{last}" if first < last else f"{how} in {last}"
            style = {"color": ramp(0.1 + 0.85 * (last - first) / (last + 1)), "label": label}
        at, color = own["state"].astype(float), style["color"]
        axes.plot(at, own["value"], marker="o", markersize=3.5, **style)
        axes.fill_between(at, own["low"], own["high"], color=color, alpha=0.07, linewidth=0)
    axes.set_xlabel("state of the residual stream (0: projector's output)", fontsize=9)
    axes.set_ylabel("a true word among the top 3", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)


def _draw_answers(axes: Axes, rows: pd.DataFrame, what: str) -> None:
    categories = list(dict.fromkeys(rows["category"]))
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for number, category in enumerate(categories):
        own = rows[rows["category"].eq(category)]
        axes.errorbar(
            own["first_layer"].astype(float) + 0.1 * (number - (len(categories) - 1) / 2),
            own["change"],
            yerr=[own["change"] - own["change_low"], own["change_high"] - own["change"]],
            fmt="o",
            markersize=5,
            linewidth=1.2,
            color=_COLORS[number % len(_COLORS)],
            label=category.replace("_", "-"),
        )
    firsts = sorted(set(rows["first_layer"].astype(int)))
    names = [f"{first}-{firsts[-1]}" if first < firsts[-1] else str(first) for first in firsts]
    axes.set_xticks(firsts, names, **LITERAL)
    axes.set_xlabel(f"decoder layers with {what}, counted from 0", fontsize=9)
    axes.set_ylabel("change against as trained, in points", fontsize=9)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=""))
    axes.legend(frameon=False, fontsize=9, loc="lower right")
