"""Readings of tiny models, as the explorer's bench makes them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from PIL import Image

from llavit_lens.explorer.bench import Reading
from llavit_lens.explorer.payload import CODES, NATS
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.vlm.vlm import VLM


def reading_of(vlm: VLM, image: Image.Image, k: int = 6, key: tuple = ()) -> Reading:
    """What the bench makes of a model that is at hand already."""
    trace = vlm.trace(image)
    return Reading(
        key or (vlm.name,), trace, logit_lens(trace, k), input_similarity(trace, k), "cpu"
    )


def numbers(text: str, kind: str) -> np.ndarray:
    """An array out of its base64."""
    return np.frombuffer(base64.b64decode(text), kind)


def decoded(pane: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words and values [slots, n, k] and entropy [slots, n], as static/data.js reads them."""
    n = len(numbers(pane["boxes"], "<f4")) // 4
    shape = len(pane["slots"]), n, pane["k"]
    ids = numbers(pane["ids"], "<u4" if pane["wide"] else "<u2").reshape(shape)
    strings = np.array(pane["strings"], dtype=object)[ids]
    codes = numbers(pane["values"], "<u2").reshape(shape).astype(float)
    cosine = np.array([slot["cosine"] for slot in pane["slots"]])[:, None, None]
    values = np.where(cosine, 2 * codes / CODES - 1, -NATS * codes / CODES)
    entropy = numbers(pane["entropy"], "<u2").reshape(shape[:2]) / CODES * pane["maxEntropy"]
    return strings, values, entropy
