"""Hits in images that tests draw: each patch has a color of its own, so that it is known again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from llavit_lens.errors import ImageError
from llavit_lens.results.hits import PLACE, Hits

GONE = "The image is not there any more."


def color_of(row: int, col: int, image: int = 0) -> tuple[int, int, int]:
    """Of a patch."""
    return 40 + 9 * row, 40 + 9 * col, 40 + 50 * image


def painted(grid: int, patch: int, image: int = 0) -> Image.Image:
    """`grid` x `grid` patches of `patch` pixels, each in its color."""
    cells = [[color_of(row, col, image) for col in range(grid)] for row in range(grid)]
    pixels = np.array(cells, np.uint8).repeat(patch, 0).repeat(patch, 1)
    return Image.fromarray(pixels)


def made_hits(
    places: Sequence[tuple[int, int, int]], grid: int = 8, patch: int = 14, **changes: Any
) -> Hits:
    """One hit for each (image, row, column), with probabilities 0.9, 0.81, …; `changes` are of the
    fields of `Hits`, or of all rows of its table."""
    rows = [
        {
            "image": image, "source": f"folder/{image}.png", "layer": number % 5, "tile": 0,
            "patch": row * grid + col, "row": row, "col": col, "token": " dog", "rank": 0,
            "x0": col * patch, "y0": row * patch, "x1": (col + 1) * patch, "y1": (row + 1) * patch,
            "probability": 0.9 ** (number + 1),
        }
        for number, (image, row, col) in enumerate(places)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=[*PLACE, "probability"])
    of_rows = {name: value for name, value in changes.items() if name in table}
    fields = {
        "word": "dog", "tokens": {7: " dog"}, "pieces": None, "layers": pd.DataFrame(),
        "total": len(table), "n_images": 30, "n_listed": 30, "per": "patch", "model": "demo:llavit",
        "lens": "logit_lens", "index": "no such index",
    }  # fmt: skip
    fields |= {name: value for name, value in changes.items() if name not in table}
    return Hits(table=table.assign(**of_rows), **fields)


def opener_of(images: dict[int, Image.Image]) -> Callable[[int], Image.Image]:
    """Opens these images; others are gone. `opened` of it holds the numbers that were asked for."""

    def opener(number: int) -> Image.Image:
        opener.opened.append(number)  # type: ignore[attr-defined]
        if number not in images:
            raise ImageError(GONE)
        return images[number]

    opener.opened = []  # type: ignore[attr-defined]
    return opener
