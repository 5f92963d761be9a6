"""Whether the parts of a result fit together: before it is saved, and after it is loaded."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import Precision, VisualLayout

ROUNDING = 1e-3
"""How far a share may be above 1, a log-probability above 0, or an entropy below 0."""


def expect(fits: bool, fault: str) -> None:
    """Raise ConfigurationError, which names the fault, unless it fits."""
    if not fits:
        raise ConfigurationError(f"the parts of this result do not fit together: {fault}")


def check_array(array: Any, dtype: type, shape: tuple[int, ...], name: str) -> None:
    """Raise ConfigurationError unless it is an array of this type and shape."""
    expect(isinstance(array, np.ndarray), f"{name} that are no array")
    expect(array.dtype == dtype, f"{name} of type {array.dtype}, not {np.dtype(dtype)}")
    expect(array.shape == shape, f"{name} of shape {list(array.shape)}, not {list(shape)}")


def check_numbers(numbers: Any, name: str, below: int | None = None) -> None:
    """Raise ConfigurationError unless it is a list of different whole numbers from 0."""
    expect(_are_counts(numbers) and len(numbers) > 0, f"no {name} numbers")
    expect(len({*numbers}) == len(numbers), f"{name}s that repeat")
    expect(below is None or max(numbers) < below, f"more {name}s than the model has")


def check_provenance(provenance: Any) -> None:
    """Raise ConfigurationError unless it is a table with checksums that are checksums."""
    expect(isinstance(provenance, dict), "provenance that is no table")
    for name in ("model", "prompt"):
        text = provenance.get(name)
        expect(text is None or _is_text(text), f"a {name} that is no text")
    for name in ("image_sha256", "corrupted_image_sha256"):
        digest = provenance.get(name)
        is_digest = isinstance(digest, str) and bool(re.fullmatch("[0-9a-f]{64}", digest))
        expect(digest is None or is_digest, f"an {name} that is no SHA-256 digest")


def check_layout(layout: VisualLayout) -> None:
    """Whether every patch lies on its grid, on the image, and in the sequence once.

    Raises:
        ConfigurationError: the first part that is wrong.
    """
    n = len(layout.positions)
    expect(_are_sizes(layout.image_size, 2), "no size of the image")
    whole, n_tiles = layout.whole, len(layout.grid)
    expect(whole is None or (type(whole) is int and 0 <= whole < n_tiles), "no such whole tile")
    expect(layout.precision in get_args(Precision), "no known precision of boxes")
    grids_fit = len(layout.grid) > 0 and all(_are_sizes(grid, 2) for grid in layout.grid)
    expect(n > 0 and grids_fit, "no patches, or no grid")
    for name in ("positions", "tile", "row", "col"):
        check_array(getattr(layout, name), np.int64, (n,), name)
    check_array(layout.off_image, np.int64, layout.off_image.shape[:1], "off_image")
    tokens = layout.all_positions
    expect(
        bool((tokens >= 0).all())
        and len(np.unique(tokens)) == len(tokens)
        and bool((np.diff(layout.positions) > 0).all()),
        "visual tokens that are not in the order of the sequence, each once",
    )
    expect(bool(((layout.tile >= 0) & (layout.tile < len(layout.grid))).all()), "unknown tiles")
    rows, cols = np.array(layout.grid)[layout.tile].T
    expect(
        bool(((layout.row >= 0) & (layout.row < rows)).all())
        and bool(((layout.col >= 0) & (layout.col < cols)).all()),
        "patches that are not on their grid",
    )
    cells = np.stack([layout.tile, layout.row, layout.col])
    expect(len(np.unique(cells, axis=1).T) == n, "two visual tokens on one patch")
    check_array(layout.boxes, np.float64, (n, 4), "boxes")
    width, height = layout.image_size
    for axis, most in enumerate((width, height)):
        start, end = layout.boxes[:, axis], layout.boxes[:, axis + 2]
        expect(
            bool(((start >= 0) & (start <= end) & (end <= most)).all()),
            "boxes that do not lie on the image",
        )
    if not layout.has_map:
        blank = VisualLayout.without_map(layout.positions, layout.image_size, layout.off_image)
        expect(
            layout == replace(blank, precision=layout.precision),
            "a map of tokens that are no patches",
        )


def _are_counts(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)


def _are_sizes(numbers: Any, count: int) -> bool:
    return len(numbers) == count and all(type(n) is int and n > 0 for n in numbers)


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
