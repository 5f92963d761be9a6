"""How well words name what is where, state by state: one panel for each measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from llavit_lens.figures.charts import (
    DASHED,
    DOTTED,
    Key,
    in_percent,
    name_panel,
    name_states,
    new_chart,
    side_by_side,
)
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.names import model_titles, which_models
from llavit_lens.figures.style import MUTED, model_colors
from llavit_lens.results.readability import UNTRAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llavit_lens.figures.figure import Figure
    from llavit_lens.results.readability import Readability

_COLUMNS, _ROW = 3, 2.05  # panels beside each other; inches of a row of them
_FLOOR: dict[str, Any] = {"linestyle": DASHED, "linewidth": 1.2, "clip_on": False}
_CHANCE: dict[str, Any] = {"linestyle": DOTTED, "linewidth": 1.4, "clip_on": False}
_CEILING: dict[str, Any] = {
    "linestyle": "none", "marker": "^", "markersize": 5, "markerfacecolor": "white",
}  # fmt: skip
_LENS: dict[str, Any] = {"marker": "o", "markersize": 3.5}
_CEILING_MEASURE = "probe"
_APART = 0.3  # states, between the marks of all models at one


class _Panel(NamedTuple):
    measure: str
    k: int | None  # the nearest that was measured is drawn
    title: str
    detail: str
    whole: bool = True  # the axis shows 0 to 100 %


_PANELS = (
    _Panel("hit", 3, "A true word is read", "any true of the object, top {k}"),
    _Panel("name", 1, "The name is read", "the object's own name, top {k}"),
    _Panel("localisation", None, "The name finds it", "average precision"),
    _Panel("binding_color", None, "Colors stay in place", "of two colors, the right one"),
    _Panel("leak_object", 3, "Leaks to other objects", "a name, top {k}: less is better", False),
    _Panel("leak_background", 3, "Leaks to background", "a name, top {k}: less is better", False),
    _Panel("replace_switch", None, "New thing, new name", "old ahead before, new after"),
    _Panel("recolour_switch", None, "New color, new word", "old ahead before, new after"),
    _Panel("non_word", None, "No word is read", "newlines etc.: less is better", False),
)


def draw_readability(result: Readability, *others: Readability, what: str | None = None) -> Figure:
    """Draw the readability of one model or several.

    Args:
        result, others: of each model; an untrained model is drawn as the floor of the one it was
            made of, the linear probe as the ceiling of names.
        what: what was read, such as `60 scenes of the miniature world`; default: how many images.
    """
    table = pd.concat([result.table, *(other.table for other in others)], ignore_index=True)
    return draw_readability_table(table, what or f"{result.n_images} images")


def draw_readability_table(table: pd.DataFrame, what: str) -> Figure:
    """Draw the tables of several models, one below the other; `what` as in `draw_readability`."""
    what = drawable(what)
    titles = model_titles(name for name in table["model"] if not name.endswith(UNTRAINED))
    panels = [panel for panel in _PANELS if table["measure"].eq(panel.measure).any()]
    colors = model_colors(name.removesuffix(UNTRAINED) for name in table["model"])
    rows = -(-len(panels) // _COLUMNS)
    figure, axes = new_chart(
        "Do words name what the patches show?",
        _caption(table, what, titles),
        _key(table, colors, titles),
        _COLUMNS,
        rows,
        height=rows * _ROW,
    )
    for panel, ax in zip(panels, axes.flat, strict=False):
        _draw_panel(ax, panel, table, colors)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    return figure


def _key(table: pd.DataFrame, colors: Mapping[str, str], titles: Mapping[str, str]) -> Key:
    """Colors of the models, and what the lines are."""
    lines = [("read by the lens", _LENS)]
    if table["measure"].eq(_CEILING_MEASURE).any():
        lines.append(("by a linear probe (ceiling)", _CEILING))
    if table["model"].str.endswith(UNTRAINED).any():
        lines.append(("untrained weights (floor)", _FLOOR))
    lines.append(("chance", _CHANCE))
    models = [
        (titles.get(name, drawable(name)), {"color": color, "linewidth": 5})
        for name, color in colors.items()
    ]
    return [*models, *((meaning, {"color": MUTED, **style}) for meaning, style in lines)]


def _caption(table: pd.DataFrame, what: str, titles: Mapping[str, str]) -> str:
    about = (
        f"{what[:1].upper()}{what[1:]}, read by the logit lens at each state of the residual "
        "stream (0 is the projector's output). Each panel is one measure; of the likeliest word or "
        "of three, as its second line says. Bands: 95 % intervals over images; none where nothing "
        "was seen at all. "
        "Dotted: chance, gray where it is the same for all models."
    )
    if table["measure"].eq(_CEILING_MEASURE).any():
        about += " Triangles: a linear probe that was trained on other images to name the object."
    if table["model"].str.endswith(UNTRAINED).any():
        about += " Dashed: the same architecture with untrained weights."
    return f"{about} {which_models(titles)}"


def _draw_panel(axes: Axes, panel: _Panel, table: pd.DataFrame, colors: Mapping[str, str]) -> None:
    rows = table[table["measure"].eq(panel.measure)]
    k = None if panel.k is None else _nearest(rows["k"], panel.k)
    rows = rows if k is None else rows[rows["k"].eq(k)]
    _draw_lines(axes, rows, colors)
    if panel.measure == "name":
        _draw_ceiling(axes, table, colors)
    top = 1.02 if panel.whole else _top(rows)
    axes.set_ylim(-0.03 * top, top)  # so that a line at zero is seen beside the axis
    name_states(axes, "state")
    in_percent(axes.yaxis, 4)
    name_panel(axes, panel.title, panel.detail.format(k=k))


def _nearest(ks: pd.Series, wanted: int) -> int:
    return min((int(k) for k in ks.unique()), key=lambda k: (abs(k - wanted), k))


def _draw_lines(axes: Axes, rows: pd.DataFrame, colors: Mapping[str, str]) -> None:
    chances = []
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
        chances.append((at, line["chance"].astype(float), color))
    same = all(chance.tolist() == chances[0][1].tolist() for _, chance, _ in chances)
    for at, chance, color in chances[: 1 if same else None]:
        axes.plot(at, chance, color=MUTED if same else color, **_CHANCE)


def _draw_ceiling(axes: Axes, table: pd.DataFrame, colors: Mapping[str, str]) -> None:
    """Marks of the models side by side, as they are all near each other."""
    rows = table[table["measure"].eq(_CEILING_MEASURE) & table["model"].isin(list(colors))]
    models = list(dict.fromkeys(rows["model"]))
    for number, model in enumerate(models):
        line = rows[rows["model"].eq(model)]
        at = line["layer"].astype(int) + side_by_side(number, len(models), _APART)
        axes.plot(at, line["value"], color=colors[str(model)], **_CEILING)


def _top(rows: pd.DataFrame) -> float:
    """Above all that was seen."""
    seen = rows.loc[rows["value"] > 0, "high"].max()
    return max(0.01, 1.1 * seen) if seen == seen else 0.05
