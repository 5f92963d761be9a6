"""Whether all parts of `Words` fit together: before they are saved, and after they are loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.words import Kind, Tracked, Words

_ROUNDING = 1e-3
"""How far a log-probability may be above 0, a cosine above 1, or an entropy below 0."""


def check_words(words: Words) -> None:
    """Look at every part of `words`, whatever type a damaged file gave it.

    Raises:
        ConfigurationError: the first part that is wrong.
    """
    lens = words.kind == "logit_lens"
    _expect(words.kind in get_args(Kind), "no known kind of lens")
    _expect(_are_counts(words.layers) and len(words.layers) > 0, "no layer numbers")
    _expect(len({*words.layers}) == len(words.layers), "layers that repeat")
    _expect(isinstance(words.provenance, dict), "provenance that is no table")
    depth = words.provenance.get("n_layers")
    _expect(
        depth is None or (type(depth) is int and max(words.layers) <= depth),
        "more layers than the model has",
    )
    check_layout(words.layout)
    shape = len(words.layers), len(words.layout)
    is_array = isinstance(words.ids, np.ndarray) and words.ids.ndim == 3
    _expect(is_array and words.k > 0, "no words")
    _check_array(words.ids, np.int64, (*shape, words.k), "ids")
    _check_array(words.values, np.float32, (*shape, words.k), "values")
    _expect(bool((np.diff(words.values, axis=2) <= 0).all()), "words that are not best first")
    highest = 0 if lens else 1
    _expect(
        bool((words.values <= highest + _ROUNDING).all()),
        f"values above {highest} or NaN",
    )
    _expect(lens or bool((words.values >= -1 - _ROUNDING).all()), "cosines below -1")
    for name in ("logsumexp", "entropy"):
        array = getattr(words, name)
        _expect((array is not None) == lens, f"{name} {'missing' if lens else 'of cosines'}")
        if array is not None:
            _check_array(array, np.float32, shape, name)
            _expect(bool(np.isfinite(array).all()), f"{name} that is not finite")
    _expect(words.entropy is None or bool((words.entropy >= -_ROUNDING).all()), "negative entropy")
    if words.tracked is not None:
        _check_tracked(words.tracked, shape, words.strings)
    _check_strings(words)


def check_layout(layout: VisualLayout) -> None:
    """Whether every patch lies on its grid, on the image, and in the sequence once.

    Raises:
        ConfigurationError: the first part that is wrong.
    """
    n = len(layout.positions)
    _expect(_are_sizes(layout.image_size, 2), "no size of the image")
    grids_fit = len(layout.grid) > 0 and all(_are_sizes(grid, 2) for grid in layout.grid)
    _expect(n > 0 and grids_fit, "no patches, or no grid")
    for name in ("positions", "tile", "row", "col"):
        _check_array(getattr(layout, name), np.int64, (n,), name)
    _check_array(layout.off_image, np.int64, layout.off_image.shape[:1], "off_image")
    tokens = layout.all_positions
    _expect(
        bool((tokens >= 0).all())
        and len(np.unique(tokens)) == len(tokens)
        and bool((np.diff(layout.positions) > 0).all()),
        "visual tokens that are not in the order of the sequence, each once",
    )
    _expect(bool(((layout.tile >= 0) & (layout.tile < len(layout.grid))).all()), "unknown tiles")
    rows, cols = np.array(layout.grid)[layout.tile].T
    _expect(
        bool(((layout.row >= 0) & (layout.row < rows)).all())
        and bool(((layout.col >= 0) & (layout.col < cols)).all()),
        "patches that are not on their grid",
    )
    cells = np.stack([layout.tile, layout.row, layout.col])
    _expect(len(np.unique(cells, axis=1).T) == n, "two visual tokens on one patch")
    _check_array(layout.boxes, np.float64, (n, 4), "boxes")
    width, height = layout.image_size
    for axis, most in enumerate((width, height)):
        start, end = layout.boxes[:, axis], layout.boxes[:, axis + 2]
        _expect(
            bool(((start >= 0) & (start <= end) & (end <= most)).all()),
            "boxes that do not lie on the image",
        )


def _check_tracked(tracked: Tracked, shape: tuple[int, int], strings: Mapping[int, str]) -> None:
    count = len(tracked.words)
    _check_array(tracked.ids, np.int64, (count,), "tracked ids")
    _check_array(tracked.values, np.float32, (*shape, count), "tracked values")
    _check_array(tracked.ranks, np.int64, (*shape, count), "tracked ranks")
    _expect(bool((tracked.values <= _ROUNDING).all()), "tracked values above 0 or NaN")
    _expect(bool((tracked.ranks >= 0).all()), "negative ranks")
    _expect(
        [strings.get(token) for token in tracked.ids.tolist()] == list(tracked.words),
        "tracked words that are not those of their ids",
    )


def _check_strings(words: Words) -> None:
    texts = words.strings
    _expect(
        isinstance(texts, dict)
        and all(type(token) is int and token >= 0 for token in texts)
        and all(isinstance(text, str) for text in texts.values()),
        "no texts of words",
    )
    _expect(bool(np.isin(words.ids, list(texts)).all()), "ids without a text")
    digest = words.provenance.get("image_sha256")
    _expect(
        digest is None or (isinstance(digest, str) and bool(re.fullmatch("[0-9a-f]{64}", digest))),
        "an image_sha256 that is none",
    )


def _check_array(array: Any, dtype: type, shape: tuple[int, ...], name: str) -> None:
    _expect(isinstance(array, np.ndarray), f"{name} that are no array")
    _expect(array.dtype == dtype, f"{name} of type {array.dtype}, not {np.dtype(dtype)}")
    _expect(array.shape == shape, f"{name} of shape {list(array.shape)}, not {list(shape)}")


def _are_counts(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)


def _are_sizes(numbers: Any, count: int) -> bool:
    return len(numbers) == count and all(type(n) is int and n > 0 for n in numbers)


def _expect(fits: bool, fault: str) -> None:
    if not fits:
        raise ConfigurationError(f"these words do not fit together: {fault}")
