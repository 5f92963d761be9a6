"""An image from outside: bounded, decoded whole, upright, RGB; or one line on what is wrong."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

import numpy as np
from PIL import Image

from llavit_lens.disk import read_bytes, shown
from llavit_lens.errors import ImageError
from llavit_lens.images.orientation import exif_orientation, upright_image
from llavit_lens.images.pixels import Tensor, image_of_array, image_of_tensor
from llavit_lens.shipped import named_example

MAX_PIXELS = 80_000_000
MAX_BYTES = 128 * 1024 * 1024
# A processor scales the *shortest* edge to the model's size, so a thin strip of few pixels can grow
# into gigabytes; no model sees anything in such a strip anyway.
MAX_ASPECT_RATIO = 100

# Raster formats only: Pillow hands EPS to Ghostscript, and others are never photographs.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")


class HasImage(Protocol):
    """Anything with a Pillow image, such as a `LabelledImage`."""

    @property
    def image(self) -> Image.Image: ...


ImageSource = (
    str
    | Path
    | bytes
    | bytearray
    | memoryview
    | BinaryIO
    | Image.Image
    | np.ndarray
    | Tensor
    | HasImage
)

Images = ImageSource | Sequence[ImageSource]
"""One image, or several in a list."""


class OrientedImage(NamedTuple):
    """An upright RGB image, and the EXIF orientation (1 to 8) by which it was turned."""

    image: Image.Image
    tag: int


def open_image(
    source: ImageSource,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    name: str | None = None,
) -> Image.Image:
    """The image as an upright RGB image, every pixel decoded; the first frame of an animation.

    Transparent parts become white, 16-bit gray is scaled to 8 bits. The EXIF orientation of a file,
    of its bytes, or of a Pillow image as `Image.open` gave it is applied; the pixels of arrays and
    of Pillow images that were made from others are taken as they are
    (`llavit_lens.images.orientation` says why).

    Args:
        source: a file's name, its bytes, or the file open in binary mode (`io.BytesIO`); a Pillow
            image; a NumPy array or torch tensor (`llavit_lens.images.pixels` says of what shapes
            and numbers); anything whose `image` is a Pillow image (a `LabelledImage`); or the text
            "example:NAME" for an example scene (a file that is named so: "./example:NAME"). A web
            address is not opened, because what it gives may change: download it first.
        max_pixels: largest width x height, checked in the header before anything is decoded.
        max_bytes: largest file.
        name: what messages call an image that is given as bytes.

    Raises:
        ImageError: one line that names the file and what is wrong with it.
    """
    return open_oriented(source, max_pixels=max_pixels, max_bytes=max_bytes, name=name).image


def open_several(sources: Images) -> list[OrientedImage]:
    """As `open_oriented`, for one image or for a list of several.

    Raises:
        ImageError: as `open_image`; or an empty list.
    """
    if not is_several(sources):
        return [open_oriented(cast(ImageSource, sources))]
    if not sources:
        raise ImageError("the list holds no image; give one or more")
    return [open_oriented(source) for source in cast(Sequence[ImageSource], sources)]


def is_several(sources: object) -> bool:
    """Whether this is a list of images, not one."""
    return isinstance(sources, list | tuple) and not hasattr(sources, "image")


def require_one(source: object, who: str) -> None:
    """Raise ImageError for a list of images, where one is asked for."""
    if is_several(source):
        raise ImageError(f"{who} takes one image, no list of images")


def open_oriented(
    source: ImageSource,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    name: str | None = None,
) -> OrientedImage:
    """As `open_image`, with the EXIF orientation by which the image was turned.

    Raises:
        ImageError: as `open_image`.
    """
    if isinstance(getattr(source, "image", None), Image.Image):
        source = source.image  # type: ignore[union-attr]
    if isinstance(source, str):
        source = named_example(source) or source
    if isinstance(source, np.ndarray):
        return _upright_rgb(image_of_array(source), "the array", max_pixels)
    if isinstance(source, Image.Image):
        return _upright_rgb(source, _name_of(source), max_pixels)
    if isinstance(source, Tensor):
        return _upright_rgb(image_of_tensor(source), "the tensor", max_pixels)
    if isinstance(source, (bytes, bytearray, memoryview)):
        name, data = name or f"the {len(source)} bytes given", bytes(source)
    elif hasattr(source, "read"):
        name = name or "the open file"
        data = _read(cast(BinaryIO, source), max_bytes, name)
    elif isinstance(source, (str, Path)):
        name = shown(source)
        data = read_bytes(source, max_bytes=max_bytes, error=ImageError)
    else:
        raise ImageError(
            "an image must be a file name, bytes, an open file, a Pillow image, an array, a tensor "
            f"or a labelled image, not {type(source).__name__}"
        )
    if len(data) > max_bytes:
        raise ImageError(f"{name}: larger than the limit of {max_bytes} bytes")
    if not data:
        raise ImageError(f"{name}: the file is empty")
    return _upright_rgb(_open(data, name), name, max_pixels)


def pixel_sha256(image: Image.Image) -> str:
    """SHA-256 of width, height and RGB bytes: one identity, whatever the image was read from."""
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def _open(data: bytes, name: str) -> Image.Image:
    """Reads the header only."""
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            # of size, which `_upright_rgb` limits, and of oddities in the header
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: has too many pixels; scale it down first") from error
    except Exception as error:  # Pillow's plug-ins raise whatever their parsers meet
        raise ImageError(
            f"{name}: not an image that can be read (known formats: {', '.join(formats)})"
        ) from error


def _upright_rgb(image: Image.Image, name: str, max_pixels: int) -> OrientedImage:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} pixels are more than the limit of {max_pixels}; "
            "scale it down first"
        )
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ImageError(
            f"{name}: {width} x {height} pixels are a strip more than {MAX_ASPECT_RATIO} times "
            "as long as wide; crop it first"
        )
    tag = exif_orientation(image)
    try:
        image.load()
    except Exception as error:  # see `_open`
        raise ImageError(f"{name}: damaged or cut off ({_first_line(error)})") from error
    # read again: Pillow turns a TIFF when it decodes it, and takes the tag away
    image = upright_image(image, exif_orientation(image))
    try:
        return OrientedImage(_to_rgb(image, name), tag)
    except (ValueError, OSError) as error:
        raise ImageError(f"{name}: cannot be turned into RGB ({_first_line(error)})") from error


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((gray + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ImageError(
            f"{name}: 32-bit pixels have no agreed range; save it with 8 bits per channel"
        )
    if image.has_transparency_data:
        # Dropping the alpha channel would show whatever color hides under the transparent parts.
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    # a copy: nothing done to it reaches the caller's image, and no metadata travels on
    return Image.frombytes("RGB", image.size, image.convert("RGB").tobytes())


def _read(file: BinaryIO, max_bytes: int, name: str) -> bytes:
    """All of an open file, from its beginning: whoever wrote into it has left it at its end."""
    try:
        if file.seekable():
            file.seek(0)
        data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # closed, or opened for writing alone
        raise ImageError(f"{name}: cannot be read ({_first_line(error)})") from error
    if not isinstance(data, bytes):
        raise ImageError(f"{name}: gives text; open it in binary mode, open(name, 'rb')")
    return data


def _name_of(image: Image.Image) -> str:
    return str(getattr(image, "filename", "") or "the Pillow image")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
