"""Only names: transformers' image_utils imports them, and no test reads a file this way."""

from __future__ import annotations

from enum import Enum
from typing import Any


class ImageReadMode(Enum):
    RGB = "RGB"


def decode_image(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("the stand-in for torchvision reads no files")
