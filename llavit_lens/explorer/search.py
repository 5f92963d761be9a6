"""A searched word as the page shows it: a heat map, and where it is likeliest, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llavit_lens.explorer.payload import as_text, cosine_codes, log_probability_codes
from llavit_lens.explorer.places import place_of
from llavit_lens.figures.legible import printable

if TYPE_CHECKING:
    from llavit_lens.explorer.bench import Reading
    from llavit_lens.lens.search import Found


def sentence(found: Found, reading: Reading, title: str) -> str:
    """What was found, in plain words."""
    layer, patch = found.best
    layout = reading.words.layout
    share = float(np.exp(found.values[layer, patch]))
    where = f"layer {layer} of {reading.depth}, {place_of(layout, patch)}"
    text = f"{title}: likeliest at {where}: {_percent(share)}."
    if found.tokens.pieces:
        pieces = " · ".join(printable(piece) for piece in found.tokens.pieces)
        first = printable(found.tokens.texts[0])
        text += (
            f" It is {len(found.tokens.pieces)} tokens here ({pieces}); the first, “{first}”, is "
            "followed."
            if len(found.tokens.pieces) > 1
            else f" It is followed as the token “{first}”."
        )
    return text


def moving_payload(
    word: str, found: list[tuple[str, Reading, Found | None]] | None
) -> dict[str, Any] | None:
    """The search as the view draws it; None where no side has the word."""
    if not found or all(each is None for _, _, each in found):
        return None
    panes: list[dict[str, Any] | None] = []
    for title, reading, each in found:
        if each is None:
            panes.append(None)
            continue
        layer, patch = each.best
        codes = np.concatenate(
            [cosine_codes(each.cosine)[None], log_probability_codes(each.values)]
        )
        panes.append(
            {
                "values": as_text(codes),
                "slot": layer + 1,
                "patch": patch,
                "text": sentence(each, reading, title),
            }
        )
    return {"word": printable(word.strip()), "panes": panes}


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.0995 else f"{share:.2g}" if share < 1e-5 else f"{share:.2%}"
