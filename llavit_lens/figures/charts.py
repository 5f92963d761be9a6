"""Charts of numbers with their intervals: a title, a key, and panels side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from llavit_lens.figures.fit import shorten_start
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import DARK, GRID, LITERAL, MUTED, text_width

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.legend import Legend

    from llavit_lens.figures.figure import Figure

Key = Sequence[tuple[str, Mapping[str, Any]]]
"""What lines and marks mean: (meaning, style of the `Line2D`)."""

DASHED, DOTTED = (0, (4, 2)), (0, (1, 2))
STATES = "state of the residual stream"
LAYERS = "decoder layer, from 0"

WIDTH = 7.2
"""Inches: across a page of a paper, so that letters have the size there that they have here."""

TITLE, PANEL, SMALL = 13.0, 9.5, 8.0  # points
_EDGE = 0.12  # inches
_KEY_ROW = 0.2  # inches
_KEY = 8.5  # points
_KEY_LINE = 6.0  # width of a line of the key and what is around it, in units of its font size


def new_page(title: str, caption: str, key: Key, height: float, width: float = WIDTH) -> Figure:
    """A figure with its title and key, and below them `height` inches for panels.

    Args:
        title: what is seen, in a few words.
        caption: what was measured, on what, and what the intervals are; it is not drawn, but goes
            into the file (see `Figure.savefig`).
        key: names in it, as all texts here, are safe to draw.
    """
    page = Page(width)
    top = page.paragraph(
        _EDGE,
        _EDGE,
        title,
        size=TITLE,
        color=DARK,
        weight="bold",
        width=width - 2 * _EDGE,
    )
    page.figure.title, page.figure.caption = title, caption
    top += 0.1
    if key:
        room = width - 2 * _EDGE
        room_of_name = 72 * room / _KEY - _KEY_LINE
        key = [(shorten_start(meaning, room_of_name), style) for meaning, style in key]
        key_columns = _key_columns(key, 72 * room)
        draw_key(
            page.figure,
            key,
            ncols=key_columns,
            loc="upper left",
            bbox_to_anchor=(_EDGE, top),
            bbox_transform=page.inches,
            borderpad=0,
            borderaxespad=0,
            handlelength=2.2,
            columnspacing=1.4,
        )
        top += _KEY_ROW * -(-len(key) // key_columns) + 0.08
    figure = page.finish(top + height)
    figure.set_layout_engine(
        "constrained",
        rect=(0, 0, 1, height / (top + height)),
        w_pad=0.1,
        h_pad=0.08,
        wspace=0.02,
        hspace=0.03,
    )
    return figure


def new_chart(
    title: str,
    caption: str,
    key: Key,
    columns: int,
    rows: int = 1,
    *,
    height: float,
    width: float = WIDTH,
    width_ratios: Sequence[float] | None = None,
    **options: Any,
) -> tuple[Figure, np.ndarray]:
    """`new_page`, and the axes of its panels, [rows, columns].

    Args:
        height: of all panels together with their labels, in inches.
        options: of `Figure.subplots`.
    """
    figure = new_page(title, caption, key, height, width)
    panels = figure.subplots(rows, columns, squeeze=False, width_ratios=width_ratios, **options)
    return figure, panels


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
    pad = 14 if detail else 5
    axes.set_title(
        title, loc="left", pad=pad, **{"weight": "bold", "fontsize": PANEL, **style}, **LITERAL
    )
    axes.annotate(
        detail, (0, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points",
        fontsize=SMALL, color=MUTED, **LITERAL,
    )  # fmt: skip
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.update({"fontsize": SMALL, **LITERAL})


def across(axes: Axes) -> None:
    """Values go from left to right: lines of the grid stand upright, and names have no ticks."""
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=GRID)
    axes.tick_params(axis="y", length=0)


def zero_line(axes: Axes, *, upright: bool = False) -> None:
    """No difference."""
    (axes.axvline if upright else axes.axhline)(0, color=DARK, linewidth=0.9, zorder=1)


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


def draw_points(
    axes: Axes,
    at: Sequence[float] | pd.Series,
    rows: pd.DataFrame,
    value: str = "value",
    *,
    upright: bool = True,
    **style: Any,
) -> None:
    """Values with their intervals: `at` counts to the right or, not `upright`, down a list."""
    low, high = interval(rows, value)
    # an interval of draws may end, by rounding, a little before its value
    errors = [(rows[value] - low).clip(lower=0), (high - rows[value]).clip(lower=0)]
    style = {"linewidth": 1.2, "marker": "o", "markersize": 4.5, "linestyle": "none", **style}
    if upright:
        axes.errorbar(at, rows[value], yerr=errors, **style)
    else:
        axes.errorbar(rows[value], at, xerr=errors, **style)


def side_by_side(number: int, of: int, spread: float = 0.7) -> float:
    """How far one of several series is shifted, so that all of them take `spread` of a place."""
    return (number - (of - 1) / 2) * spread / max(of, 1)


def interval(rows: pd.DataFrame, value: str) -> tuple[pd.Series, pd.Series]:
    """The columns `low` and `high` of a value: `change_low` is the low end of `change`."""
    prefix = "" if value == "value" else f"{value}_"
    return rows[f"{prefix}low"], rows[f"{prefix}high"]


def name_states(axes: Axes, label: str = STATES) -> None:
    """The horizontal axis counts layers, or states of the residual stream."""
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def in_points(axis: Axis) -> None:
    """Numbers along an axis of differences of shares: `+5` is 5 points."""
    axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], min_n_ticks=3))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _signed(100 * value)))


def in_percent(axis: Axis, ticks: int = 5) -> None:
    """Shares along an axis, with at most so many intervals between ticks."""
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))


def _signed(points: float) -> str:
    return "0" if abs(points) < 1e-9 else f"{points:+.3g}".replace("-", "\N{MINUS SIGN}")
