"""How far visual projections have moved: distance and rank of the change, for Q, K and V."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llavit_lens.figures.charts import (
    DASHED,
    LAYERS,
    SMALL,
    in_percent,
    name_panel,
    name_states,
    new_chart,
)
from llavit_lens.figures.names import model_titles, which_models
from llavit_lens.figures.style import COLORS, MUTED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from llavit_lens.figures.figure import Figure

_MEANINGS = {
    "visual - text": "visual weights from text weights",
    "text - base": "text weights from the base LLM",
    "visual - base": "visual weights from the base LLM",
}
_COLORS = dict(zip(_MEANINGS, COLORS, strict=False))
_PROJECTIONS = {"q": "Queries", "k": "Keys", "v": "Values"}
_NOISE: dict[str, Any] = {"color": MUTED, "linestyle": DASHED, "linewidth": 1.2}
_LINE: dict[str, Any] = {"marker": "o", "markersize": 4}
_HEADS: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 4, "alpha": 0.5}


def draw_qkv_drift(table: pd.DataFrame) -> Figure:
    """Draw the table of `qkv_drift_report`."""
    pairs = list(dict.fromkeys(table["pair"]))
    figure, panels = new_chart(
        "How far visual projections have moved",
        _caption(str(table["model"].iloc[0]), pairs),
        [
            *((_MEANINGS[pair], {"color": _COLORS[pair], **_LINE}) for pair in pairs),
            ("a head", {"color": MUTED, **_HEADS}),
            ("a change that is only noise", _NOISE),
        ],
        columns=len(_PROJECTIONS),
        rows=2,
        height=4.4,
    )
    highest = 1.06 * table["relative"].max() or 1.0
    for (projection, name), (above, below) in zip(_PROJECTIONS.items(), panels.T, strict=True):
        rows = table[table["projection"].eq(projection)]
        _draw_changes(above, rows)
        _draw_ranks(below, rows[rows["head"].isna()])
        above.set_ylim(0, highest)
        below.set_ylim(0, 1.01)
        for axes, title, detail in (
            (above, name, "size of the change"),
            (below, "", "directions of the change"),
        ):
            name_states(axes, LAYERS)
            in_percent(axes.yaxis)
            name_panel(axes, title, detail)
    panels[0, 0].set_ylabel("of the weights' norm", fontsize=SMALL)
    panels[1, 0].set_ylabel("effective rank of full rank", fontsize=SMALL)
    return figure


def _caption(model: str, pairs: Sequence[str]) -> str:
    base = " Both are also compared with the language model that they come from." * (len(pairs) > 1)
    return (
        f"Visual Q, K, V of {which_models(model_titles([model])).removeprefix('Model: ')} They "
        f"start as copies of the text ones (Eq. 6 of the paper).{base} Above: the Frobenius norm "
        "of the change by that of what it is from; a dot is a head, the line all heads. Below: the "
        "effective rank of the change by its full rank; dashed, what noise without structure would "
        "have. The lower, the fewer directions hold the change."
    )


def _draw_changes(axes: Axes, rows: pd.DataFrame) -> None:
    for pair, of_pair in rows.groupby("pair", sort=False):
        color = _COLORS[str(pair)]
        heads, whole = of_pair[of_pair["head"].notna()], of_pair[of_pair["head"].isna()]
        axes.plot(heads["layer"], heads["relative"], color=color, markeredgewidth=0, **_HEADS)
        axes.plot(whole["layer"], whole["relative"], color=color, **_LINE)


def _draw_ranks(axes: Axes, rows: pd.DataFrame) -> None:
    for pair, of_pair in rows.groupby("pair", sort=False):
        share = of_pair["effective_rank"] / of_pair["full_rank"]
        axes.plot(of_pair["layer"], share, color=_COLORS[str(pair)], **_LINE)
    first = rows[rows["pair"].eq(rows["pair"].iloc[0])]
    axes.plot(first["layer"], first["noise_rank"] / first["full_rank"], **_NOISE)
