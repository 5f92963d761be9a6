"""An image as part of a page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

LARGEST_SHOWN = 1280
"""Pixels of the longer side, as large as a screen shows."""


def image_url(image: Image.Image, max_side: int = LARGEST_SHOWN) -> str:
    """PNG if the image is small (drawn scenes), else JPEG; scaled down to `max_side` pixels."""
    small = scaled_to(image, max_side)
    png, jpeg = io.BytesIO(), io.BytesIO()
    small.save(jpeg, "JPEG", quality=88)
    kind, data = "jpeg", jpeg.getvalue()
    if small.width * small.height <= 512 * 512:
        small.save(png, "PNG")
        kind, data = "png", png.getvalue()
    return data_url(data, kind)


def jpeg_url(image: Image.Image, max_side: int) -> str:
    """A small JPEG, scaled down to `max_side` pixels: of a sheet with many images."""
    jpeg = io.BytesIO()
    scaled_to(image, max_side).convert("RGB").save(jpeg, "JPEG", quality=82, optimize=True)
    return data_url(jpeg.getvalue(), "jpeg")


def data_url(image: bytes, kind: str) -> str:
    """The bytes of an image file, "png" or "jpeg", as a URL."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def scaled_to(image: Image.Image, max_side: int) -> Image.Image:
    """The image, scaled down until its longer side has at most `max_side` pixels."""
    scale = max_side / max(image.size)
    if scale >= 1:
        return image
    size = [max(1, round(length * scale)) for length in image.size]
    return image.resize((size[0], size[1]), reducing_gap=3.0)
