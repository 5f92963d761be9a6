"""Where the visual tokens of an image are, told by what its processor does to four images.

This is the oracle of layouts in closed form. It takes the numbers that become a token, as the
family's model groups them, and asks `measure` where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from family_case import Case
from PIL import Image
from transformers.models.llava_next.modeling_llava_next import (
    get_anyres_image_grid_shape,
    unpad_image,
)

from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.family import reading_of
from llavit_lens.vlm.families.measure import Measured, measure
from llavit_lens.vlm.families.reading import Reading


def read(
    processor: Any, config: Any, prompt: str, size: tuple[int, int], **options: Any
) -> Reading:
    """The reading of an image of (width, height), whatever it shows."""
    return read_several(processor, config, prompt, [size], **options)


def read_several(
    processor: Any,
    config: Any,
    prompt: str,
    sizes: Sequence[tuple[int, int]],
    **options: Any,
) -> Reading:
    """The reading of the first of several images."""
    images = [Image.effect_noise(size, 60).convert("RGB") for size in sizes]
    text = prompt if len(sizes) == 1 else prompt * len(sizes)
    given = images if len(sizes) == 1 else [images]
    inputs = processor(images=given, text=[text], return_tensors="pt", **options)
    return reading_of(inputs, processor, config, sizes, text, options)


def check_places(case: Case, reading: Reading, layout: VisualLayout) -> None:
    """Assert that the middle of each box is the mean place of the numbers behind the token.

    Tokens that the image only partly fills, and those at its border, where the resampling filter
    lacks pixels, may be as far off as their box is cut. The others have 0.6 pixels and 0.2 % of
    the side.
    """
    middle = (layout.boxes[:, :2] + layout.boxes[:, 2:]) / 2
    places = GROUPS[case.kind](measure(reading), reading, layout)
    size = np.array(reading.image_size, dtype=float)
    for axis in (0, 1):
        low, high = layout.boxes[:, axis], layout.boxes[:, axis + 2]
        inner = (low > 0) & (high < size[axis]) & layout.on_image
        inner &= np.isfinite(places[:, axis])
        error = np.abs(middle - places)[:, axis]
        allowed = 0.6 + 0.002 * size[axis]
        assert (error[inner] <= allowed).all(), (case, reading.image_size, axis, error.max())
        # a token at the border has its place inside its box
        edge = ~inner & layout.on_image & np.isfinite(places[:, axis])
        place = places[edge, axis]
        assert (place > low[edge] - allowed).all() and (place < high[edge] + allowed).all()


def _of_tiles(found: Measured, reading: Reading, layout: VisualLayout) -> np.ndarray:
    """Tokens of tiles of pixels [..., 3, height, width]."""
    return _of_pixels(found, layout, layout.tile, layout.row, layout.col, None)


def _of_rows(found: Measured, reading: Reading, layout: VisualLayout) -> np.ndarray:
    """Tokens of squares of `patch_size` * `spatial_merge_size` pixels."""
    processor = reading.processor
    side = processor.patch_size * getattr(processor, "spatial_merge_size", 1)
    return _of_pixels(found, layout, layout.tile, layout.row, layout.col, side)


def _of_pixels(
    found: Measured,
    layout: VisualLayout,
    tile: np.ndarray,
    row: np.ndarray,
    col: np.ndarray,
    side: int | None,
) -> np.ndarray:
    places = []
    for where in (found.x, found.y):
        tiles = where.reshape(-1, *where.shape[-3:])
        height, width = tiles.shape[-2:]
        means = []
        for t, r, c in zip(tile, row, col, strict=True):
            rows, cols = layout.grid[t]
            high, wide = (side, side) if side else (height // rows, width // cols)
            means.append(_mean(tiles[t, :, r * high : (r + 1) * high, c * wide : (c + 1) * wide]))
        places.append(means)
    return np.array(places).T


def _of_grid(found: Measured, reading: Reading, layout: VisualLayout) -> np.ndarray:
    """Tokens of patches that are rows of `pixel_values`, or of pixels where there are none."""
    if "image_grid_thw" not in reading.inputs:
        return _of_tiles(found, reading, layout)
    _, height, width = (int(side) for side in reading.inputs["image_grid_thw"][0])
    merge = height // layout.grid[0][0]
    order = np.arange(height * width).reshape(height, width)
    if _in_blocks(reading):
        blocks = order.reshape(height // merge, width // merge, merge, merge)
        order = blocks.transpose(0, 2, 1, 3).reshape(height, width)
    cells = order.reshape(height // merge, merge, width // merge, merge)
    groups = cells.transpose(0, 2, 1, 3).reshape(len(layout), -1)
    return np.array([[_mean(where[group]) for group in groups] for where in (found.x, found.y)]).T


def _in_blocks(reading: Reading) -> bool:
    """Whether the patches of a token follow each other: PaddleOCR and Kimi merge them later."""
    return reading.config.model_type not in ("paddleocr_vl", "kimi_k25")


def _of_stitched(found: Measured, reading: Reading, layout: VisualLayout) -> np.ndarray:
    """Tokens of tiles that are put together, which OneVision shrinks by interpolation."""
    side = layout.grid[0][0]
    vision = reading.config.vision_config
    cell = vision.patch_size * (vision.image_size // vision.patch_size) // side
    if len(layout.grid) > 2:
        return _of_pixels(found, layout, layout.tile, layout.row, layout.col, cell)
    places = []
    for where in (found.x[0], found.y[0]):
        cells = where[:, :, : side * cell, : side * cell].mean(1)
        cells = cells.reshape(len(where), side, cell, side, cell).mean((2, 4))
        rows, cols = get_anyres_image_grid_shape(
            reading.image_size[::-1],
            reading.processor.image_processor.image_grid_pinpoints,
            where.shape[-1],
        )
        canvas = cells[1:].reshape(rows, cols, side, side).transpose(0, 2, 1, 3)
        plane = torch.as_tensor(canvas.reshape(1, rows * side, cols * side))
        plane = unpad_image(plane, reading.image_size[::-1])
        if plane.shape[1:] != layout.grid[-1]:
            plane = torch.nn.functional.interpolate(plane[None], layout.grid[-1], mode="bilinear")[
                0
            ]
        places.append(np.concatenate([cells[0].ravel(), plane.numpy().ravel()]))
    return np.array(places).T


def _of_shaped(found: Measured, reading: Reading, layout: VisualLayout) -> np.ndarray:
    """Tokens of patches in tiles of any shape: each tile a row, or all in one strip."""
    name = "spatial_shapes" if "spatial_shapes" in reading.inputs else "target_sizes"
    shapes = reading.inputs[name].tolist()
    places = []
    for where in (found.x, found.y):
        if name == "spatial_shapes":
            means = [where[tile, : h * w].mean(-1) for tile, (h, w) in enumerate(shapes)]
        else:
            patch = where.shape[2]
            strip = where[0].reshape(3, patch, -1, patch).mean((0, 1, 3))
            means = np.split(strip, np.cumsum([h * w for h, w in shapes])[:-1])
        for_tokens: list[float] = []
        for mean, (h, w), (rows, cols) in zip(means, shapes, layout.grid, strict=True):
            side = -(-h // rows)
            plane = mean.reshape(h, w)
            for_tokens += [
                _mean(plane[r * side : (r + 1) * side, c * side : (c + 1) * side])
                for r in range(rows)
                for c in range(cols)
            ]
        places.append(for_tokens)
    return np.array(places).T


def _of_given(found: Measured, reading: Reading, layout: VisualLayout) -> np.ndarray:
    """Tokens of the patches that the processor says; those of fewer patches have no place here."""
    groups = reading.inputs["image_token_pooling"].numpy()
    means = [where.reshape(-1, where.shape[-1]).mean(-1) for where in (found.x, found.y)]
    return np.array(
        [
            [mean[group].mean() if (group >= 0).all() else np.nan for group in groups]
            for mean in means
        ]
    ).T


def _of_coordinates(found: Measured, reading: Reading, layout: VisualLayout) -> np.ndarray:
    """Tokens of squares of patches that have coordinates of their own."""
    places = reading.inputs["image_position_ids"][0].numpy()
    side = reading.processor.image_processor.pooling_kernel_size
    cols = layout.grid[0][1]
    token = np.where((places >= 0).all(1), places[:, 0] // side + cols * (places[:, 1] // side), -1)
    return np.array(
        [
            [_mean(where[0, token == number]) for number in range(len(layout))]
            for where in (found.x, found.y)
        ]
    ).T


def _mean(values: np.ndarray) -> float:
    """NaN where some of a token's numbers are padding."""
    return float(values.mean())


GROUPS: dict[str, Callable[[Measured, Reading, VisualLayout], np.ndarray]] = {
    "one grid": _of_grid,
    "tiles": _of_tiles,
    "rows": _of_rows,
    "codes": _of_tiles,
    "stitched tiles": _of_stitched,
    "shaped tiles": _of_shaped,
    "given indices": _of_given,
    "coordinates": _of_coordinates,
}
