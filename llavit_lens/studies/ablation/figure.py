"""What breaks when visual tokens stop attending: answers, layers that matter, words on patches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from llavit_lens.figures.charts import (
    DASHED,
    DOTTED,
    STATES,
    across,
    draw_line,
    draw_points,
    in_percent,
    in_points,
    name_panel,
    name_states,
    new_page,
    side_by_side,
    zero_line,
)
from llavit_lens.figures.names import category_name, in_order, model_titles, which_models
from llavit_lens.figures.style import LITERAL, MUTED, model_colors
from llavit_lens.studies.ablation.measure import NO_UPDATE, SELF_ONLY, WINDOW
from llavit_lens.studies.conditions import AS_TRAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.gridspec import GridSpec

    from llavit_lens.figures.figure import Figure

_SWEPT = "vision_centric"  # the questions of the sweep, the same for all models
_MEANINGS = {
    AS_TRAINED: "as trained",
    NO_UPDATE: "no attention update",
    SELF_ONLY: "sees no other patch",
}
_STYLES: dict[str, Any] = {AS_TRAINED: "-", NO_UPDATE: DASHED}
_ACROSS = 3  # panels in a row of the lower part
_ROW, _AROUND, _PANEL = 0.19, 0.75, 2.3  # inches


def draw_ablation(table: pd.DataFrame) -> Figure:
    """Draw the `condition_table` of one model or several, with 95 % intervals.

    Above: right answers, a row for each model and condition. Below: what a window of layers
    costs, and the words on patches of each model.
    """
    titles, colors = model_titles(table["model"]), model_colors(table["model"])
    answers = table[table["measure"].eq("accuracy") & table["condition"].isin(list(_MEANINGS))]
    rows = list(answers[["model", "condition"]].drop_duplicates().itertuples(index=False))
    categories = in_order(answers["category"])
    words = table[table["measure"].eq("hit3") & table["condition"].isin(list(_STYLES))]
    taken = [model for model in titles if _has(words, model, NO_UPDATE)]
    windows = table[table["condition"].eq(WINDOW) & table["category"].eq(_SWEPT)]
    panels = [windows] * (len(windows) > 0) + taken
    below = -(-len(panels) // _ACROSS)
    above = _AROUND + _ROW * (len(rows) + 1)
    figure = new_page(
        "What is lost when visual tokens stop attending",
        _caption(table, titles),
        [
            *((titles[model], {"color": color, "linewidth": 5}) for model, color in colors.items()),
            *((_MEANINGS[name], {"color": MUTED, "ls": ls}) for name, ls in _STYLES.items()),
        ],
        above + below * _PANEL,
    )
    heights = [above, below * _PANEL] if below else [above]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    _draw_answers(figure, grid, answers, rows, categories, titles, colors)
    if below:
        part = grid[1].subgridspec(below, _ACROSS)
        places = [figure.add_subplot(part[i // _ACROSS, i % _ACROSS]) for i in range(len(panels))]
        if len(windows):
            _draw_windows(places[0], windows, colors)
        for axes, model in zip(places[len(windows) > 0 :], taken, strict=True):
            _draw_words(axes, words, model, titles, colors)
    return figure


def _has(rows: pd.DataFrame, model: str, condition: str) -> bool:
    return bool((rows["model"].eq(model) & rows["condition"].eq(condition)).any())


def _draw_answers(
    figure: Figure,
    grid: GridSpec,
    answers: pd.DataFrame,
    rows: list[Any],
    categories: list[str],
    titles: Mapping[str, str],
    colors: Mapping[str, str],
) -> None:
    """A panel for each category, a row for each model and condition: no code to learn."""
    part = grid[0].subgridspec(1, len(categories))
    panels: list[Axes] = []
    for category in categories:
        axes = figure.add_subplot(part[len(panels)])
        for at, (model, condition) in enumerate(rows):
            own = answers[
                answers["model"].eq(model)
                & answers["condition"].eq(condition)
                & answers["category"].eq(category)
            ]
            if condition == AS_TRAINED and len(own):
                last = max(i for i, row in enumerate(rows) if row[0] == model)
                axes.plot(
                    [own["value"].iloc[0]] * 2, [at, last], color=colors[model], alpha=0.45,
                    linewidth=1, linestyle=DOTTED,
                )  # fmt: skip
            draw_points(axes, [at] * len(own), own, upright=False, color=colors[model])
        name_panel(axes, category_name(category).capitalize(), "right answers")
        across(axes)
        in_percent(axes.xaxis, 3)
        axes.set_yticks(range(len(rows)), [""] * len(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        panels.append(axes)
    names = [
        f"{titles[model]}: {_MEANINGS[condition]}"
        if not at or rows[at - 1][0] != model
        else _MEANINGS[condition]
        for at, (model, condition) in enumerate(rows)
    ]
    panels[0].set_yticks(range(len(names)), names, **LITERAL)


def _draw_windows(axes: Axes, rows: pd.DataFrame, colors: Mapping[str, str]) -> None:
    """Windows overlap, so there is no line from one to the next."""
    rows = rows.astype({"first_layer": int, "last_layer": int})
    zero_line(axes)
    models = list(dict.fromkeys(rows["model"]))
    for number, model in enumerate(models):
        own = rows[rows["model"].eq(model)]
        at = own["first_layer"] + side_by_side(number, len(models), 0.4)
        draw_points(axes, at, own, "change", color=colors[model])
    windows = rows[["first_layer", "last_layer"]].drop_duplicates()
    names = [f"{first}-{last}" for first, last in windows.itertuples(index=False)]
    step = -(-len(names) // 8)
    axes.set_xticks(windows["first_layer"].iloc[::step], names[::step])
    axes.set_xlabel("layers without attention update")
    in_points(axes.yaxis)
    name_panel(axes, "A few layers only", f"{category_name(_SWEPT)}: change in points")


def _draw_words(
    axes: Axes,
    rows: pd.DataFrame,
    model: str,
    titles: Mapping[str, str],
    colors: Mapping[str, str],
) -> None:
    """One model as trained and without the update, so that no bands but these two overlap."""
    for (name, condition), line in rows.groupby(["model", "condition"], sort=False):
        if name == model:
            style = {"color": colors[model], "linestyle": _STYLES[str(condition)]}
            draw_line(axes, line["state"].astype(float), line, **style)
    axes.set_ylim(*_range(rows))
    name_states(axes, STATES)
    in_percent(axes.yaxis, 4)
    name_panel(axes, f"Words: {titles[model]}", "patches that read right")


def _range(rows: pd.DataFrame) -> tuple[float, float]:
    """The same for all models, around all that is drawn."""
    low, high = float(rows["low"].min()), float(rows["high"].max())
    return max(0.0, low - 0.02), min(1.0, high + 0.02)


def _caption(table: pd.DataFrame, titles: Mapping[str, str]) -> str:
    return (
        "Right answers and words on patches when visual tokens skip the attention update (Eq. 5 "
        "of the paper): they stay what they are, and text still attends to them. Above: right "
        "answers by category of question; a dotted line leads down from the model as trained. "
        '"Sees no other patch": each visual token attends to text and itself only. Below, left: '
        "no update in a few decoder layers at a time, counted from 0, as a change against the "
        "model as trained; windows overlap, and costs do not add up. Below, right: patches of "
        "things whose three likeliest words hold a true one, at each state of the residual stream "
        f"(0 is the projector's output). {table['scenes'].iloc[0]} held-out scenes of the "
        f"miniature world; bars and bands: 95 % intervals. {which_models(titles)}"
    )
