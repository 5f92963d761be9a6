"""Images from outside: all that people hand in, and all that can be wrong with it."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from llavit_lens.errors import ImageError
from llavit_lens.images.open import open_image, pixel_sha256

RED, GREEN = (255, 0, 0), (0, 255, 0)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(width: int = 40, height: int = 30) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def one_line(error: pytest.ExceptionInfo[ImageError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_every_kind_of_source_gives_the_same_pixels(tmp_path: Path) -> None:
    image = noise()
    path = tmp_path / "image.png"
    image.save(path)
    sources = (path, str(path), path.read_bytes(), image, np.asarray(image), Image.open(path))
    opened = [open_image(source) for source in sources]
    assert all(picture.mode == "RGB" and picture.size == (40, 30) for picture in opened)
    assert {pixel_sha256(picture) for picture in opened} == {pixel_sha256(image)}


def test_hash_depends_on_shape_as_well_as_bytes() -> None:
    assert pixel_sha256(Image.new("RGB", (2, 3))) != pixel_sha256(Image.new("RGB", (3, 2)))


def test_result_is_a_copy() -> None:
    image = noise()
    before = image.tobytes()
    open_image(image).putpixel((0, 0), (1, 2, 3))
    assert image.tobytes() == before


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as error:
        open_image(tmp_path / "none.png")
    assert "none.png: no such file" in one_line(error)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        open_image(tmp_path)


@pytest.mark.parametrize("name", ["\0.png", "x" * 5000, ""])
def test_impossible_names(name: str) -> None:
    with pytest.raises(ImageError) as error:
        open_image(name)
    one_line(error)


def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="not a regular file"):
        open_image(tmp_path / "pipe")


def test_web_address() -> None:
    with pytest.raises(ImageError, match="download"):
        open_image("https://example.org/dog.jpg")


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg></svg>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n"]
)
def test_not_an_image(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"file\.jpg") as error:
        open_image(path)
    one_line(error)


def test_formats_that_run_programs_are_not_opened() -> None:
    # Pillow would hand this to Ghostscript
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    assert Image.open(io.BytesIO(drawing)).format == "EPS"
    with pytest.raises(ImageError, match="not an image that can be read"):
        open_image(drawing)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_cut_off_anywhere_is_an_error_not_gray_rows(tmp_path: Path, format: str) -> None:
    data = encoded(noise(), format)
    path = tmp_path / "cut.img"
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageError, match=r"cut\.img") as error:
            open_image(path)
        one_line(error)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on odd TIFF tags
@given(
    st.binary(max_size=200), st.sampled_from(["PNG", "JPEG", "GIF", "TIFF"]), st.integers(0, 400)
)
def test_garbage_gives_an_image_or_an_image_error(garbage: bytes, format: str, start: int) -> None:
    data = bytearray(encoded(noise(12, 9), format))
    data[start : start + len(garbage)] = garbage
    try:
        assert open_image(bytes(data)).mode == "RGB"
    except ImageError as error:
        assert "\n" not in str(error)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_pixel_bomb_is_refused_from_its_header(side: int, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(ImageError, match="pixels") as error:
        open_image(png_header(side, side))  # the body is empty: decoding would fail differently
    assert "damaged" not in one_line(error)
    assert not recwarn.list


def test_pixel_limit_is_inclusive() -> None:
    assert open_image(noise(40, 30), max_pixels=1200).size == (40, 30)
    with pytest.raises(ImageError, match="40 x 30 pixels are more than the limit of 1199"):
        open_image(noise(40, 30), max_pixels=1199)


def test_byte_limit(tmp_path: Path) -> None:
    data = encoded(noise())
    path = tmp_path / "big.png"
    path.write_bytes(data)
    assert open_image(path, max_bytes=len(data)).size == (40, 30)
    for source in (path, data):
        with pytest.raises(ImageError, match="limit"):
            open_image(source, max_bytes=len(data) - 1)


def test_thin_strip_is_refused() -> None:
    # resizing its shortest edge to 336 pixels would make an image of 3 gigabytes
    with pytest.raises(ImageError, match="strip"):
        open_image(Image.new("RGB", (9000, 1)))
    assert open_image(Image.new("RGB", (100, 1))).size == (100, 1)


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_image(data).getpixel((0, 0)) == RED


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV"])
def test_opaque_modes_become_what_pillow_makes_of_them(mode: str) -> None:
    image = noise().convert(mode)
    assert open_image(image).tobytes() == image.convert("RGB").tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_parts_become_white(mode: str) -> None:
    image = Image.new("RGBA", (3, 3), (0, 0, 0, 0)).convert(mode)
    assert open_image(image).getpixel((1, 1)) == (255, 255, 255)


def test_transparent_palette_entry_becomes_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    opened = open_image(encoded(image, "PNG", transparency=1))
    assert [opened.getpixel((x, 0)) for x in range(2)] == [RED, (255, 255, 255)]


def test_sixteen_bit_gray_is_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    opened = open_image(encoded(Image.fromarray(values)))
    assert np.asarray(opened)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_without_a_range_are_refused(dtype: type) -> None:
    with pytest.raises(ImageError, match="32-bit"):
        open_image(Image.fromarray(np.zeros((4, 4), dtype)))


def test_exif_orientation_is_applied_once() -> None:
    image = noise(40, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    opened = open_image(encoded(image, "PNG", exif=exif))
    assert opened.size == (30, 40)
    assert opened.tobytes() == image.transpose(Image.Transpose.ROTATE_270).tobytes()
    assert open_image(opened).size == (30, 40)


def test_garbled_exif_leaves_the_picture_as_it_is() -> None:
    data = encoded(noise(), "JPEG", exif=b"Exif\0\0" + b"\xff" * 30)
    assert open_image(data).size == (40, 30)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((5, 4, 2), np.uint8),
        ((4,), np.uint8),
        ((4, 4, 3), np.int64),
        ((4, 4, 3), bool),
        ((0, 4, 3), np.uint8),
        ((1, 4, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_images(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(ImageError, match=r"the array: (an image has|pixels are|a batch)"):
        open_image(np.zeros(shape, dtype))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3), (5, 4, 4)])
def test_arrays_that_are_images(shape: tuple[int, ...]) -> None:
    assert open_image(np.full(shape, 255, np.uint8)).size == (4, 5)


def test_neither_file_nor_image() -> None:
    with pytest.raises(ImageError, match="not list"):
        open_image([1, 2])  # type: ignore[arg-type]
