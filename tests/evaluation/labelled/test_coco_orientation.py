"""Annotations of pictures with an EXIF orientation: on upright pixels, stored ones, or unclear."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_content import runs
from PIL import Image

from llavit_lens.errors import ImageError
from llavit_lens.evaluation.labelled.coco import coco_images
from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, LazyImages, readable
from llavit_lens.images.open import open_image

TAGS = range(1, 9)
RED = (255, 0, 0)
Make = Callable[..., LazyImages]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Pictures of a file: one, whose upper left part as stored is red; a bbox, a polygon, and run
    lengths of these red pixels, on stored or upright pixels."""

    def pictures(
        tag: int,
        size: tuple[int, int],
        drawn: str,
        said: str | None,
        format: str = "PNG",
        **options: Any,
    ) -> LazyImages:
        width, height = size
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[: height // 3, : width // 2] = RED
        exif = Image.Exif()
        exif[0x0112] = tag
        Image.fromarray(pixels).save(tmp_path / "image", format, exif=exif)
        if drawn == "upright":
            pixels = np.asarray(open_image(tmp_path / "image"))
        red = (pixels == RED).all(2)
        rows, cols = red.nonzero()
        left, top = int(cols.min()), int(rows.min())
        right, bottom = int(cols.max()) + 1, int(rows.max()) + 1
        corners = [left, top, right, top, right, bottom, left, bottom]
        shapes: tuple[dict[str, Any], ...] = (
            {"bbox": [left, top, right - left, bottom - top]},
            {"segmentation": [corners]},
            {"segmentation": {"size": list(red.shape), "counts": runs(red)}},
            {"segmentation": [corners], "iscrowd": 1},
        )
        image: dict[str, Any] = {"id": 1, "file_name": "image"}
        if said is not None:
            upright = open_image(tmp_path / "image").size
            image["width"], image["height"] = size if said == "stored" else upright
            if said == "other":
                image["width"] = 41
        content = {
            "images": [image],
            "categories": [{"id": 1, "name": "red"}],
            "annotations": [{"image_id": 1, "category_id": 1, **shape} for shape in shapes],
        }
        (tmp_path / "coco.json").write_text(json.dumps(content))
        return coco_images(tmp_path / "coco.json", tmp_path, **options)

    return pictures


def all_red(picture: LabelledImage) -> bool:
    red = (np.asarray(picture.image) == RED).all(2)
    masks = [thing.mask for thing in picture.objects]
    assert len(masks) == 3 and picture.unknown is not None
    return all((mask == red).all() for mask in [*masks, picture.unknown])


@pytest.mark.long
@pytest.mark.parametrize("size", [(40, 30), (30, 30)])
@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_what_is_said_is_done(format: str, tag: int, size: tuple[int, int], make: Make) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for drawn in ("stored", "upright"):
            for said in (drawn, None):
                (picture,) = make(tag, size, drawn, said, format, orientation=drawn)
                assert all_red(picture)
        # Label Studio writes the size as stored and draws on the upright picture
        (picture,) = make(tag, size, "upright", "stored", format, orientation="upright")
        assert all_red(picture)


@pytest.mark.parametrize("tag", TAGS)
def test_without_a_word_the_size_decides_or_a_warning_comes(tag: int, make: Make) -> None:
    turned = tag > 4
    for size, said in (((40, 30), "upright"), ((40, 30), None), ((30, 30), "upright")):
        pictures = make(tag, size, "upright", said)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            (picture,) = pictures
        assert all_red(picture)
        unclear = tag > 1 and not (turned and size == (40, 30) and said)
        assert len(caught) == unclear
        lines = [line for line in pictures.report.lines if "EXIF" in line]
        assert len(lines) == unclear
        if unclear:
            assert "orientation='stored'" in str(caught[0].message) and "1 (image)" in lines[0]


@pytest.mark.parametrize("tag", [5, 6, 7, 8])
@pytest.mark.parametrize("drawn", ["upright", "stored"])
def test_a_size_as_stored_does_not_say_what_was_drawn_on(tag: int, drawn: str, make: Make) -> None:
    why: dict[str, None] = {}
    assert list(readable(make(tag, (40, 30), drawn, "stored"), why)) == []
    (message,) = why
    assert "40 x 30 there, but the image is 30 x 40" in message
    assert f"EXIF orientation {tag}" in message and "orientation='upright' or 'stored'" in message


def test_what_is_said_and_the_size_have_to_agree(make: Make) -> None:
    for said, orientation in (("upright", "stored"), ("other", "upright"), ("other", "stored")):
        pictures = make(6, (40, 30), "stored", said, orientation=orientation)
        with pytest.raises(ImageError, match=r"30 x 40 .* upright\) and 40 x 30 as it is stored"):
            list(pictures)
