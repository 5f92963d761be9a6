"""Answers without an image: accuracy and likelihood by category, model beside model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from llavit_lens.figures.charts import interval, name_panel, new_chart
from llavit_lens.figures.style import GRID, LITERAL, MUTED, model_colors

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_ROW, _STEP = 0.36, 0.22  # inches of a category; how far models are apart in it
_TITLES = {"accuracy": "Right answers", "nll": "-log p(right answer), in nats: less is better"}


def draw_text_only(table: pd.DataFrame) -> Figure:
    """Draw the table of `text_only.table` for at most 3 models, with 95 % intervals."""
    colors = model_colors(table["model"])
    categories = list(dict.fromkeys(table["category"]))
    questions = table.loc[table["category"].eq(categories[0]), "n"].iloc[0]
    figure, [panels] = new_chart(
        "Asked in text alone, without an image",
        f"{questions} questions, the same for every model; bars: 95 % intervals.",
        [(name, {"color": colors[name], "marker": "o", "linestyle": "none"}) for name in colors],
        columns=len(_TITLES),
        size=(11.0, _ROW * len(categories) + 1.0),
    )
    for axes, (measure, title) in zip(panels, _TITLES.items(), strict=True):
        name_panel(axes, title)
        _draw(axes, table[table["measure"].eq(measure)], categories, colors)
    answers, likelihood = panels
    names = [name.replace("_", " ") for name in categories]
    answers.set_yticks(range(len(categories)), names, **LITERAL)
    answers.set_xlim(0, 1.02)
    answers.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    likelihood.set_yticks(range(len(categories)), [""] * len(categories))
    likelihood.set_xlim(left=0)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, categories: list[str], colors: dict[str, str]) -> None:
    for number, (model, color) in enumerate(colors.items()):
        points = rows[rows["model"].eq(model)].set_index("category").loc[categories]
        shift = (number - (len(colors) - 1) / 2) * _STEP
        low, high = interval(points, "value")
        axes.errorbar(
            points["value"],
            [at + shift for at in range(len(categories))],
            xerr=[points["value"] - low, high - points["value"]],
            fmt="o",
            color=color,
            markersize=5,
            linewidth=1.2,
        )
    axes.set_ylim(len(categories) - 0.5, -0.5)
    axes.axhline(0.5, color=MUTED, linewidth=0.6)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=GRID)
