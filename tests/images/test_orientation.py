"""Which way is up: every way to give an image, all EXIF orientations, labels turned with it."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps
from tiny_vlm import tiny_vlm

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import open_image, open_oriented, pixel_sha256
from llavit_lens.images.orientation import stored_size, upright_box, upright_image, upright_mask

TAGS = range(1, 9)
TURNED = range(2, 9)
WIDTH, HEIGHT = 40, 30  # of the stored pixels


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """No two quarters alike."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = 255, 0, 0
    pixels[: height // 2, width // 2 :] = 0, 255, 0
    pixels[height // 2 :, : width // 2] = 0, 0, 255
    return Image.fromarray(pixels)


def encoded(image: Image.Image, tag: int, format: str = "PNG") -> bytes:
    """A file that stores the pixels of `image` and says that they are to be turned."""
    exif = Image.Exif()
    exif[0x0112] = tag
    buffer = io.BytesIO()
    lossless = {"lossless": True} if format == "WEBP" else {}
    image.save(buffer, format, exif=exif, **lossless)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def shown(image: Image.Image) -> list[tuple[bool, ...]]:
    """Size, and colors in the middle of the quarters, whatever compression did to them."""
    pixels = np.asarray(image.convert("RGB")) > 127
    height, width = pixels.shape[:2]
    places = [(y, x) for y in (height // 4, -height // 4) for x in (width // 4, -width // 4)]
    return [image.size, *(tuple(pixels[place].tolist()) for place in places)]


def upright(image: Image.Image, tag: int) -> Image.Image:
    """By Pillow, of which our own turning is independent for masks and boxes."""
    return ImageOps.exif_transpose(opened(encoded(image, tag)))


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_a_file_is_shown_upright_however_it_is_given(format: str, tag: int, tmp_path: Path) -> None:
    data = encoded(picture(), tag, format)
    path = tmp_path / "image"
    path.write_bytes(data)
    expected = shown(upright(picture(), tag))
    decoded = opened(data)
    decoded.load()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for source in (path, str(path), data, opened(data)):
            image, found = open_oriented(source)
            assert shown(image) == expected and found == tag
        assert shown(open_image(decoded)) == expected
    assert len({pixel_sha256(open_image(own)) for own in (path, data, opened(data), decoded)}) == 1


TURN_BY_HAND: dict[str, Callable[[Image.Image], Image.Image]] = {
    "rotate": lambda own: own.rotate(-90, expand=True),
    "transpose": lambda own: own.transpose(Image.Transpose.ROTATE_270),
    "copy": lambda own: own.copy(),
    "copy.copy": copy.copy,
    "convert": lambda own: own.convert("RGB"),
    "convert to gray": lambda own: own.convert("L"),
    "crop": lambda own: own.crop((0, 0, 20, 30)),
    "resize": lambda own: own.resize((20, 15)),
    "reduce": lambda own: own.reduce(2),
    "filter": lambda own: own.filter(ImageFilter.BLUR),
    "fit": lambda own: ImageOps.fit(own, (20, 20)),
}


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("name", TURN_BY_HAND)
def test_an_image_that_is_no_file_any_more_is_never_turned(name: str, format: str) -> None:
    image = TURN_BY_HAND[name](opened(encoded(picture(), 6, format)))
    with pytest.warns(UserWarning, match="EXIF orientation, 6; its pixels are taken as they are"):
        found = open_oriented(image)
    assert found.tag == 1
    assert (np.asarray(found.image) == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_what_pillow_turned_by_the_tag_is_not_turned_again(format: str) -> None:
    expected = shown(upright(picture(), 6))
    data = encoded(picture(), 6, format)
    in_place, small = opened(data), opened(data)
    ImageOps.exif_transpose(in_place, in_place=True)
    small.thumbnail((20, 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for image in (ImageOps.exif_transpose(opened(data)), in_place):
            assert shown(open_image(image)) == expected
        # changed in place, but still the file, not turned yet
        assert open_image(small).size == (15, 20)
        for image in (copy.deepcopy(opened(data)), pickle.loads(pickle.dumps(opened(data)))):
            assert shown(open_image(image)) == expected


def test_arrays_and_images_without_a_tag_are_taken_as_they_are() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for source in (
            np.asarray(opened(encoded(picture(), 6))),
            picture(),
            picture().convert("L"),
        ):
            assert open_oriented(source).tag == 1 and open_image(source).size == (WIDTH, HEIGHT)
        assert open_image(open_image(encoded(picture(), 6))).size == (HEIGHT, WIDTH)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_a_tag_that_is_no_orientation_turns_nothing(value: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", exif=exif)
    assert open_oriented(buffer.getvalue()).tag == 1
    assert open_image(buffer.getvalue()).size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("size", [(40, 30), (30, 30), (1, 7)])
def test_masks_and_boxes_turn_as_the_pixels_do(tag: int, size: tuple[int, int]) -> None:
    width, height = size
    rng = np.random.default_rng(tag)
    mask = rng.random((height, width)) < 0.5
    turned = upright(Image.fromarray(mask.astype(np.uint8) * 255), tag)
    assert (upright_mask(mask, tag) == (np.asarray(turned) > 127)).all()
    assert upright_image(Image.fromarray(mask), tag).size == turned.size
    assert stored_size(turned.size, tag) == size
    left, top = rng.integers(0, width), rng.integers(0, height)
    right, bottom = rng.integers(left + 1, width + 1), rng.integers(top + 1, height + 1)
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    rows, cols = upright_mask(mask, tag).nonzero()
    expected = cols.min(), rows.min(), cols.max() + 1, rows.max() + 1
    assert upright_box((left, top, right, bottom), tag, turned.size) == expected


def half(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """The upper left quarter of the stored pixels: where `picture` is red."""
    mask = np.zeros((height, width), bool)
    mask[: height // 2, : width // 2] = True
    return mask


def is_red(image: Image.Image, mask: np.ndarray) -> bool:
    return bool((np.asarray(image)[mask] == (255, 0, 0)).all())


def labelled(source: Any, mask: np.ndarray, **options: Any) -> ll.LabelledImage:
    return ll.LabelledImage(source, (ll.LabelledObject(mask, "red"),), mask, **options)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("size", [(40, 30), (30, 30)])
def test_masks_of_a_labelled_picture_are_turned_with_it(tag: int, size: tuple[int, int]) -> None:
    data = encoded(picture(*size), tag)
    up = upright_mask(half(*size), tag)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for own in (
            labelled(opened(data), half(*size), orientation="stored"),
            labelled(opened(data), up, orientation="upright"),
            labelled(data, up, orientation="upright"),
            labelled(open_image(data), up),
            labelled(np.asarray(opened(data)), half(*size)),
            labelled(picture(*size), half(*size), orientation="stored"),
        ):
            assert is_red(own.image, own.objects[0].mask)
            assert own.unknown is not None and is_red(own.image, own.unknown)
            assert own.objects[0].mask.shape == own.image.size[::-1]
    if tag > 4 and size[0] != size[1]:  # the size of the mask shows what it refers to
        for mask in (half(*size), up):
            own = labelled(opened(data), mask)
            assert is_red(own.image, own.objects[0].mask)
    elif tag > 1:
        with pytest.warns(UserWarning, match="orientation='stored' if they were made on"):
            own = labelled(opened(data), up)
        assert is_red(own.image, own.objects[0].mask)
    assert not hasattr(own, "tag")


def test_changes_are_turned_too_and_replace_turns_nothing_again() -> None:
    from dataclasses import replace

    from llavit_lens.evaluation.labelled.labelled_images import Change

    data = encoded(picture(), 6)
    change = Change("replace", opened(data), half(), "a", "b")
    own = labelled(opened(data), half(), changes=(change,), orientation="stored")
    assert is_red(own.changes[0].image, own.changes[0].mask)
    again = replace(own, changes=own.changes)
    assert is_red(again.image, again.objects[0].mask) and again.image == own.image


def test_labels_have_to_fit_one_of_both() -> None:
    data = encoded(picture(), 6)
    for mask, options in (
        (np.ones((9, 9), bool), {}),
        (half(), {"orientation": "upright"}),
        (half().T, {"orientation": "stored"}),
    ):
        with pytest.raises(ConfigurationError, match="a mask is"):
            labelled(opened(data), mask, **options)
    for wrong in ("left", 6, True):
        for make in (
            lambda: labelled(picture(), half(), orientation=wrong),  # noqa: B023
            lambda: ll.Box(0, 0, 1, 1, orientation=wrong),  # noqa: B023
            lambda: ll.Mask(half(), orientation=wrong),  # noqa: B023
        ):
            with pytest.raises(ConfigurationError, match="orientation="):
                make()


def test_without_labels_there_is_nothing_to_warn_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ll.LabelledImage(opened(encoded(picture(), 3)), ()).image.size == (WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def vlm() -> ll.VLM:
    return tiny_vlm("llavit")


@pytest.mark.parametrize("tag", TAGS)
def test_regions_that_refer_to_stored_pixels(tag: int, vlm: ll.VLM) -> None:
    data = encoded(picture(), tag)
    layout = vlm.prepare(data).layout
    assert layout.orientation == tag
    assert VisualLayout.from_dict(layout.to_dict()).orientation == tag
    box = (0, 0, WIDTH / 2, HEIGHT / 2)
    up = upright_box(box, tag, layout.image_size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regions = [
            ll.Box(*up, orientation="upright"),
            ll.Box(*box, orientation="stored"),
            ll.Mask(upright_mask(half(), tag), orientation="upright"),
            ll.Mask(half(), orientation="stored"),
            *([ll.Mask(half()), ll.Mask(upright_mask(half(), tag))] if tag > 4 else []),
        ]
        places = [region.positions(layout).tolist() for region in regions]
        assert all(own == places[0] for own in places) and places[0]
    if tag > 1:
        for region in (ll.Box(*up), *([ll.Mask(half())] if tag < 5 else [])):
            with pytest.warns(UserWarning, match="orientation='stored'"):
                region.positions(layout)
        with pytest.warns(UserWarning, match="orientation='stored'"):
            assert ll.Box(*up).positions(layout).tolist() == places[0]


def test_interventions_on_stored_regions(vlm: ll.VLM) -> None:
    turned, own = encoded(picture(), 3), upright(picture(), 3)
    with ll.knock_out(vlm, ("all", ll.Box(0, 0, 20, 15, orientation="stored"))):
        found = vlm.run(turned)
    with ll.knock_out(vlm, ("all", ll.Box(20, 15, 40, 30))):
        expected = vlm.run(own)
    assert torch.equal(found, expected) and not torch.equal(found, vlm.run(own))
    # inside another intervention, where the source of a patch is read under it
    stored = ll.Mask(half(), orientation="stored")
    late = "blocks.1.hook_resid_post"
    with ll.knock_out(vlm, ("all", stored)), ll.patch(vlm, turned, late):
        found = vlm.run(turned)
    with ll.knock_out(vlm, ("all", ll.Mask(half()[::-1, ::-1]))), ll.patch(vlm, own, late):
        expected = vlm.run(own)
    assert torch.equal(found, expected)
