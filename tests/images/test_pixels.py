"""Images as tensors, as arrays of floating-point numbers, and as open files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from llavit_lens.errors import ImageError
from llavit_lens.images.open import open_image

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
IMAGE = Image.fromarray(PIXELS)


@pytest.mark.parametrize(
    "source",
    [
        torch.from_numpy(PIXELS),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
        (torch.from_numpy(PIXELS) / 255).requires_grad_(),
        (torch.from_numpy(PIXELS) / 255).double(),
        np.moveaxis(PIXELS, -1, 0),
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
    ],
    ids=["last", "first", "floats", "gradient", "double", "array", "array of double", "of floats"],
)
def test_the_same_image_in_many_forms(source: object) -> None:
    assert np.array_equal(np.asarray(open_image(source)), PIXELS)  # type: ignore[arg-type]


def test_halves_are_near() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        opened = open_image(torch.from_numpy(PIXELS).permute(2, 0, 1).to(dtype) / 255)
        assert np.abs(np.asarray(opened).astype(int) - PIXELS).max() <= 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (torch.zeros(2, 3, 5, 6), r"a batch of shape \[2, 3, 5, 6\]; give one image at a time"),
        (torch.zeros(3, 9, 3), r"\[3, 9, 3\], the first and the last axis could both"),
        (torch.zeros(5, 6, 3, dtype=torch.int64), "the tensor: pixels are uint8, or .* not int64"),
        (torch.zeros(7, 5, 6), "the tensor: an image has the shape"),
        (torch.full((3, 5, 6), 2.5), "between 2.5 and 2.5; if they are from 0 to 255"),
        (torch.full((3, 5, 6), -0.1), "between 0 and 1, but these between -0.1"),
        (torch.full((3, 5, 6), torch.nan), "between nan"),
        (np.full((5, 6, 3), 255.0), "the array: floating-point pixels lie between 0 and 1"),
    ],
)
def test_what_could_mean_several_things_is_refused(source: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        open_image(source)  # type: ignore[arg-type]


def test_open_files(tmp_path: Path) -> None:
    file = io.BytesIO()
    IMAGE.save(file, "PNG")  # which leaves it at its end
    (tmp_path / "x.png").write_bytes(file.getvalue())
    with (tmp_path / "x.png").open("rb") as opened:
        sources = (file, opened, bytearray(file.getvalue()), memoryview(file.getvalue()))
        for source in sources:
            assert np.array_equal(np.asarray(open_image(source)), PIXELS)


def test_open_files_that_hold_no_image(tmp_path: Path) -> None:
    closed = io.BytesIO()
    closed.close()
    for file, message in [
        (io.StringIO("x"), "gives text; open it in binary mode"),
        (io.BytesIO(), "the open file: the file is empty"),
        (io.BytesIO(b"x"), "the open file: not an image"),
        (closed, "the open file: cannot be read"),
    ]:
        with pytest.raises(ImageError, match=message):
            open_image(file)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="larger than the limit of 3 bytes"):
        open_image(io.BytesIO(b"12345"), max_bytes=3)


def test_a_web_address_says_what_to_do() -> None:
    with pytest.raises(ImageError, match=r"https://a.org/x.jpg: .*download it first \(curl"):
        open_image("https://a.org/x.jpg")


def test_tensors_without_numbers_to_read() -> None:
    dense = torch.rand(3, 9, 8)
    for tensor in (dense.to_sparse(), dense.to("meta")):
        with pytest.raises(ImageError, match="give a dense tensor of numbers"):
            open_image(tensor)
