"""Results of tiny models, as the explorer's cache makes them."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from llavit_lens.explorer.lens_cache import LensResult
from llavit_lens.images.layout import VisualLayout
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.results.words import Words
from llavit_lens.viewer.payload import CODES, NATS
from llavit_lens.vlm.vlm import VLM


def result_of(vlm: VLM, image: Image.Image, k: int = 6, key: tuple = ()) -> LensResult:
    """What the cache makes of a model that is loaded already."""
    trace = vlm.trace(image)
    return LensResult(
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


def grid_result(grid: np.ndarray, probabilities: np.ndarray, image: Image.Image) -> LensResult:
    """A made-up result: the same words at all layers, with two words for each patch.

    Args:
        grid: [rows, cols], the top words.
        probabilities: [layers, rows, cols] of the top words.
    """
    rows, cols = grid.shape
    layers = len(probabilities)
    row, col = (axis.ravel() for axis in np.indices(grid.shape))
    width, height = image.width / cols, image.height / rows
    boxes = np.stack([col * width, row * height, (col + 1) * width, (row + 1) * height], axis=1)
    positions = np.arange(grid.size)
    layout = VisualLayout(positions, 0 * positions, row, col, (grid.shape,), image.size, boxes)
    names, ids = np.unique(grid.ravel(), return_inverse=True)
    strings = {**dict(enumerate(names.tolist())), len(names): "second"}
    both = np.stack([ids, np.full_like(ids, len(names))], axis=1)
    top = probabilities.reshape(layers, -1, 1)
    values = np.log(np.concatenate([top, 0.5 * np.minimum(top, 1 - top)], axis=2))
    words = Words(
        "logit_lens", list(range(layers)), np.stack([both] * layers), values.astype(np.float32),
        np.zeros((layers, grid.size)), np.ones((layers, grid.size)), strings, layout, {},
    )  # fmt: skip
    cosines = np.full((1, grid.size, 2), 0.1, np.float32)
    similarity = Words(
        "input_similarity", [0], both[None], cosines, None, None, strings, layout, {}
    )
    trace = SimpleNamespace(n_layers=layers - 1, unembedding=np.zeros((1000, 1)))
    return LensResult(("made up",), trace, words, similarity, "cpu")  # type: ignore[arg-type]
