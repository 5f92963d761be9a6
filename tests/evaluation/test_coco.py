"""COCO-style files that the test writes, and broken ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.evaluation.coco import coco_pictures
from llavit_lens.evaluation.coco_masks import mask_of
from llavit_lens.evaluation.labelled import readable

WIDTH, HEIGHT = 40, 30


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, zeros first."""
    found, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            found.append(0)
            value = bool(pixel)
        found[-1] += 1
    return found


def compressed(counts: list[int]) -> str:
    """As `rleToString` of COCO's C code writes it."""
    text = ""
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = x & 0x1F
            x >>= 5
            more = x != -1 if bits & 0x10 else x != 0
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


def disk(x: float, y: float, radius: float) -> np.ndarray:
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (cols - x) ** 2 + (rows - y) ** 2 < radius**2


def content() -> dict[str, Any]:
    mask = disk(25, 15, 8)
    return {
        "images": [
            {"id": 1, "file_name": "one.png", "width": WIDTH, "height": HEIGHT},
            {"id": 2, "file_name": "two.png", "width": WIDTH, "height": HEIGHT},
            {"id": 3, "file_name": "nothing.png", "width": WIDTH, "height": HEIGHT},
        ],
        "categories": [{"id": 1, "name": "dog"}, {"id": 7, "name": "traffic light"}],
        "annotations": [
            {
                "id": 10,
                "image_id": 1,
                "category_id": 1,
                "segmentation": [[2, 3, 12, 3, 12, 20, 2, 20], [30, 0, 35, 0, 35, 5, 30, 5]],
                "attributes": {"color": " Blue", "occluded": False},
            },
            {
                "id": 11,
                "image_id": 1,
                "category_id": 7,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": compressed(runs(mask))},
            },
            {
                "id": 12,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 1,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs(disk(5, 25, 4))},
            },
            {"id": 13, "image_id": 2, "category_id": 7, "bbox": [1, 2, 10, 5]},
        ],
    }


Save = Callable[[dict[str, Any]], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    for name, color in (("one", (20, 90, 200)), ("two", (9, 9, 9))):
        Image.new("RGB", (WIDTH, HEIGHT), color).save(tmp_path / f"{name}.png")

    def write(what: dict[str, Any]) -> Path:
        (tmp_path / "annotations.json").write_text(json.dumps(what))
        return tmp_path / "annotations.json"

    return write


def test_pictures_are_what_the_file_says(save: Save, tmp_path: Path) -> None:
    pictures = coco_pictures(save(content()), tmp_path, {"dog": ["puppy"]})
    assert len(pictures) == 2  # one has no annotation
    one, two = sorted(pictures, key=lambda own: -len(own.objects))
    dog, light = one.objects
    assert (dog.name, dict(dog.attributes)) == ("dog", {"color": "blue"})
    assert dog.words == {"dog", "puppy", "blue"} and light.words == {"traffic light"}
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[3:20, 2:12] = expected[0:5, 30:35] = True
    assert (dog.mask == expected).all()
    assert (light.mask == disk(25, 15, 8)).all()
    assert one.unknown is not None and (one.unknown == disk(5, 25, 4)).all()
    assert two.unknown is None
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[2:7, 1:11] = True
    assert (two.objects[0].mask == box).all()
    # a blue dog can be recoloured, a traffic light of no known color cannot
    assert [change.old for change in one.changes] == ["blue"] and two.changes == ()
    assert not any(own.changes for own in coco_pictures(save(content()), tmp_path, changes=False))


def test_the_order_is_shuffled_the_same_way(save: Save, tmp_path: Path) -> None:
    what = content()
    for number in range(20, 40):
        what["images"].append({"id": number, "file_name": "two.png"})
        what["annotations"].append(
            {"image_id": number, "category_id": 1, "bbox": [number, 0, 1, 1]}
        )

    def order(seed: int) -> list[int]:
        pictures = coco_pictures(save(what), tmp_path, seed=seed)
        return [int(own.objects[0].mask.nonzero()[1][0]) for own in pictures]

    assert order(0) == order(0) != order(1) and sorted(order(0)) == sorted(order(1))


def test_polygons_hold_the_pixels_whose_centers_they_hold() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        corners = rng.uniform(-3, 33, (7, 2))
        angle = np.arctan2(*(corners - corners.mean(0)).T)
        corners = corners[np.argsort(angle)]
        found = mask_of({"segmentation": [corners.ravel().tolist()]}, HEIGHT, WIDTH)
        for row in range(HEIGHT):
            for col in range(WIDTH):
                inside, x, y = False, col + 0.5, row + 0.5
                for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
                    if (y0 > y) != (y1 > y) and x > x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                        inside = not inside
                assert found[row, col] == inside


def test_run_lengths_survive_compression() -> None:
    rng = np.random.default_rng(0)
    for share in (0.01, 0.5, 0.99):
        for size in ((1, 1), (3, 200), (HEIGHT, WIDTH)):
            mask = rng.random(size) < share
            for counts in (runs(mask), compressed(runs(mask))):
                annotation = {"segmentation": {"size": list(size), "counts": counts}}
                assert (mask_of(annotation, *size) == mask).all()


def broken(part: str, number: int, **fields: Any) -> dict[str, Any]:
    what = content()
    entry = what[part][number]
    for name, value in fields.items():
        if value is None:
            del entry[name]
        else:
            entry[name] = value
    return what


SIZE, NAN = [HEIGHT, WIDTH], float("nan")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ([], "no list 'images'"),
        ({"images": [], "annotations": []}, "no list 'categories'"),
        (broken("images", 0, file_name=None), r"images\[0\] needs id .* and file_name"),
        (broken("annotations", 1, category_id=[3]), r"annotations\[1\] needs"),
        (broken("annotations", 0, image_id=99), "annotation 10 has image_id 99"),
        (broken("annotations", 0, category_id=2), "annotation 10 has category_id 2"),
        ({**content(), "annotations": []}, "no object in any picture"),
        (broken("images", 0, file_name="../secret.png"), "lies outside"),
        (broken("categories", 0, name=5), r"categories\[0\] needs id .* and name \(a text\)"),
        (broken("categories", 1, id=1), "several categories have the id 1"),
        (broken("images", 1, id=1), "several images have the id 1"),
    ],
)
def test_a_broken_file_gives_one_error(what: Any, message: str, save: Save, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        list(coco_pictures(save(what), tmp_path))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (broken("images", 0, width=41), "41 x 30 there, but the picture is 40 x 30"),
        (broken("annotations", 0, segmentation=[[1, 2, 3, 4]]), "annotation 10 of one.png: a poly"),
        (broken("annotations", 0, segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "a polygon is a list"),
        (broken("annotations", 0, segmentation="abc"), "a polygon is a list"),
        (broken("annotations", 0, segmentation=None), "neither a segmentation nor a bbox"),
        (broken("annotations", 3, bbox=[1, 2, 0, 5]), "annotation 13 of two.png: a bbox is"),
        (
            broken("annotations", 1, segmentation={"size": [9, 9], "counts": [81]}),
            r"are for \[9, 9\]",
        ),
        (
            broken("annotations", 1, segmentation={"size": SIZE, "counts": [5, 7]}),
            "make 12 pixels, not 1200",
        ),
        (
            broken("annotations", 1, segmentation={"size": SIZE, "counts": [-1, 1201]}),
            "0 or more",
        ),
        (broken("annotations", 1, segmentation={"size": SIZE, "counts": "a\u00e9"}), "letters"),
        (broken("annotations", 0, segmentation=[[2, 3, NAN, 3, 12, 20]]), "a polygon is a list"),
        (broken("annotations", 0, segmentation=[[2, 3, 9, 3, 12, 10**400]]), "a polygon is a list"),
        (broken("annotations", 3, bbox=[1, 2, float("inf"), 5]), "a bbox is four numbers"),
        (broken("annotations", 3, bbox=[NAN, 2, 10, 5]), "a bbox is four numbers"),
        (
            broken("annotations", 1, segmentation={"size": SIZE, "counts": [NAN, 1200]}),
            "whole numbers",
        ),
        (broken("annotations", 1, segmentation={"size": SIZE, "counts": "Po"}), "cut off"),
    ],
)
def test_a_broken_mask_or_size_is_an_error_of_its_picture(
    what: Any, message: str, save: Save, tmp_path: Path
) -> None:
    pictures = coco_pictures(save(what), tmp_path)
    with pytest.raises(ImageError, match=message):
        list(pictures)


def test_a_picture_with_a_broken_mask_is_left_out_and_the_others_are_read(
    save: Save, tmp_path: Path
) -> None:
    why: dict[str, None] = {}
    pictures = coco_pictures(save(broken("annotations", 3, bbox=[1, 2, 0, 5])), tmp_path)
    assert len(list(readable(pictures, why))) == len(pictures) - 1
    assert "annotation 13 of two.png: a bbox is" in next(iter(why)) and len(why) == 1


def test_files_that_cannot_be_read_give_one_error(save: Save, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        coco_pictures(tmp_path / "none.json", tmp_path)
    (tmp_path / "bad.json").write_text('{"images": [')
    with pytest.raises(ConfigurationError, match="is no JSON"):
        coco_pictures(tmp_path / "bad.json", tmp_path)
    with pytest.raises(ConfigurationError, match="no category 'zebra'"):
        coco_pictures(save(content()), tmp_path, {"zebra": ["stripes"]})
    with pytest.raises(ImageError, match="no such file"):
        list(coco_pictures(save(broken("images", 1, file_name="three.png")), tmp_path))
