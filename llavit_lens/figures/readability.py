"""How well words name what is where, state by state: one panel for each measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from llavit_lens.evaluation.readability.untrained import UNTRAINED
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import LITERAL, MUTED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Inches.
_WIDTH, _EDGE, _TOP, _LEFT = 13.6, 0.35, 2.3, 0.75
_PANEL, _HIGH, _GAP, _DOWN, _COLUMNS = 3.65, 2.0, 0.82, 1.2, 3
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b8860b")  # Okabe-Ito
_FLOOR, _CHANCE = (0, (4, 2)), (0, (1, 2))
_CEILING: dict[str, Any] = {"linestyle": "none", "marker": "^", "markersize": 5}
_CEILING_MEASURE = "probe"


class _Panel(NamedTuple):
    measure: str
    k: int | None  # the nearest that was measured is drawn
    title: str
    detail: str
    whole: bool = True  # the axis shows 0 to 100 %


_PANELS = (
    _Panel("hit", 3, "A true word is read", "any word true of the patch's object, top {k}"),
    _Panel("name", 1, "Its name is read", "the object's own name, top {k}"),
    _Panel("localisation", None, "The name is where the object is", "average precision"),
    _Panel(
        "binding_color", None, "Colors are on their own objects", "of two colors, the right one"
    ),
    _Panel(
        "leak_object",
        3,
        "Names leak onto other objects",
        "another's name, top {k}: the less, the better",
        False,
    ),
    _Panel(
        "leak_background",
        3,
        "Names leak onto background",
        "an object's name, top {k}: the less, the better",
        False,
    ),
    _Panel("replace_switch", None, "Thing replaced, name follows", "old ahead before, new after"),
    _Panel(
        "recolour_switch", None, "Thing recoloured, color follows", "old ahead before, new after"
    ),
    _Panel("non_word", None, "No word is read", "no letter or digit: newlines and the like", False),
)


def draw_readability(table: pd.DataFrame, what: str) -> Figure:
    """Draw the tables of `evaluation.readability` of one model or several, one below the other.

    Args:
        table: its columns; an untrained model is drawn as the floor of the one it was made of, the
            linear probe as the ceiling of names.
        what: what was read, such as `60 scenes of the miniature world`.
    """
    panels = [panel for panel in _PANELS if table["measure"].eq(panel.measure).any()]
    names = list(dict.fromkeys(name.removesuffix(UNTRAINED) for name in table["model"]))
    colors = {name: _COLORS[i % len(_COLORS)] for i, name in enumerate(names)}
    rows = -(-len(panels) // _COLUMNS)
    page = Page(_WIDTH, _TOP + rows * (_HIGH + _DOWN) - 0.35)
    page.text(_EDGE, 0.26, "Do words name what the patches show?", size=17, weight="bold")
    page.text(
        _EDGE,
        0.64,
        f"{what}, read by the logit lens at each state of the residual stream (0: the projector's "
        "output).\nBands: 95 % intervals over pictures; none where nothing was seen at all.",
        size=11,
        color=MUTED,
    )
    _draw_key(page, table, colors)
    for number, panel in enumerate(panels):
        row, column = divmod(number, _COLUMNS)
        left, top = _LEFT + column * (_PANEL + _GAP), _TOP + row * (_HIGH + _DOWN)
        own = table[table["measure"].eq(panel.measure)]
        k = None if panel.k is None else _nearest(own["k"], panel.k)
        page.text(left, top - 0.34, panel.title, size=11.5, weight="bold", baseline=True)
        detail = panel.detail.format(k=k)
        page.text(left, top - 0.13, detail, size=9, color=MUTED, baseline=True)
        axes = page.axes(left, top, _PANEL, _HIGH)
        own = own if k is None else own[own["k"].eq(k)]
        _draw_lines(axes, own, colors)
        if panel.measure == "name":
            _draw_ceiling(axes, table, colors)
        _finish(axes, 1.02 if panel.whole else _top(own))
    return page.figure


def _nearest(ks: pd.Series, wanted: int) -> int:
    return min((int(k) for k in ks.unique()), key=lambda k: (abs(k - wanted), k))


def _draw_key(page: Page, table: pd.DataFrame, colors: dict[str, str]) -> None:
    """Colors of the models, and what the lines are."""
    axes = page.axes(_EDGE, 1.22, _WIDTH - 2 * _EDGE, 0.3)
    axes.set_axis_off()
    kinds: dict[str, dict[str, Any]] = {"read by the lens": {"marker": "o", "markersize": 4}}
    if table["measure"].eq(_CEILING_MEASURE).any():
        kinds["read by a linear probe (ceiling)"] = _CEILING
    if table["model"].str.endswith(UNTRAINED).any():
        kinds["by the lens, untrained weights (floor)"] = {"linestyle": _FLOOR}
    kinds["chance"] = {"linestyle": _CHANCE}
    handles = [Line2D([], [], color=color, linewidth=5) for color in colors.values()]
    handles += [Line2D([], [], color=MUTED, **style) for style in kinds.values()]
    axes.legend(
        handles,
        [*colors, *kinds],
        ncols=len(handles),
        loc="center left",
        bbox_to_anchor=(0.0, 0.5),
        borderpad=0,
        handlelength=3,
        columnspacing=1.4,
        frameon=False,
        prop={"family": LITERAL["family"], "size": 9},
    )


def _draw_lines(axes: Axes, rows: pd.DataFrame, colors: dict[str, str]) -> None:
    for model in dict.fromkeys(rows["model"]):
        own = rows[rows["model"].eq(model)].dropna(subset="layer")
        at, color = own["layer"].astype(int), colors[model.removesuffix(UNTRAINED)]
        if model.endswith(UNTRAINED):
            axes.plot(at, own["value"], linestyle=_FLOOR, color=color, linewidth=1.1)
            continue
        seen = own["value"] > 0
        low, high = own["low"].where(seen), own["high"].where(seen)
        axes.fill_between(at, low, high, color=color, alpha=0.12, linewidth=0)
        axes.plot(at, own["value"], color=color, marker="o", markersize=3.5)
        axes.plot(at, own["chance"], linestyle=_CHANCE, color=color, linewidth=1.4)


def _draw_ceiling(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq(_CEILING_MEASURE)]
    for model, color in colors.items():
        own = rows[rows["model"].eq(model)]
        axes.plot(own["layer"].astype(int), own["value"], color=color, **_CEILING)


def _top(rows: pd.DataFrame) -> float:
    """Above all that was seen."""
    seen = rows.loc[rows["value"] > 0, "high"].max()
    return max(0.01, 1.1 * seen) if seen == seen else 0.05


def _finish(axes: Axes, top: float) -> None:
    axes.set_ylim(0, top)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.set_xlabel("state of the residual stream", fontsize=8.5)
    axes.grid(axis="y", color="#e6e8eb")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
