"""Attention distance over many images: one table for each model, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.studies.attention_distance.measure import MEASURES, AttentionDistances

COLUMNS = ("model", "layer", "head", "measure", "n", "value", "low", "high", "uniform")
"""Of the table."""


def distance_table(model: str, distances: Sequence[AttentionDistances]) -> pd.DataFrame:
    """One row for each decoder layer, head and measure, and one for the mean of the heads.

    Columns: model, layer, head (from 0; none for the mean of all heads), measure (`patches` and
    `width`: mean distance in patches and as a fraction of the image's width; `visual` and `self`:
    shares of attention), n (images), value, low, high (95 %, images drawn again), uniform (the
    value of uniform attention over what the layer's mask allows).
    """
    bootstrap = Bootstrap(len(distances))
    sums, counts = (
        np.stack([getattr(one, name) for one in distances]) for name in ("sums", "counts")
    )
    uniform = np.stack([one.uniform for one in distances]).sum(0) / sum(
        one.tokens for one in distances
    )
    rows = []
    for kind, measure in enumerate(MEASURES):
        for layer in range(sums.shape[2]):
            of_layer = sums[:, kind, layer], counts[:, kind, layer]
            heads = [(head, of_layer[0][:, head], of_layer[1][:, head]) for head in _heads(sums)]
            for head, total, count in [(None, *(part.sum(1) for part in of_layer)), *heads]:
                rows.append(
                    {
                        "model": model,
                        "layer": layer,
                        "head": head,
                        "measure": measure,
                        "n": len(distances),
                        **bootstrap.mean(total, count)._asdict(),
                        "uniform": uniform[kind, layer],
                    }
                )
    return pd.DataFrame(rows).astype({"head": "Int64"})


def _heads(sums: np.ndarray) -> range:
    return range(sums.shape[-1])
