"""Charts of numbers with their intervals: a headline, a key, and panels side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from llavit_lens.figures.fit import shorten_start
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.style import GRID, LITERAL, MUTED, text_width

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

    from llavit_lens.figures.figure import Figure

Key = Sequence[tuple[str, Mapping[str, Any]]]
"""What lines and marks mean: (meaning, style of the `Line2D`)."""

DASHED, DOTTED = (0, (4, 2)), (0, (1, 2))
STATES = "state of the residual stream (0: projector's output)"
LAYERS = "decoder layer, counted from 0"

_KEY_ROW = 0.24  # inches
_KEY = 9.0  # points
_KEY_LINE = 6.0  # width of a line of the key and what is around it, in units of its font size


def new_chart(
    title: str,
    about: str,
    key: Key,
    columns: int,
    rows: int = 1,
    *,
    size: tuple[float, float],
    width_ratios: Sequence[float] | None = None,
) -> tuple[Figure, np.ndarray]:
    """A figure with its heading, and the axes of its panels, [rows, columns].

    Args:
        about: what is drawn, broken into as many lines as it needs.
        size: (width, height) of all panels together with their labels, in inches.
    """
    width, height = size
    page = Page(width)
    top = page.heading(drawable(title), drawable(about)) + 0.14
    if key:
        room = width - 2 * EDGE
        key = [(key_name(meaning, room), style) for meaning, style in key]
        key_columns = _key_columns(key, 72 * room)
        draw_key(
            page.figure,
            key,
            ncols=key_columns,
            loc="upper left",
            bbox_to_anchor=(EDGE, top),
            bbox_transform=page.inches,
            borderpad=0,
            borderaxespad=0,
            handlelength=3,
            columnspacing=1.4,
        )
        top += _KEY_ROW * -(-len(key) // key_columns) + 0.2
    figure = page.finish(top + height)
    figure.set_layout_engine(
        "constrained", rect=(0, 0, 1, height / (top + height)), w_pad=0.18, h_pad=0.12
    )
    return figure, figure.subplots(rows, columns, squeeze=False, width_ratios=width_ratios)


def key_name(name: str, room: float) -> str:
    """A name as a key has it: safe to draw, its start cut off where `room` inches are too few."""
    return shorten_start(drawable(name), 72 * room / _KEY - _KEY_LINE)


def draw_key(parent: Axes | Figure, key: Key, **options: Any) -> Legend:
    """A legend of `key`, whose meanings are literal text, with `options` of `Axes.legend`."""
    legend = parent.legend(
        [Line2D([], [], **style) for _, style in key],
        [""] * len(key),  # set below: here, what begins with _ is left out and $...$ is a formula
        frameon=False,
        prop={"family": LITERAL["family"], "size": _KEY},
        **options,
    )
    for text, (meaning, _) in zip(legend.get_texts(), key, strict=True):
        text.update({**LITERAL, "text": meaning})
    return legend


def _key_columns(key: Key, room: float) -> int:
    """How many entries fit into a row: all, or as many as have the width of the widest."""
    widths = [_KEY * (text_width(meaning) + _KEY_LINE) for meaning, _ in key]
    return len(key) if sum(widths) <= room else max(1, int(room / max(widths)))


def name_panel(axes: Axes, title: str, detail: str = "", **style: Any) -> None:
    """Put a title above a panel, with a line of detail below it, and give the panel its look.

    Axes that are labelled are so already.
    """
    axes.set_title(
        title, loc="left", pad=18 if detail else 8, weight="bold", fontsize=11.5, **style, **LITERAL
    )
    axes.annotate(
        detail, (0, 1), xytext=(0, 5), xycoords="axes fraction", textcoords="offset points",
        fontsize=9, color=MUTED, **LITERAL,
    )  # fmt: skip
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.update({"fontsize": 9, **LITERAL})


def draw_line(
    axes: Axes,
    at: pd.Series,
    rows: pd.DataFrame,
    value: str = "value",
    *,
    band: float = 0.1,
    **style: Any,
) -> None:
    """A line through values, and their intervals as a band of the same color, `band` opaque."""
    low, high = interval(rows, value)
    axes.fill_between(at, low, high, color=style["color"], alpha=band, linewidth=0)
    axes.plot(at, rows[value], **{"marker": "o", "markersize": 4, **style})


def draw_by_category(
    axes: Axes, series: Sequence[tuple[pd.DataFrame, Mapping[str, Any]]], spread: float = 0.8
) -> list[str]:
    """Points with their intervals, those of one category side by side; returns the categories.

    Args:
        series: rows with `category`, `value`, `low` and `high`, and how to draw them.
        spread: the width that the points of a category take; categories are 1 apart.
    """
    categories = list(dict.fromkeys(name for rows, _ in series for name in rows["category"]))
    step = spread / len(series)
    for number, (rows, style) in enumerate(series):
        shift = (number - (len(series) - 1) / 2) * step
        at = [categories.index(name) + shift for name in rows["category"]]
        draw_points(axes, at, rows, **style)
    axes.set_xticks(range(len(categories)), list(map(category_name, categories)), **LITERAL)
    return categories


def draw_points(
    axes: Axes, at: Sequence[float] | pd.Series, rows: pd.DataFrame, value: str = "value",
    **style: Any,
) -> None:  # fmt: skip
    """Values with their intervals as upright bars."""
    low, high = interval(rows, value)
    errors = [rows[value] - low, high - rows[value]]
    axes.errorbar(at, rows[value], yerr=errors, **{"linewidth": 1.2, **style})


def interval(rows: pd.DataFrame, value: str) -> tuple[pd.Series, pd.Series]:
    """The columns `low` and `high` of a value: `change_low` is the low end of `change`."""
    prefix = "" if value == "value" else f"{value}_"
    return rows[f"{prefix}low"], rows[f"{prefix}high"]


def name_states(axes: Axes, label: str = STATES) -> None:
    """The horizontal axis counts layers, or states of the residual stream."""
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def category_name(category: str) -> str:
    """`vision-centric`, as the paper writes it."""
    return category.replace("_", "-")
