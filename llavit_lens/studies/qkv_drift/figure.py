"""How far visual projections have moved: distance and rank of the change, for Q, K and V."""

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
_EDGE, _TOP, _LEFT, _GAP, _PANEL, _HIGH, _BETWEEN = 0.35, 1.95, 0.85, 0.6, 3.5, 2.5, 0.75
_COLORS = {"visual - text": "#d55e00", "text - base": "#0072b2", "visual - base": "#009e73"}
_MEANINGS = {
    "visual - text": "visual weights from text weights",
    "text - base": "text weights from the base LLM",
    "visual - base": "visual weights from the base LLM",
}
_NAMES = {"q": "Queries", "k": "Keys", "v": "Values"}
_NOISE: dict[str, Any] = {"color": MUTED, "linestyle": (0, (4, 2)), "linewidth": 1.2}


def draw_qkv_drift(table: pd.DataFrame, model: str) -> Figure:
    """Draw the table of `reports.drift.qkv_drift_report`."""
    page = Page(_LEFT + 3 * _PANEL + 2 * _GAP + _EDGE, _TOP + 2 * _HIGH + _BETWEEN + 0.75)
    page.text(_EDGE, 0.26, "How far visual projections have moved", size=17, weight="bold")
    page.text(
        _EDGE,
        0.64,
        shorten(f"{model}: visual Q, K, V start as copies of the text ones (Eq. 6).", 95)
        + " Above: size of the change; below: in how many directions.",
        size=11,
        color=MUTED,
    )
    pairs = list(dict.fromkeys(table["pair"]))
    _draw_key(page, pairs)
    whole = table[table["head"].isna()]
    highest = 1.06 * table["relative"].max() or 1.0
    for number, (projection, name) in enumerate(_NAMES.items()):
        left = _LEFT + number * (_PANEL + _GAP)
        page.text(left, 1.6, name, size=12.5, weight="bold")
        above = page.axes(left, _TOP, _PANEL, _HIGH)
        below = page.axes(left, _TOP + _HIGH + _BETWEEN, _PANEL, _HIGH)
        for pair in pairs:
            own = table[table["pair"].eq(pair) & table["projection"].eq(projection)]
            heads, line = own[own["head"].notna()], own[own["head"].isna()]
            color = _COLORS[pair]
            above.plot(heads["layer"], heads["relative"], "o", ms=4, mew=0, color=color, alpha=0.5)
            above.plot(line["layer"], line["relative"], "-o", color=color, markersize=4)
            share = line["effective_rank"] / line["full_rank"]
            below.plot(line["layer"], share, "-o", color=color, markersize=4)
        own = whole[whole["projection"].eq(projection) & whole["pair"].eq(pairs[0])]
        below.plot(own["layer"], own["noise_rank"] / own["full_rank"], **_NOISE)
        above.set_ylim(0, highest)
        below.set_ylim(0, 1)
        if number == 0:
            above.set_ylabel("distance / norm of what it is from", fontsize=9)
            below.set_ylabel("effective rank / full rank", fontsize=9)
        for axes in (above, below):
            _finish(axes)
    return page.figure


def _draw_key(page: Page, pairs: list[str]) -> None:
    axes = page.axes(_EDGE, 1.0, page.width - 2 * _EDGE, 0.3)
    axes.set_axis_off()
    head: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 4, "alpha": 0.5}
    axes.legend(
        [
            *(Line2D([], [], color=_COLORS[pair], marker="o", markersize=4) for pair in pairs),
            Line2D([], [], color=MUTED, **head),
            Line2D([], [], **_NOISE),
        ],
        [*(_MEANINGS[pair] for pair in pairs), "a head", "a change that is only noise"],
        ncols=len(pairs) + 2,
        loc="center left",
        bbox_to_anchor=(0.0, 0.5),
        borderpad=0,
        handlelength=3,
        frameon=False,
        fontsize=9,
    )


def _finish(axes: Axes) -> None:
    axes.set_xlabel("decoder layer, counted from 0", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.grid(axis="y", color="#e6e8eb")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
