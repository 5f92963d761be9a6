"""What a processor did to an image, told by four images of the same size.

Whatever the processor does to each number of `pixel_values` (resize, crop, pad, normalize), it is
affine in the image's brightness. So a ramp to the right and a ramp down, between black and white,
say which place of the image the number comes from: no mean, scale, layout or size has to be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.families.reading import Reading

_OF_TEXT = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids", "labels")
_BORDER = 0.02
"""Share of the image, on each side, where a resampling filter overshoots: pixels there do not
count, if others are left."""


@dataclass(frozen=True, eq=False)
class Measured:
    """x, y: float32, shaped as `pixel_values`: where in the original image, in pixels, each number
    comes from. NaN in padding, and in pixels of other images."""

    x: np.ndarray
    y: np.ndarray


def measure(reading: Reading) -> Measured:
    """Run the user's own processor on four images in place of one of the prompt's.

    It costs four calls of the processor, and no pass of the model. Ramps have 8 bits, so a single
    number is known within 0.2 % of the side or so; the line through many is known better.

    Raises:
        ConfigurationError: the processor treats images of one size in different ways, as one that
            crops by content does.
    """
    black, white, right, down = (
        _pixels(reading, image)
        for image in (
            Image.new("RGB", reading.image_size, (0, 0, 0)),
            Image.new("RGB", reading.image_size, (255, 255, 255)),
            _ramp(reading.image_size, across=True),
            _ramp(reading.image_size, across=False),
        )
    )
    span = white - black
    inside = np.abs(span) > 0.5 * np.abs(span).max(initial=0.0)
    if not inside.any():
        raise ConfigurationError(
            f"{type(reading.processor).__name__} makes the same pixels of a black and a white "
            "image, so it is not known what the visual tokens show"
        )
    width, height = reading.image_size
    x, y = (np.full_like(span, np.nan) for _ in range(2))
    x[inside] = (right - black)[inside] / span[inside] * width
    y[inside] = (down - black)[inside] / span[inside] * height
    return Measured(x, y)


def fitted_edges(line: np.ndarray, length: int) -> tuple[float, float]:
    """Where the two ends of a row of pixels lie on the image, for the places of its pixels.

    Args:
        line: float64 [pixels], where each comes from; NaN in padding.
        length: of the image, in pixels, in this direction.

    Raises:
        ConfigurationError: the places are on no straight line, within 1 pixel and 0.4 % of the
            length; or fewer than two are known.
    """
    known = np.flatnonzero(np.isfinite(line))
    margin = _BORDER * length + 0.6
    inner = known[(line[known] > margin) & (line[known] < length - margin)]
    used = inner if len(inner) >= 3 else known
    if len(used) < 2:
        raise ConfigurationError(
            "a part of the model's input shows less than two pixels of the image, so it is not "
            "known what it covers; use a larger image"
        )
    slope, start = np.polyfit(used + 0.5, line[used], 1)
    misfit = np.abs(slope * (used + 0.5) + start - line[used]).max()
    if misfit > 1 + 0.004 * length or slope <= 0:
        raise ConfigurationError(
            "the processor places pixels of the image in a way that is not known here (they are "
            f"{misfit:.1f} pixels off a straight line)"
        )
    return float(start), float(start + slope * len(line))


def snapped(start: float, end: float, length: int) -> tuple[float, float]:
    """Two measured edges, moved onto the equal parts of the image that they must be, if they are
    that close to any; the caller says that they are measured."""
    parts = max(1, round(length / max(end - start, 1e-9)))
    first = round(start * parts / length)
    exact = first * length / parts, (first + 1) * length / parts
    close = min(0.3 + 0.0025 * length, 0.5 + 0.0005 * length)
    if max(abs(exact[0] - start), abs(exact[1] - end)) > close:
        return start, end
    return exact


def _pixels(reading: Reading, image: Image.Image) -> np.ndarray:
    """`pixel_values` of the prompt, with one of its images replaced, and the others black.

    Raises:
        ConfigurationError: anything else that the processor returns differs from the prompt's.
    """
    images = [Image.new("RGB", size) for size in reading.image_sizes]
    images[reading.index] = image
    with torch.device("cpu"):
        made = reading.processor(
            images=images if len(images) == 1 else [images],  # as the prompt's images were given
            text=[reading.text],
            return_tensors="pt",
            **reading.options,
        )
    _check_alike(reading, made)
    pixels: np.ndarray = torch.as_tensor(made["pixel_values"]).float().numpy()
    return pixels


def _check_alike(reading: Reading, made: Mapping[str, Any]) -> None:
    """Raise ConfigurationError unless all shapes, counts and sizes are those of the prompt."""
    for name, value in reading.inputs.items():
        if name in _OF_TEXT or not isinstance(value, torch.Tensor):
            continue
        other = torch.as_tensor(made.get(name, ()))
        alike = other.shape == value.shape
        if not alike or not (value.is_floating_point() or torch.equal(value.cpu(), other)):
            raise ConfigurationError(
                f"{type(reading.processor).__name__} returns another {name} for another image of "
                "the same size, so it cannot be measured which pixels the visual tokens show"
            )


def _ramp(size: tuple[int, int], across: bool) -> Image.Image:
    """An image that grows from black to white, to the right or down."""
    width, height = size
    length = width if across else height
    line = np.round(255 * (np.arange(length) + 0.5) / length).astype(np.uint8)
    plane = line[None, :] if across else line[:, None]
    return Image.fromarray(np.repeat(np.broadcast_to(plane, (height, width))[..., None], 3, axis=2))
