"""Answers without an image: what changes against the first model, category by category."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from llavit_lens.figures.charts import (
    across,
    draw_points,
    in_percent,
    in_points,
    name_panel,
    new_chart,
    side_by_side,
    zero_line,
)
from llavit_lens.figures.names import category_name, model_titles, which_models
from llavit_lens.figures.style import DARK, LITERAL, MUTED, model_colors
from llavit_lens.studies.text_only.table import ALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llavit_lens.figures.figure import Figure

_ROW, _AROUND = 0.36, 0.8  # inches of a category, and of what is around all
_TITLES = {"accuracy": "Right answers", "nll": "Surprise at the right answer"}
_CHANGES = {
    "accuracy": "difference in points: more is better",
    "nll": "difference in nats: less is better",
}
_LEVELS = {"accuracy": "share", "nll": "-log p(right answer) in nats: less is better"}


def draw_text_only(table: pd.DataFrame) -> Figure:
    """Draw the table of `text_only.table` with 95 % intervals.

    Of several models the differences to the first one are drawn, whose own level stands with each
    category; of one model its level.
    """
    titles, colors = model_titles(table["model"]), model_colors(table["model"])
    first, *others = titles
    categories = list(dict.fromkeys(table["category"]))
    key: list[tuple[str, dict[str, Any]]] = [
        (titles[name], {"color": colors[name], "marker": "o", "linestyle": "none"})
        for name in others or [first]
    ]
    if others:
        zero = f"{titles[first]}: the line at zero, its level in brackets"
        key.append((zero, {"color": DARK, "linewidth": 0.9}))
    figure, [panels] = new_chart(
        "What is still known without an image",
        _caption(table, titles),
        key,
        columns=len(_TITLES),
        height=_ROW * len(categories) + _AROUND,
    )
    for axes, (measure, title) in zip(panels, _TITLES.items(), strict=True):
        name_panel(axes, title, (_CHANGES if others else _LEVELS)[measure])
        _draw(axes, table[table["measure"].eq(measure)], categories, others or [first], colors)
        across(axes)
        _name_categories(axes, table, measure, categories, levels=bool(others))
    answers, _ = panels
    (in_points if others else in_percent)(answers.xaxis)
    return figure


def _draw(
    axes: Axes,
    rows: pd.DataFrame,
    categories: list[str],
    models: list[str],
    colors: Mapping[str, str],
) -> None:
    value = "change" if rows["model"].nunique() > 1 else "value"
    for number, model in enumerate(models):
        points = rows[rows["model"].eq(model)].set_index("category").loc[categories]
        shift = side_by_side(number, len(models), 0.5)
        at = [place + shift for place in range(len(categories))]
        draw_points(axes, at, points, value, upright=False, color=colors[model])
    if value == "change":
        zero_line(axes, upright=True)
    axes.set_ylim(len(categories) - 0.5, -0.5)
    if categories[0] == ALL:
        axes.axhline(0.5, color=MUTED, linewidth=0.6)


def _name_categories(
    axes: Axes, table: pd.DataFrame, measure: str, categories: list[str], *, levels: bool
) -> None:
    """Names at the left panel; at both in brackets the level of the first model."""
    rows = table[table["measure"].eq(measure) & table["model"].eq(table["model"].iloc[0])]
    level = rows.set_index("category")["value"].map("{:.1f}".format)
    if measure == "accuracy":
        level = rows.set_index("category")["value"].map("{:.0%}".format)
    names = [category_name(name) if measure == "accuracy" else "" for name in categories]
    if levels:
        names = [f"{name} ({level[c]})".strip() for name, c in zip(names, categories, strict=True)]
    axes.set_yticks(range(len(categories)), names, **LITERAL)


def _caption(table: pd.DataFrame, titles: Mapping[str, str]) -> str:
    first, *others = titles.values()
    questions = table.loc[table["category"].eq(table["category"].iloc[0]), "n"].iloc[0]
    read = (
        "Left: right answers. Right: -log p(right answer) in nats, which is less where the right "
        "answer is likelier."
    )
    if not others:
        return (
            f"{questions} questions asked in text alone, without an image, by kind. {read} Bars: "
            f"95 % intervals, texts drawn again. {which_models(titles)}"
        )
    return (
        f"{questions} questions asked in text alone, without an image, by kind: each model minus "
        f"{first}. {read} In brackets: the level of {first}. Bars: 95 % intervals of "
        "the difference, texts drawn again; where one crosses zero, the difference is not decided. "
        f"{which_models(titles)}"
    )
