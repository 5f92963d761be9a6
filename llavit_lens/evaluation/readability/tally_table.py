"""From the counts of images to a tidy table with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from llavit_lens.evaluation.bootstrap import Bootstrap, Estimate
from llavit_lens.evaluation.readability.tally import Key, Tally

LIFTED = ("hit", "name")
"""Measures whose lift over chance is a measure, too."""


def tally_table(model: str, tallies: Sequence[Tally], states: int, seed: int = 0) -> pd.DataFrame:
    """One row for each measure, k and layer; see `readability` for the columns.

    Args:
        tallies: one of each image.
        states: of the residual stream; what is counted for another number of states has no layer.
    """
    bootstrap = Bootstrap(len(tallies), seed)
    rows = []
    for measure, k in _keys(tallies):
        asked = np.array([tally.asked.get((measure, k), 0) for tally in tallies])
        chance_asked = np.array([tally.chance_asked.get((measure, k), 0) for tally in tallies])
        if not asked.any():
            continue
        right_PS = _stack([tally.right.get((measure, k)) for tally in tallies])
        chance_PS = _stack([tally.chance.get((measure, k)) for tally in tallies])
        for state, right in enumerate(right_PS.T):
            by_chance = chance_PS[:, state] if chance_PS.size else np.zeros(len(tallies))
            chance = float(by_chance.sum() / chance_asked.sum()) if chance_asked.any() else np.nan
            which = {"layer": state if len(right_PS.T) == states else None, "k": k}
            n = {"n": int(asked.sum())}
            share = bootstrap.share(right, asked)
            rows.append({"measure": measure, **which, **_numbers(share, chance), **n})
            if measure in LIFTED and chance_asked.any():
                lift = bootstrap.ratio((right, asked), (by_chance, chance_asked))
                rows.append({"measure": f"{measure}_lift", **which, **_numbers(lift, 1), **n})
    table = pd.DataFrame(rows).astype({"layer": "Int64", "k": "Int64"})
    table.insert(0, "model", model)
    order = {name: i for i, name in enumerate(dict.fromkeys(table["measure"]))}
    ranks = table.assign(rank=table["measure"].map(order))
    return table.loc[ranks.sort_values(["rank", "k", "layer"], kind="stable").index].reset_index(
        drop=True
    )


def _keys(tallies: Sequence[Tally]) -> Iterator[Key]:
    return iter(dict.fromkeys(key for tally in tallies for key in tally.asked))


def _stack(counts: Sequence[np.ndarray | None]) -> np.ndarray:
    """[images, states], 0 for an image without questions; empty if no image has any."""
    states = next((len(of_image) for of_image in counts if of_image is not None), 0)
    return np.stack([np.zeros(states) if of_image is None else of_image for of_image in counts])


def _numbers(estimate: Estimate, chance: float) -> dict[str, float]:
    return {**estimate._asdict(), "chance": chance}
