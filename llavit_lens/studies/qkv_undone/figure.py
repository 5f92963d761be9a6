"""What a LLaViT says and reads when visual tokens use the text's Q, K, V in the last layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from llavit_lens.figures.charts import (
    DASHED,
    category_name,
    draw_key,
    draw_line,
    draw_points,
    key_name,
    name_panel,
    name_states,
    new_chart,
)
from llavit_lens.figures.style import COLORS, DARK, LITERAL, MUTED, model_colors
from llavit_lens.studies.conditions import AS_TRAINED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_KEY = 2.2  # inches for a model's name in the key and the line beside it


def draw_undone(table: pd.DataFrame, model: str, scenes: int) -> Figure:
    """Draw the table of `ablation.measure` for a model as trained and undone from layers on.

    Rows of other models, as trained, are drawn for comparison. 95 % intervals.
    """
    undone = table["model"].eq(model) & table["condition"].ne(AS_TRAINED)
    what = str(table.loc[undone, "condition"].iloc[0])  # such as "text QKV"
    color = model_colors([model])[model]
    figure, [[words, answers]] = new_chart(
        "What the visual projections do, layer by layer",
        f"{model}: visual tokens use {what}, not their own (Eq. 6 undone), from a layer on. "
        f"{scenes} held-out scenes; bars and bands: 95 % intervals.",
        [],
        columns=2,
        size=(13.6, 4.3),
        width_ratios=(1.25, 1),
    )
    _draw_words(words, table[table["measure"].eq("hit3")], model, color)
    free = [other for other in COLORS if other != color]
    _draw_answers(answers, table[undone & table["measure"].eq("accuracy")], what, free)
    name_panel(words, "Patches that read right")
    name_panel(answers, "What it changes in answers")
    return figure


def _draw_words(axes: Axes, rows: pd.DataFrame, model: str, color: str) -> None:
    last = rows["last_layer"].max()
    ramp = mpl.colormaps["viridis_r"]
    keys = ["model", "condition", "first_layer"]
    key: list[tuple[str, dict[str, Any]]] = []
    for (name, condition, _), line in rows.groupby(keys, sort=False, dropna=False):
        style: dict[str, Any] = {"marker": "o", "markersize": 3.5}
        if name != model:
            meaning = key_name(str(name), _KEY)
            style |= {"color": DARK, "linestyle": DASHED}
        elif condition == AS_TRAINED:
            meaning = f"{key_name(model, _KEY)}, as trained"
            style |= {"color": color, "linewidth": 2.5}
        else:
            first = int(line["first_layer"].iloc[0])
            meaning = f"{condition} in {_layers(first, int(last))}"
            style["color"] = ramp(0.1 + 0.85 * (last - first) / (last + 1))
        key.append((meaning, style))
        draw_line(axes, line["state"].astype(float), line, band=0.07, **style)
    name_states(axes)
    axes.set_ylabel("a true word among the top 3")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    draw_key(axes, key, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_answers(axes: Axes, rows: pd.DataFrame, what: str, colors: list[str]) -> None:
    categories = list(dict.fromkeys(rows["category"]))
    axes.axhline(0, color=MUTED, linewidth=0.8)
    key = []
    for number, category in enumerate(categories):
        points = rows[rows["category"].eq(category)]
        style: dict[str, Any] = {"color": colors[number % len(colors)], "marker": "o"}
        style |= {"linestyle": "none", "markersize": 5}
        key.append((category_name(category), style))
        draw_points(
            axes,
            points["first_layer"].astype(float) + 0.1 * (number - (len(categories) - 1) / 2),
            points,
            "change",
            **style,
        )
    firsts = sorted(set(rows["first_layer"].astype(int)))
    axes.set_xticks(firsts, [_layers(first, firsts[-1]) for first in firsts], **LITERAL)
    axes.set_xlabel(f"decoder layers with {what}, counted from 0")
    axes.set_ylabel("change against as trained, in points")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=""))
    draw_key(axes, key, loc="lower right")


def _layers(first: int, last: int) -> str:
    return f"{first}-{last}" if first < last else str(last)
