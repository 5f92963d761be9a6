"""A searched word as the page shows it: a heat map, and where it is likeliest, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llavit_lens.token_text import printable
from llavit_lens.viewer.payload import as_text, cosine_codes, log_probability_codes
from llavit_lens.viewer.wording import patch_name

if TYPE_CHECKING:
    from llavit_lens.explorer.lens_cache import LensResult
    from llavit_lens.lens.search import Found


def sentence(found: Found, result: LensResult, title: str) -> str:
    """Where the word is likeliest, as a sentence."""
    layer, patch = found.best
    layout = result.words.layout
    share = float(np.exp(found.values[layer, patch]))
    best = f"layer {layer} of {result.depth}, {patch_name(layout, patch)}"
    text = f"{title}: likeliest at {best}: {_percent(share)}."
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


def search_payload(
    word: str, searches: list[tuple[str, LensResult, Found | None]]
) -> dict[str, Any] | None:
    """The searched word as the view draws it; None if no pane has it.

    Args:
        word: as the user typed it.
        searches: each pane's title, result, and what was found there.
    """
    if all(found is None for _, _, found in searches):
        return None
    panes: list[dict[str, Any] | None] = []
    for title, result, found in searches:
        if found is None:
            panes.append(None)
            continue
        layer, patch = found.best
        codes = np.concatenate(
            [cosine_codes(found.cosine)[None], log_probability_codes(found.values)]
        )
        panes.append(
            {
                "values": as_text(codes),
                "slot": layer + 1,
                "patch": patch,
                "text": sentence(found, result, title),
            }
        )
    return {"word": printable(word.strip()), "panes": panes}


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.0995 else f"{share:.2g}" if share < 1e-5 else f"{share:.2%}"
