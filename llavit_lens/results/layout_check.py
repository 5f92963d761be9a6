"""Whether visual tokens lie where their layout says: what `check_layout` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llavit_lens.card import card, facts, table, to_type
from llavit_lens.errors import printable
from llavit_lens.images.layout import VisualLayout

if TYPE_CHECKING:
    import pandas as pd

_LEAST = 3  # boxes found in other tokens: fewer do not prove a layout wrong


@dataclass(frozen=True, eq=False)
class LayoutCheck:
    """The boxes of m visual tokens were painted, one after the other: which token changed most?

    Attributes:
        model: its name.
        layout: what was checked.
        painted: int64 [m], the tokens whose boxes were painted: indices in 0..n-1 of the layout.
        found: int64 [m], the token of the same tile that changed most; -1 if none changed, or with
            each color of paint another one.
        rank: int64 [m], how many tokens of the tile changed more than the painted one, or as much;
            0 is right.
        share: float64 [m], the painted token's share of the change in its tile, without what the
            tokens change with the other boxes too. It is 1 where the vision tower is local, and
            less where each of its patches sees the others.
        strays: int64, positions of text tokens that changed, although the image must not reach
            them before the first decoder layer: visual tokens that the layout does not know.
        seconds: how long it took.
    """

    model: str
    layout: VisualLayout
    painted: np.ndarray
    found: np.ndarray
    rank: np.ndarray
    share: np.ndarray
    strays: np.ndarray
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether each painted box changed its own token most, and no text changed."""
        return bool((self.rank == 0).all()) and not len(self.strays)

    @property
    def summary(self) -> str:
        """The verdict in a line."""
        m, right = len(self.rank), self.rank == 0
        if self.ok:
            least = f"{self.share.min():.0%} of the change in its tile or more"
            return f"ok: each of {m} painted boxes changed its own token most, by {least}"
        told = self.found >= 0
        others = int((told & ~right).sum())  # a box that told nothing is no evidence
        wrong = others >= _LEAST and 2 * others > told.sum()
        if not wrong and not len(self.strays):
            return (
                f"UNSURE: {m - right.sum()} of {m} painted boxes were not found in their own "
                f"token, and {others} of these in another one. Either a part of the layout is "
                "wrong, or each patch of this vision tower sees so much of the others that "
                "painting does not tell"
            )
        faults = []
        if others:
            faults.append(f"{others} of {m} painted boxes changed another token most")
        if len(self.strays):
            faults.append(
                f"{len(self.strays)} tokens changed that are none of the layout, the first of them "
                f"token {self.strays[0]}"
            )
        return f"WRONG: {', and '.join(faults)}"

    def __repr__(self) -> str:
        return f"LayoutCheck({printable(self.model, 60)}, {self.layout.summary}; {self.summary})"

    def _repr_html_(self) -> str:
        return card(
            repr(self),
            facts({"boxes": self.layout.precision, "seconds": f"{self.seconds:.1f}"}),
            table(self.to_pandas()),
            to_type(
                {
                    "check.ok": "whether all are right",
                    "check.to_pandas()": "each painted token",
                    "check.layout": "what was checked",
                }
            ),
        )

    def to_pandas(self) -> pd.DataFrame:
        """One row for each painted token: where it lies, which token was found, rank and share.

        `found_tile` is the same tile always; a token that was not found has -1 there.
        """
        import pandas as pd

        layout, found = self.layout, self.found
        columns = {"token": layout.positions[self.painted]}
        for name in ("tile", "row", "col"):
            columns[name] = getattr(layout, name)[self.painted]
        for name in ("row", "col"):
            columns[f"found_{name}"] = np.where(found < 0, -1, getattr(layout, name)[found])
        columns |= {"rank": self.rank, "share": self.share, "right": self.rank == 0}
        return pd.DataFrame(columns)
