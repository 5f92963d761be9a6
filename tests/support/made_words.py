"""Hand-made words, so that figures are tested without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.words import Words

MakeWords = Callable[..., Words]

# What a real vocabulary throws at a figure.
_AWKWARD = [
    "$x_1$",
    "_DM",
    "\n",
    "\t\t",
    " \u6309\u94ae",
    "\u202eabc",
    "[red]",
    "\\n",
    "",
    "  ",
    "100%",
]


@pytest.fixture
def awkward_words() -> list[str]:
    """Tokens that a careless figure would interpret, hide or break on."""
    return list(_AWKWARD)


@pytest.fixture
def make_words() -> MakeWords:
    """Words whose top word of patch i at any layer is vocabulary[i % len(vocabulary)]."""

    def make(
        vocabulary: Sequence[str] = ("dog", "grass", "guitar"),
        grid: tuple[int, int] = (4, 4),
        *,
        layers: Sequence[int] = (0, 3, 6),
        kind: str = "logit_lens",
        top: float = 0.5,
        k: int = 3,
        size: tuple[int, int] = (64, 64),
        depth: int | None = 6,
    ) -> Words:
        rows, cols = grid
        row, col = (axis.ravel() for axis in np.indices(grid))
        n = rows * cols
        width, height = size[0] / cols, size[1] / rows
        corners = [col * width, row * height, (col + 1) * width, (row + 1) * height]
        ids = (np.arange(n)[:, None] + np.arange(k)) % len(vocabulary)
        shares = top / 2.0 ** np.arange(k)
        values = np.log(shares) if kind == "logit_lens" else shares
        shape = (len(layers), n, k)
        return Words(
            kind=kind,  # type: ignore[arg-type]
            layers=list(layers),
            ids=np.broadcast_to(ids, shape).copy(),
            values=np.broadcast_to(values, shape).astype(np.float32),
            logsumexp=None,
            entropy=None,
            strings=dict(enumerate(vocabulary)),
            layout=VisualLayout(
                positions=np.arange(n),
                tile=np.zeros(n, dtype=int),
                row=row,
                col=col,
                grid=(grid,),
                image_size=size,
                boxes=np.stack(corners, axis=1).astype(float),
            ),
            provenance={"model": "some_model$", "n_layers": depth},
            image=Image.new("RGB", size, "gray"),
        )

    return make
