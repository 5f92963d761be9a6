"""What breaks when visual tokens stop attending: answers, layers that matter, words on patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from llavit_lens.figures.charts import (
    DASHED,
    category_name,
    draw_by_category,
    draw_line,
    name_panel,
    name_states,
    new_chart,
)
from llavit_lens.figures.style import MUTED, model_colors
from llavit_lens.studies.ablation.measure import NO_UPDATE, SELF_ONLY, WINDOW
from llavit_lens.studies.conditions import AS_TRAINED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MARKS = {AS_TRAINED: "o", NO_UPDATE: "X", SELF_ONLY: "d"}
_SWEPT = "vision_centric"  # the questions of the sweep, the same for all models
_STYLES: dict[str, Any] = {AS_TRAINED: "-", NO_UPDATE: DASHED}
_MEANINGS = {
    AS_TRAINED: "as trained",
    NO_UPDATE: "without attention update (Eq. 5)",
    SELF_ONLY: "patches see no other patch",
}


def draw_ablation(table: pd.DataFrame, scenes: int) -> Figure:
    """Draw the `condition_table` of one model or several, with 95 % intervals."""
    colors = model_colors(table["model"])
    key: list[tuple[str, dict[str, Any]]] = [
        (model, {"color": color, "linewidth": 5}) for model, color in colors.items()
    ]
    key += [
        (meaning, {"color": MUTED, "marker": _MARKS[name], "ls": _STYLES.get(name, "none")})
        for name, meaning in _MEANINGS.items()
    ]
    figure, [[answers, windows, words]] = new_chart(
        "When visual tokens stop attending",
        "Eq. 5 of the paper: attention leaves visual tokens as they are; text still attends to "
        f"them. {scenes} held-out scenes of the miniature world; bars and bands: 95 % intervals.",
        key,
        columns=3,
        size=(13.6, 4.1),
    )
    _draw_answers(answers, table, colors)
    _draw_windows(windows, table, colors)
    _draw_words(words, table, colors)
    name_panel(answers, "Right answers")
    name_panel(windows, "What each window of layers costs")
    name_panel(words, "Patches that read right")
    return figure


def _draw_answers(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq("accuracy") & table["condition"].isin(_MARKS)]
    series = [
        (
            of_condition,
            {"fmt": _MARKS[str(condition)], "color": colors[str(model)], "markersize": 7},
        )
        for (model, condition), of_condition in rows.groupby(["model", "condition"], sort=False)
    ]
    draw_by_category(axes, series)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _draw_windows(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["condition"].eq(WINDOW) & table["category"].eq(_SWEPT)]
    rows = rows.astype({"first_layer": int, "last_layer": int})
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for model, of_model in rows.groupby("model", sort=False):
        draw_line(axes, of_model["first_layer"], of_model, "change", color=colors[str(model)])
    windows = rows[["first_layer", "last_layer"]].drop_duplicates()
    names = [f"{first}-{last}" for first, last in windows.itertuples(index=False)]
    axes.set_xticks(windows["first_layer"], names)
    axes.set_xlabel("decoder layers under Eq. 5, counted from 0")
    axes.set_ylabel(f"{category_name(_SWEPT)} questions: change, in points")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=""))


def _draw_words(axes: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    rows = table[table["measure"].eq("hit3") & table["condition"].isin(_STYLES)]
    for (model, condition), line in rows.groupby(["model", "condition"], sort=False):
        at = line["state"].astype(float)
        draw_line(axes, at, line, color=colors[str(model)], linestyle=_STYLES[str(condition)])
    name_states(axes)
    axes.set_ylabel("a true word among the top 3")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
