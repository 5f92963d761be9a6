"""From pixels that the vision tower sees back to pixels of the original image.

An image processor resizes, pads and crops each axis on its own, so one `Axis` for the width and
one for the height describe it. Anything else that it does is an error: no box is given that may be
wrong.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from transformers.image_processing_utils import get_patch_output_size
from transformers.image_utils import ChannelDimension

from llavit_lens.errors import ConfigurationError


class Axis(NamedTuple):
    """Width or height: edge x of what the model sees is edge (x + shift) * size / resized - bar of
    the original image, if that is a place within 0 … length."""

    shift: int
    """Pixels cut off (or, negative, added as padding) before the first one, after the resize."""
    size: int
    """Pixels before the resize, padding included."""
    resized: int
    """Pixels after it."""
    bar: int
    """Padding before the first pixel, before the resize."""
    length: int
    """Pixels of the original image."""

    def original(self, edges: np.ndarray) -> np.ndarray:
        """Edges in pixels of the original image; those in padding lie on the image's border."""
        return np.clip((edges + self.shift) * self.size / self.resized - self.bar, 0, self.length)


def boxes_of(
    left: np.ndarray, top: np.ndarray, patch: float, across: Axis, down: Axis
) -> np.ndarray:
    """(left, top, right, bottom) of square cells in the original image: float64 [n, 4].

    Args:
        left, top: int64 [n], corners of the cells in what the model sees.
        patch: their size.
    """
    edges = (left, across), (top, down), (left + patch, across), (top + patch, down)
    return np.stack([axis.original(edge) for edge, axis in edges], axis=1)


def whole_image(
    image_processor: Any, image_size: tuple[int, int], seen_size: tuple[int, int]
) -> tuple[Axis, Axis]:
    """Axes of an image seen in one piece: padded to a square (LLaVA), resized, cropped.

    Args:
        image_processor: the one that made the pixels.
        image_size: (width, height) of the image.
        seen_size: (width, height) of the pixels made of it.

    Raises:
        ConfigurationError: the image processor does anything else.
    """
    name = type(image_processor).__name__
    padded = bool(getattr(image_processor, "do_pad", False))
    cropped = bool(getattr(image_processor, "do_center_crop", False))
    size = (max(image_size),) * 2 if padded else image_size
    resized = _resized_size(image_processor, size)
    if (padded and name.removesuffix("Pil") != "LlavaImageProcessor") or (
        not cropped and resized != seen_size
    ):
        raise ConfigurationError(
            f"{name} turned {image_size} into {seen_size} pixels in a way that is not known here; "
            "only resize, center crop and LLaVA's padding to a square are"
        )
    differences = [to - seen for to, seen in zip(resized, seen_size, strict=True)]
    if getattr(image_processor, "backend", "pil") != "pil" and any(
        difference < 0 and difference % 2 for difference in differences
    ):
        raise ConfigurationError(
            f"{name} pads {resized} to {seen_size} pixels, and where is known of transformers' "
            f"Pillow version only; use {name}Pil"
        )
    # The shift is a floor, also where the crop is larger than the image (zero padding).
    across, down = (
        Axis((to - seen) // 2, before, to, (before - length) // 2, length)
        for length, before, to, seen in zip(image_size, size, resized, seen_size, strict=True)
    )
    return across, down


def stretched(image_size: tuple[int, int], seen_size: tuple[int, int]) -> tuple[Axis, Axis]:
    """Axes of an image resized to `seen_size` without regard to its shape. (width, height) all."""
    across, down = (
        Axis(0, length, seen, 0, length) for length, seen in zip(image_size, seen_size, strict=True)
    )
    return across, down


def grid_of_tiles(image_size: tuple[int, int], grid_size: tuple[int, int]) -> tuple[Axis, Axis]:
    """Axes of an image that was fitted into `grid_size` pixels and padded around (LLaVA-NeXT).

    Both are (width, height).
    """
    # transformers' own rounding, for an image of this size that holds nothing
    nothing = np.broadcast_to(np.uint8(0), (3, *image_size[::-1]))
    resized = get_patch_output_size(nothing, grid_size[::-1], ChannelDimension.FIRST)[::-1]
    across, down = (
        Axis(-((within - to) // 2), length, to, 0, length)
        for length, to, within in zip(image_size, resized, grid_size, strict=True)
    )
    return across, down


def check_tile_pixels(image_processor: Any, tile_size: int) -> None:
    """Raise ConfigurationError unless tiles are cut, and the base tile made, in one size.

    LLaVA-NeXT's image processor would resize and crop again otherwise.
    """
    size, crop = dict(image_processor.size), dict(image_processor.crop_size)
    edges = [*size.values(), *crop.values()]
    if set(size) not in ({"shortest_edge"}, {"height", "width"}) or set(edges) != {tile_size}:
        raise ConfigurationError(
            f"an image processor that makes tiles of {tile_size} pixels with size {size} and "
            f"crop_size {crop} is not supported: the three have to agree"
        )


def _resized_size(image_processor: Any, image_size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) after the resize step."""
    if not getattr(image_processor, "do_resize", False):
        return image_size
    size = dict(image_processor.size)
    width, height = image_size
    if size.get("height") and size.get("width"):
        return size["width"], size["height"]
    if size.get("shortest_edge") and not size.get("longest_edge"):
        # transformers' own rounding: the long edge is cut down to a whole pixel
        short = size["shortest_edge"]
        long = int(short * max(image_size) / min(image_size))
        return (short, long) if width <= height else (long, short)
    raise ConfigurationError(f"an image processor with size {size} is not supported yet")
