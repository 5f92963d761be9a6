"""The words of a view as the browser draws them: small integers, for JSON.

Numbers are base64 of little-endian integers: log-probabilities from 0 to -32 nats, cosines from -1
to 1 and shares from 0 to 1 as uint16 codes. A code is off by at most 2.5e-4 nats or 1.6e-5 in a
cosine, which no percentage on the page can show. static/data.js reads them.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex

from llavit_lens.figures.patch_grid import is_true
from llavit_lens.figures.style import PALETTE
from llavit_lens.results.truth import words_of_each
from llavit_lens.token_text import printable
from llavit_lens.viewer.image_url import LARGEST_SHOWN, image_url
from llavit_lens.viewer.wording import shortened

if TYPE_CHECKING:
    from PIL import Image

    from llavit_lens.results.truth import Truth, WordsOfPatches
    from llavit_lens.results.words import Words
    from llavit_lens.viewer.reading import Reading

CODES = 65535
NATS = 32.0
MOST_ENTRIES = 1_500_000
"""Most words of one model in a payload: about 8 MB. With more patches or layers, k shrinks."""
LONGEST_WORD = 40
"""Characters; vocabularies have tokens of hundreds."""
_COLORS = 64

UNKNOWN, WRONG, TRUE = 0, 1, 2


def log_probability_codes(values: np.ndarray) -> np.ndarray:
    """uint16 of log-probabilities in nats; those below -32 become -32."""
    return np.rint(np.clip(-values / NATS, 0, 1) * CODES).astype("<u2")


def cosine_codes(values: np.ndarray) -> np.ndarray:
    """uint16 of cosines."""
    return np.rint((np.clip(values, -1, 1) + 1) / 2 * CODES).astype("<u2")


def share_codes(values: np.ndarray) -> np.ndarray:
    """uint16 of numbers from 0 to 1."""
    return np.rint(np.clip(values, 0, 1) * CODES).astype("<u2")


def words_payload(
    results: Sequence[tuple[str, Reading]],
    display: Image.Image,
    k: int,
    truth: Truth | None = None,
    difference: np.ndarray | None = None,
    *,
    most: int | None = None,
    max_side: int = LARGEST_SHOWN,
) -> dict[str, Any]:
    """What the view needs as long as image, models and prompt stay the same.

    Args:
        results: of the same image: one or two, each with a title.
        display: the image for people.
        k: number of words of each patch; fewer if the words are fewer, or `most` leaves no room.
        truth: true words of each patch of the first result, and of another whose patches lie at
            the same places; or an image that knows them for any patches.
        difference: [slots, patches] of the first result, 0 to 1 (see `lens.difference`).
        most: words of one pane; default: `MOST_ENTRIES`.
        max_side: pixels of the image's longer side.
    """
    leads = [result.words or result.similarity for _, result in results]
    known = words_of_each(truth, [words for words in leads if words is not None])
    return {
        "size": list(display.size),
        "image": image_url(display, max_side),
        "palette": [to_hex(PALETTE(i / (_COLORS - 1))) for i in range(_COLORS)],
        "panes": [
            _pane(title, result, k, most or MOST_ENTRIES, true)
            for (title, result), true in zip(results, known, strict=True)
        ],
        "difference": None if difference is None else as_text(share_codes(difference)),
    }


def _pane(
    title: str, result: Reading, k: int, most: int, truth: WordsOfPatches | None
) -> dict[str, Any]:
    parts = [part for part in (result.similarity, result.words) if part is not None]
    layout = parts[0].layout
    n, n_slots = len(layout), sum(len(part.layers) for part in parts)
    k = max(1, min(k, *(part.k for part in parts), most // (n_slots * max(1, n))))
    ids = np.concatenate([part.ids[:, :, :k] for part in parts])
    present, index = np.unique(ids, return_inverse=True)
    strings = {token: text for part in reversed(parts) for token, text in part.strings.items()}
    wide = len(present) > CODES + 1
    most_entropy = float(np.log(result.vocabulary))
    width, height = layout.image_size
    pane = {
        "name": title,
        "slots": [slot for part in parts for slot in _slots(part, result.depth)],
        "k": k,
        "grids": [list(grid) for grid in layout.grid],
        "boxes": as_text((layout.boxes / [width, height, width, height]).astype("<f4")),
        "cells": as_text(np.stack([layout.row, layout.col, layout.tile], axis=1).astype("<u2")),
        "strings": [_shown(strings[token]) for token in present.tolist()],
        "wide": wide,
        "ids": as_text(index.astype("<u4" if wide else "<u2")),
        "values": as_text(np.concatenate([_codes(part, part.values[:, :, :k]) for part in parts])),
        "entropy": as_text(
            share_codes(np.concatenate([_entropy(p) for p in parts]) / most_entropy)
        ),
        "maxEntropy": most_entropy,
        "truth": _verdicts(parts, truth),
    }
    if layout.whole != 0:  # the first tile is the whole image, unless something else is said
        pane["whole"] = layout.whole
    if layout.covered.any():
        pane["covered"] = np.flatnonzero(layout.covered).tolist()
    if result.depth != max(parts[-1].layers):  # not all layers were read
        pane["depth"] = result.depth
    if result.words is not None and (tracked := result.words.tracked) is not None:
        codes = log_probability_codes(np.moveaxis(tracked.values, 2, 0))
        pane["tracked"] = [
            {"word": _shown(word), "values": as_text(values)}
            for word, values in zip(tracked.words, codes, strict=True)
        ]
    return pane


def _slots(words: Words, depth: int) -> list[dict[str, Any]]:
    """Names of what is shown one after the other: the input by cosine, or layers."""
    if words.kind == "input_similarity":
        return [{"name": "input, by cosine (Eq. 4)", "short": "cos", "cosine": True}]
    return [
        {"name": _slot_name(layer, depth), "short": str(layer), "cosine": False}
        for layer in words.layers
    ]


def _slot_name(layer: int, depth: int) -> str:
    if layer == 0:
        return "input (projector output)"
    return f"output (layer {layer} of {depth})" if layer == depth else f"layer {layer} of {depth}"


def _codes(words: Words, values: np.ndarray) -> np.ndarray:
    cosine = words.kind == "input_similarity"
    return cosine_codes(values) if cosine else log_probability_codes(values)


def _entropy(words: Words) -> np.ndarray:
    """float [layers, n] in nats; 0 where a lens has none."""
    return np.zeros(words.ids.shape[:2], np.float32) if words.entropy is None else words.entropy


def _shown(word: str) -> str:
    return shortened(printable(word), LONGEST_WORD)


def _verdicts(parts: Sequence[Words], truth: WordsOfPatches | None) -> str | None:
    """Verdicts on the top words, uint8 [slots, n]."""
    if truth is None:
        return None
    rows = []
    for words in parts:
        for ids in words.ids[:, :, 0]:
            rows.append([_verdict(words, int(i), t) for i, t in zip(ids, truth, strict=True)])
    return as_text(np.array(rows, np.uint8))


def _verdict(words: Words, token: int, truth: Collection[str] | None) -> int:
    if truth is None:
        return UNKNOWN
    return TRUE if is_true(words.strings[token], truth) else WRONG


def as_text(array: np.ndarray) -> str:
    """Base64 of the array's bytes."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
