"""How well words name what is where, state by state: one panel for each measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from llavit_lens.figures.charts import DASHED, DOTTED, Key, name_panel, name_states, new_chart
from llavit_lens.figures.style import MUTED, model_colors
from llavit_lens.results.readability import UNTRAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llavit_lens.results.readability import Readability

_COLUMNS, _ROW = 3, 3.0  # panels beside each other; inches of a row of them
_FLOOR: dict[str, Any] = {"linestyle": DASHED, "linewidth": 1.1}
_CHANCE: dict[str, Any] = {"linestyle": DOTTED, "linewidth": 1.4}
_CEILING: dict[str, Any] = {"linestyle": "none", "marker": "^", "markersize": 5}
_LENS: dict[str, Any] = {"marker": "o", "markersize": 3.5}
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


def draw_readability(result: Readability, *others: Readability, what: str | None = None) -> Figure:
    """Draw the readability of one model or several.

    Args:
        result, others: of each model; an untrained model is drawn as the floor of the one it was
            made of, the linear probe as the ceiling of names.
        what: what was read, such as `60 scenes of the miniature world`; default: how many images.
    """
    table = pd.concat([result.table, *(other.table for other in others)], ignore_index=True)
    what = what or f"{result.n_images} images"
    panels = [panel for panel in _PANELS if table["measure"].eq(panel.measure).any()]
    colors = model_colors(name.removesuffix(UNTRAINED) for name in table["model"])
    rows = -(-len(panels) // _COLUMNS)
    figure, axes = new_chart(
        "Do words name what the patches show?",
        f"{what}, read by the logit lens at each state of the residual stream (0: the projector's "
        "output). Bands: 95 % intervals over images; none where nothing was seen at all.",
        _key(table, colors),
        _COLUMNS,
        rows,
        size=(13.6, rows * _ROW),
    )
    for panel, ax in zip(panels, axes.flat, strict=False):
        _draw_panel(ax, panel, table, colors)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    return figure


def _key(table: pd.DataFrame, colors: dict[str, str]) -> Key:
    """Colors of the models, and what the lines are."""
    lines = [("read by the lens", _LENS)]
    if table["measure"].eq(_CEILING_MEASURE).any():
        lines.append(("read by a linear probe (ceiling)", _CEILING))
    if table["model"].str.endswith(UNTRAINED).any():
        lines.append(("by the lens, untrained weights (floor)", _FLOOR))
    lines.append(("chance", _CHANCE))
    models = [(name, {"color": color, "linewidth": 5}) for name, color in colors.items()]
    return [*models, *((meaning, {"color": MUTED, **style}) for meaning, style in lines)]


def _draw_panel(axes: Axes, panel: _Panel, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq(panel.measure)]
    k = None if panel.k is None else _nearest(rows["k"], panel.k)
    rows = rows if k is None else rows[rows["k"].eq(k)]
    _draw_lines(axes, rows, colors)
    if panel.measure == "name":
        _draw_ceiling(axes, table, colors)
    axes.set_ylim(0, 1.02 if panel.whole else _top(rows))
    name_states(axes, "state of the residual stream")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    name_panel(axes, panel.title, panel.detail.format(k=k))


def _nearest(ks: pd.Series, wanted: int) -> int:
    return min((int(k) for k in ks.unique()), key=lambda k: (abs(k - wanted), k))


def _draw_lines(axes: Axes, rows: pd.DataFrame, colors: dict[str, str]) -> None:
    for model, line in rows.dropna(subset="layer").groupby("model", sort=False):
        name = str(model)
        at, color = line["layer"].astype(int), colors[name.removesuffix(UNTRAINED)]
        if name.endswith(UNTRAINED):
            axes.plot(at, line["value"], color=color, **_FLOOR)
            continue
        seen = line["value"] > 0
        low, high = line["low"].where(seen), line["high"].where(seen)
        axes.fill_between(at, low, high, color=color, alpha=0.12, linewidth=0)
        axes.plot(at, line["value"], color=color, **_LENS)
        axes.plot(at, line["chance"], color=color, **_CHANCE)


def _draw_ceiling(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq(_CEILING_MEASURE) & table["model"].isin(list(colors))]
    for model, line in rows.groupby("model", sort=False):
        axes.plot(line["layer"].astype(int), line["value"], color=colors[str(model)], **_CEILING)


def _top(rows: pd.DataFrame) -> float:
    """Above all that was seen."""
    seen = rows.loc[rows["value"] > 0, "high"].max()
    return max(0.01, 1.1 * seen) if seen == seen else 0.05
