"""Variants of the miniature study against the first one: answers by category, words by state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from llavit_lens.figures.charts import (
    across,
    draw_points,
    in_points,
    name_panel,
    new_chart,
    side_by_side,
    zero_line,
)
from llavit_lens.figures.fit import shorten_start
from llavit_lens.figures.names import category_name, variant_titles
from llavit_lens.figures.style import DARK, LITERAL, model_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llavit_lens.figures.figure import Figure

_MARKS = ("o", "X", "v", "s", "^", "D")
_LEVEL = 6.0  # width of the first variant's name beside its level, in units of the font size
_HEIGHT, _ROW, _LINES = 1.0, 0.17, 0.42  # inches: what is around rows, a row, lines of a name


def draw_study(table: pd.DataFrame, guess: Mapping[str, float], scenes: int) -> Figure:
    """Draw the table of `compare` as differences to its first variant, in points.

    Args:
        guess: share of each category that the words of the question answer without looking.
        scenes: how many were asked about.
    """
    titles, colors = variant_titles(table["variant"]), model_colors(table["variant"])
    first, *others = titles
    styles: dict[str, dict[str, Any]] = {
        variant: {"color": colors[variant], "marker": _MARKS[i % len(_MARKS)]}
        for i, variant in enumerate(others, start=1)
    }
    changes = table[table["measure"].eq("accuracy")]
    categories = list(dict.fromkeys(changes["category"]))
    figure, [[answers, words]] = new_chart(
        f"{_what(titles, others)}, against the {titles[first].lower()}",
        _caption(table, titles, scenes),
        [
            *((titles[name], {**style, "linestyle": "none"}) for name, style in styles.items()),
            (f"{titles[first]}, the line at zero", {"color": DARK, "linewidth": 0.9}),
        ],
        columns=2,
        height=max(2.9, _HEIGHT + len(categories) * max(_LINES + 0.12, _ROW * len(others) + 0.15)),
        width_ratios=(1.1, 1),
    )
    level = shorten_start(titles[first].lower(), _LEVEL)
    _draw_answers(answers, changes, first, styles, guess, level)
    _draw_words(words, table[table["measure"].eq("hit3")], first, styles)
    words.set_xlabel(f"state of the residual stream ({level} below)")
    name_panel(answers, "Right answers", "difference in points")
    name_panel(words, "Patches that read right", "difference in points")
    across(answers)
    return figure


def _draw_answers(
    axes: Axes,
    rows: pd.DataFrame,
    first: str,
    styles: Mapping[str, Mapping[str, Any]],
    guess: Mapping[str, float],
    title: str,
) -> None:
    """Down a list of categories, with the level of the first variant below each name."""
    levels = rows[rows["variant"].eq(first)].set_index("category")["value"]
    categories = list(levels.index)
    zero_line(axes, upright=True)
    for number, (variant, style) in enumerate(styles.items()):
        own = rows[rows["variant"].eq(variant)]
        shift = side_by_side(number, len(styles))
        at = [categories.index(name) + shift for name in own["category"]]
        draw_points(axes, at, own, "change", upright=False, **style)
    names = [
        f"{category_name(name)}\n{title} {levels[name]:.0%}\nguessing {guess[name]:.0%}"
        for name in categories
    ]
    axes.set_yticks(range(len(names)), names, **LITERAL)
    axes.set_ylim(len(names) - 0.5, -0.5)
    in_points(axes.xaxis)


def _draw_words(
    axes: Axes, rows: pd.DataFrame, first: str, styles: Mapping[str, Mapping[str, Any]]
) -> None:
    """State by state, with the level of the first variant below each."""
    levels = rows[rows["variant"].eq(first)].set_index("state")["value"]
    zero_line(axes)
    for number, (variant, style) in enumerate(styles.items()):
        own = rows[rows["variant"].eq(variant)]
        at = own["state"].astype(float) + side_by_side(number, len(styles))
        draw_points(axes, at, own, "change", **style)
    names = [f"{state}\n{level:.0%}" for state, level in levels.items()]
    axes.set_xticks([float(state) for state in levels.index], names, **LITERAL)
    in_points(axes.yaxis)


def _what(titles: Mapping[str, str], others: Sequence[str]) -> str:
    return "What each variant changes" if len(others) > 1 else titles[others[0]]


def _caption(table: pd.DataFrame, titles: Mapping[str, str], scenes: int) -> str:
    seeds = table.groupby("variant", sort=False)["seeds"].first().tolist()
    first = next(iter(titles.values())).lower()
    apart = set(table.loc[table["change"].isna(), "variant"])
    lone = ", ".join(title for name, title in titles.items() if name in apart)
    return (
        f"Miniature models, trained alike but for one part, against the {first}. Left: right "
        "answers by category of question. Right: patches of things whose three likeliest words "
        "hold a true one, at each state of the residual stream (0 is the projector's output). "
        f"{how_many_seeds(seeds)} of each, {scenes} held-out scenes. Bars: 95 % intervals of the "
        f"difference, over {over_what(seeds)}. Where a bar crosses "
        f"the line at zero, the difference is not decided. Under the names: the level of the "
        f"{first}, and what guessing from the words of the question gets."
        + (f" Not drawn, as no seed is shared with the {first}: {lone}." if lone else "")
    )


def how_many_seeds(seeds: Collection[int]) -> str:
    """`3 seeds`, or `1 to 3 seeds` where variants have different numbers of them."""
    few, many = min(seeds), max(seeds)
    return f"{few if few == many else f'{few} to {many}'} seed{'s' if many > 1 else ''}"


def over_what(seeds: Collection[int]) -> str:
    """What intervals hold, with so many seeds of each variant."""
    if max(seeds) == 1:
        return "scenes alone; other seeds may differ by more"
    return "scenes and seeds" + (", of one seed over scenes alone" if min(seeds) == 1 else "")
