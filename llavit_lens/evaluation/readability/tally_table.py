"""From counts of pictures to a tidy table with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from llavit_lens.evaluation.bootstrap import Bootstrap, Estimate
from llavit_lens.evaluation.readability.counts import Key, Tally

LIFTED = ("hit", "name")
"""Measures whose lift over chance is a measure, too."""


def tally_table(model: str, tallies: Sequence[Tally], states: int, seed: int = 0) -> pd.DataFrame:
    """One row for each measure, k and layer; see `readability` for the columns.

    Args:
        tallies: one of each picture.
        states: of the residual stream; what is counted for another number of states has no layer.
    """
    bootstrap = Bootstrap(len(tallies), seed)
    rows = []
    for measure, k in _keys(tallies):
        asked = np.array([tally.asked.get((measure, k), 0) for tally in tallies])
        drawn = np.array([tally.drawn.get((measure, k), 0) for tally in tallies])
        if not asked.any():
            continue
        right_PS = _stack([tally.right.get((measure, k)) for tally in tallies])
        lucky_PS = _stack([tally.lucky.get((measure, k)) for tally in tallies])
        for state, right in enumerate(right_PS.T):
            lucky = lucky_PS[:, state] if lucky_PS.size else np.zeros(len(tallies))
            chance = float(lucky.sum() / drawn.sum()) if drawn.any() else np.nan
            known = {"layer": state if len(right_PS.T) == states else None, "k": k}
            counted = {"n": int(asked.sum())}
            found = bootstrap.share(right, asked)
            rows.append({"measure": measure, **known, **_numbers(found, chance), **counted})
            if measure in LIFTED and drawn.any():
                lift = bootstrap.ratio((right, asked), (lucky, drawn))
                rows.append({"measure": f"{measure}_lift", **known, **_numbers(lift, 1), **counted})
    table = pd.DataFrame(rows).astype({"layer": "Int64", "k": "Int64"})
    table.insert(0, "model", model)
    order = {name: i for i, name in enumerate(dict.fromkeys(table["measure"]))}
    places = table.assign(place=table["measure"].map(order))
    return table.loc[places.sort_values(["place", "k", "layer"], kind="stable").index].reset_index(
        drop=True
    )


def _keys(tallies: Sequence[Tally]) -> Iterator[Key]:
    return iter(dict.fromkeys(key for tally in tallies for key in tally.asked))


def _stack(counts: Sequence[np.ndarray | None]) -> np.ndarray:
    """[pictures, states], 0 where a picture was not asked; empty where none was."""
    states = next((len(own) for own in counts if own is not None), 0)
    return np.stack([np.zeros(states) if own is None else own for own in counts])


def _numbers(found: Estimate, chance: float) -> dict[str, float]:
    return {**found._asdict(), "chance": chance}
