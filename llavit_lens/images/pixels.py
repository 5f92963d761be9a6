"""Pixels given as numbers: an array or a torch tensor becomes an image, or it is said why not.

torch is not imported: a tensor is whatever turns into an array the way tensors do.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from llavit_lens.errors import ImageError

_CHANNELS = (1, 3, 4)
_SHAPES = "[height, width], [height, width, 1, 3 or 4] or [1, 3 or 4, height, width]"


@runtime_checkable
class Tensor(Protocol):
    """A torch tensor, as far as it matters here."""

    def detach(self) -> Any: ...

    def numpy(self) -> np.ndarray: ...


def image_of_tensor(tensor: Tensor) -> Image.Image:
    """The image of a tensor on any device; shapes and numbers as `image_of_array`.

    Raises:
        ImageError: as `image_of_array`; both ends of its shape could be the channels; or it has no
            array of numbers, as a sparse, a quantized or a meta tensor.
    """
    try:
        values = tensor.detach().cpu()
        if "float" in str(values.dtype):  # numpy has no bfloat16
            values = values.float()
        array = values.numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise ImageError(
            "the tensor: its pixels cannot be read; give a dense tensor of numbers, not a sparse, "
            "a quantized or a meta one"
        ) from error
    if array.ndim == 3 and array.shape[0] in _CHANNELS and array.shape[-1] in _CHANNELS:
        raise ImageError(
            f"the tensor: of shape {list(array.shape)}, the first and the last axis could both be "
            "the channels; give a Pillow image, or .numpy() of shape [height, width, channels]"
        )
    return image_of_array(array, "tensor")


def image_of_array(array: np.ndarray, what: str = "array") -> Image.Image:
    """The image of uint8 numbers, or of floating-point numbers from 0 to 1, of which 1 is white.

    Args:
        array: [height, width], [height, width, c] or [c, height, width], with c of 1, 3 or 4: gray,
            RGB or RGBA. If both ends of a shape are such a number, the last one is c.
        what: what messages call it: "array" or "tensor".

    Raises:
        ImageError: another shape or type, or numbers that have no agreed range.
    """
    shape = list(array.shape)
    if array.ndim == 4:
        raise ImageError(
            f"the {what}: a batch of shape {shape}; give one image at a time, such as images[0]"
        )
    if array.ndim == 3 and array.shape[-1] not in _CHANNELS and array.shape[0] in _CHANNELS:
        array = np.moveaxis(array, 0, -1)
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in _CHANNELS)
    if not fits or array.size == 0:
        raise ImageError(f"the {what}: an image has the shape {_SHAPES}, not {shape}")
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return Image.fromarray(np.ascontiguousarray(_bytes(array, what)))


def _bytes(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"the {what}: pixels are uint8, or floating-point numbers from 0 to 1, not "
            f"{array.dtype}"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN as well
        raise ImageError(
            f"the {what}: floating-point pixels lie between 0 and 1, but these between {low:.4g} "
            f"and {high:.4g}; if they are from 0 to 255, make them uint8; if a processor has "
            "normalised them, give the image that it was given"
        )
    return np.round(array * 255).astype(np.uint8)
