"""Images are tensors [..., channels, height, width]."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torch.nn.functional import pad as pad_tensor


class InterpolationMode(Enum):
    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_SMOOTH = {InterpolationMode.BILINEAR: "bilinear", InterpolationMode.BICUBIC: "bicubic"}


def resize(
    image: Tensor,
    size: Sequence[int],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    antialias: bool = True,
) -> Tensor:
    mode = _SMOOTH[interpolation]
    flat = image.reshape(-1, *image.shape[-3:]).float()
    resized = interpolate(flat, tuple(size), mode=mode, antialias=antialias, align_corners=False)
    resized = resized.reshape(*image.shape[:-2], *size)
    if image.dtype == torch.uint8:
        resized = resized.round().clamp(0, 255)
    return resized.to(image.dtype)


def normalize(
    image: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False
) -> Tensor:
    mean, std = (torch.as_tensor(one, dtype=image.dtype)[:, None, None] for one in (mean, std))
    return (image - mean) / std


def pad(
    image: Tensor,
    padding: Sequence[int],
    fill: float | Sequence[float] | None = 0,
    padding_mode: str = "constant",
) -> Tensor:
    assert padding_mode == "constant"
    left, top, right, bottom = padding if len(padding) == 4 else (*padding, *padding)
    value = fill[0] if isinstance(fill, Sequence) else fill or 0
    return pad_tensor(image, (left, right, top, bottom), value=value)


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    return image[..., top : top + height, left : left + width]


def to_dtype(image: Tensor, dtype: torch.dtype = torch.float32, scale: bool = False) -> Tensor:
    if scale and dtype.is_floating_point and not image.is_floating_point():
        return image.to(dtype) / 255
    if scale and image.is_floating_point() and not dtype.is_floating_point:
        return (image * 255).round().clamp(0, 255).to(dtype)
    return image.to(dtype)


def grayscale_to_rgb(image: Tensor) -> Tensor:
    return image if image.shape[-3] == 3 else image.expand(*image.shape[:-3], 3, *image.shape[-2:])


def pil_to_tensor(image: Image.Image) -> Tensor:
    pixels = torch.as_tensor(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def to_pil_image(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())
