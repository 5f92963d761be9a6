"""COCO-style files that the test writes, broken ones, and those of labelling tools."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_content import HEIGHT, WIDTH, content, disk
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.coco import coco_images
from llavit_lens.evaluation.labelled.coco_file import Endings
from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, LazyImages, readable

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
    pictures = coco_images(save(content()), tmp_path, {"dog": ["puppy"]})
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
    assert not any(own.changes for own in coco_images(save(content()), tmp_path, changes=False))


def test_the_order_is_shuffled_the_same_way(save: Save, tmp_path: Path) -> None:
    what = content()
    for number in range(20, 40):
        what["images"].append({"id": number, "file_name": "two.png"})
        what["annotations"].append(
            {"image_id": number, "category_id": 1, "bbox": [number, 0, 1, 1]}
        )

    def order(seed: int) -> list[int]:
        pictures = coco_images(save(what), tmp_path, seed=seed)
        return [int(own.objects[0].mask.nonzero()[1][0]) for own in pictures]

    assert order(0) == order(0) != order(1) and sorted(order(0)) == sorted(order(1))


def broken(part: str, number: int, **fields: Any) -> dict[str, Any]:
    what = content()
    entry = what[part][number]
    for name, value in fields.items():
        if value is None:
            del entry[name]
        else:
            entry[name] = value
    return what


def by_color(pictures: LazyImages) -> dict[str, LabelledImage]:
    """The pictures that can be read, by the name that `save` gave to theirs."""
    names = {20: "one", 9: "two"}
    return {names[own.image.getpixel((0, 0))[0]]: own for own in readable(pictures, {})}


def names_of(picture: LabelledImage) -> list[str | None]:
    return [thing.name for thing in picture.objects]


SIZE, NAN = [HEIGHT, WIDTH], float("nan")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ([], "no list 'images'"),
        (5, "no list 'images'"),
        ({"images": [], "annotations": []}, "no list 'categories'"),
        ({"images": {}, "annotations": [], "categories": []}, "no list 'images'"),
        ({**content(), "annotations": []}, "no object in any image"),
        ({**content(), "images": []}, "no image has their image_id: 4"),
        ({**content(), "categories": []}, "no category has their category_id: 3"),
    ],
)
def test_a_file_without_any_object_is_an_error(
    what: Any, message: str, save: Save, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message) as error:
        coco_images(save(what), tmp_path)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_give_one_error(save: Save, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        coco_images(tmp_path / "none.json", tmp_path)
    (tmp_path / "bad.json").write_text('{"images": [')
    with pytest.raises(ConfigurationError, match="is no JSON"):
        coco_images(tmp_path / "bad.json", tmp_path)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        coco_images(tmp_path / "deep.json", tmp_path)
    with pytest.raises(ConfigurationError, match="no category 'zebra'"):
        coco_images(save(content()), tmp_path, {"zebra": ["stripes"]})
    with pytest.raises(ConfigurationError, match="no category 'zebra', 5"):
        coco_images(save(content()), tmp_path, {"zebra": [], 5: []})  # type: ignore[dict-item]
    values: tuple[Any, ...] = ("puppy", b"puppy", [5], ["\ud800"], None, 5, {"puppy": 1})
    for value in values:
        with pytest.raises(ConfigurationError, match="words of 'dog': give a list of words"):
            coco_images(save(content()), tmp_path, {"dog": value})
    wrong: tuple[Any, ...] = ("x", 5, [("dog", ["puppy"])])
    for words in wrong:
        with pytest.raises(ConfigurationError, match="words is a dictionary of lists of words"):
            coco_images(save(content()), tmp_path, words)
    missing: Any = None
    with pytest.raises(ConfigurationError, match="the file of annotations is a text or a Path"):
        coco_images(missing, tmp_path)
    with pytest.raises(ConfigurationError, match="the folder of the images is a text or a Path"):
        coco_images(save(content()), missing)
    with pytest.raises(ConfigurationError, match="no such folder"):
        coco_images(save(content()), tmp_path / "none")
    with pytest.raises(ConfigurationError, match="orientation="):
        coco_images(save(content()), tmp_path, orientation="up")  # type: ignore[arg-type]


def test_a_byte_order_mark_is_read_over(save: Save, tmp_path: Path) -> None:
    path = save(content())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(coco_images(path, tmp_path)) == 2


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (5, "no JSON objects"),
        (None, "no JSON objects"),
        ({}, "no image has their image_id"),
        ({"image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4]}, "no image has"),
        ({"image_id": [1], "category_id": 1, "bbox": [1, 2, 3, 4]}, "no image has"),
        ({"image_id": NAN, "category_id": 1, "bbox": [1, 2, 3, 4]}, "no image has"),
        ({"image_id": True, "category_id": 1, "bbox": [1, 2, 3, 4]}, "no image has"),
        ({"image_id": None, "category_id": 1, "bbox": [1, 2, 3, 4]}, "no image has"),
        ({"image_id": 1, "category_id": 99, "bbox": [1, 2, 3, 4]}, "no category has"),
        ({"image_id": 1, "category_id": None, "bbox": [1, 2, 3, 4]}, "no category has"),
        ({"image_id": 1, "bbox": [1, 2, 3, 4]}, "no category has"),
        ({"image_id": 1, "category_id": {}, "bbox": [1, 2, 3, 4]}, "no category has"),
        ({"image_id": 1, "segments_info": [], "file_name": "1.png"}, "panoptic"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": "maybe"}, "iscrowd is"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 7}, "iscrowd is"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": []}, "iscrowd is"),
        ({"image_id": 1, "category_id": 1}, "neither a segmentation nor a bbox"),
        ({"image_id": 1, "category_id": 1, "bbox": [-50, -50, 10, 10]}, "no pixel"),
        ({"image_id": 1, "category_id": 1, "bbox": [NAN, 0, 1e30, 1]}, "four numbers"),
        ({"image_id": 1, "category_id": 1, "segmentation": [], "bbox": [0] * 4}, "no area"),
        (
            {"image_id": 1, "category_id": 1, "segmentation": {"size": SIZE, "counts": [1200]}},
            "no pixel",
        ),
        ({"image_id": 1, "category_id": 1, "segmentation": [[1, NAN, 3, 4, 5, 6]]}, "corners"),
        ({"image_id": 1, "category_id": 1, "bbox": [0.1, 0.2, 0.5, 0.5]}, "shares of the image"),
        (
            {"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 1, 0, 1, 1]]},
            "shares of the image",
        ),
    ],
)
def test_a_bad_annotation_is_left_out_alone_and_listed(
    entry: Any, why: str, save: Save, tmp_path: Path
) -> None:
    good = by_color(coco_images(save(content()), tmp_path))
    what = content()
    what["annotations"].insert(1, entry)
    pictures = coco_images(save(what), tmp_path)
    found = by_color(pictures)
    assert found.keys() == good.keys()
    for name in good:
        assert names_of(found[name]) == names_of(good[name])
        for thing, own in zip(found[name].objects, good[name].objects, strict=True):
            assert (thing.mask == own.mask).all()
    (remark,) = [own for own in pictures.report.counts if why in own]
    assert pictures.report.counts[remark] == 1
    assert pictures.report.places[remark][0].startswith("annotations[1]")
    assert any(why in line and "annotations[1]" in line for line in pictures.report.lines)


def test_pixels_of_what_was_left_out_are_not_background(save: Save, tmp_path: Path) -> None:
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[2:7, 1:11] = True
    for entry in (
        {"category_id": 99},
        {"category_id": 1, "iscrowd": "maybe"},
        {"category_id": 1, "segmentation": [[1, NAN, 3, 4, 5, 6]]},
    ):
        what = content()
        what["annotations"].append({"image_id": 2, "bbox": [1, 2, 10, 5], **entry})
        what["annotations"][3]["bbox"] = [20, 2, 10, 5]
        two = by_color(coco_images(save(what), tmp_path))["two"]
        assert len(two.objects) == 1 and two.unknown is not None and (two.unknown == box).all()
    # the part of an object whose polygon is broken, too
    what["annotations"][-1]["segmentation"].append([2, 3, 4, 3, 4, 5])
    two = by_color(coco_images(save(what), tmp_path))["two"]
    assert len(two.objects) == 2 and two.unknown is not None and (two.unknown == box).all()


def test_what_is_cut_off_is_listed(save: Save, tmp_path: Path) -> None:
    what = broken("annotations", 3, bbox=[20, 10, 40, 30])  # maybe right and bottom, not a size
    pictures = coco_images(save(what), tmp_path)
    assert len(by_color(pictures)) == 2
    assert str(pictures.report).count("cut off: 1 (annotations[3], id 13 of two.png)") == 1


def test_polygons_left_out_are_listed(save: Save, tmp_path: Path) -> None:
    what = broken("annotations", 0, segmentation=[[2, 3, 12, 3, 12, 20, 2, 20], [1, 2, 3, 4]])
    pictures = coco_images(save(what), tmp_path)
    assert names_of(by_color(pictures)["one"]) == ["dog", "traffic light"]
    assert str(pictures.report).count("malformed polygons are left out: 1 (annotations[0]") == 1


@pytest.mark.parametrize(
    ("value", "crowd"),
    [
        *((value, False) for value in (0, False, "0", "False", 0.0, "", None, " 0 ", "0.0")),
        *((value, True) for value in (1, True, "1", "true", "TRUE", 1.0, "1.0")),
    ],
)
def test_iscrowd_in_every_form(value: Any, crowd: bool, save: Save, tmp_path: Path) -> None:
    what = content()
    what["annotations"][2]["iscrowd"] = value
    pictures = coco_images(save(what), tmp_path)
    one = by_color(pictures)["one"]
    assert (len(one.objects), one.unknown is not None) == ((2, True) if crowd else (3, False))
    assert any("crowds" in line for line in pictures.report.lines) == crowd


def test_crowds_alone_are_an_error_that_says_so(save: Save, tmp_path: Path) -> None:
    what = content()  # as CVAT writes masks
    for annotation in what["annotations"]:
        annotation["iscrowd"] = 1
    with pytest.raises(ConfigurationError, match=r"no object.*crowds \(iscrowd 1\).*: 4"):
        coco_images(save(what), tmp_path)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (5, "no JSON objects"),
        ({}, "need an id"),
        ({"id": 9}, "need an id"),
        ({"id": None, "file_name": "one.png"}, "need an id"),
        ({"id": True, "file_name": "one.png"}, "need an id"),
        ({"id": 1.5, "file_name": "one.png"}, "need an id"),
        ({"id": 1, "file_name": 5}, "need an id"),
        ({"id": 9, "file_name": ""}, "need an id"),
        ({"id": 9, "file_name": "a\0b.png"}, "need an id"),
        ({"id": 9, "file_name": "\ud800.png"}, "need an id"),
        ({"id": 9, "file_name": "a/" * 2100}, "more than 4096 characters"),
        ({"id": 3, "file_name": "other.png"}, "another one has their id"),
    ],
)
def test_a_bad_entry_of_a_picture_is_left_out_alone_and_listed(
    entry: Any, why: str, save: Save, tmp_path: Path
) -> None:
    what = content()
    what["images"].append(entry)
    pictures = coco_images(save(what), tmp_path)
    assert by_color(pictures).keys() == {"one", "two"}
    assert any(why in line and "images[3]" in line for line in pictures.report.lines)


@pytest.mark.parametrize(
    "name",
    [
        "none.png",
        "../secret.png",
        "/etc/passwd",
        "http://example.com/three.png",
        "../images/../secret.png",
        "/SECRET",
        "dangling.png",
        "loop.png",
        "x" * 4000,
        "folder",
        "pipe",
        "empty.png",
        "..",
        "~nobody/x.png",
    ],
)
def test_a_picture_that_cannot_be_read_is_left_out_alone(
    name: str, save: Save, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    path = save(content())
    for own in ("one.png", "two.png"):
        (tmp_path / own).rename(folder / own)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "secret.png")
    (folder / "dangling.png").symlink_to(folder / "gone.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "folder").mkdir()
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe")
    what = content()
    if name == "/SECRET":
        name = str(tmp_path / "secret.png")
    what["images"][1]["file_name"] = name
    path.write_text(json.dumps(what))
    why: dict[str, None] = {}
    pictures = coco_images(path, folder)
    assert [names_of(own) for own in readable(pictures, why)] == [["dog", "traffic light"]]
    (message,) = why
    assert "\n" not in message and len(message) < 1000
    assert name[:100] in message or "regular file" in message or "folder" in message
    assert ("leads nowhere" in message) == (name in ("dangling.png", "loop.png"))
    assert ("outside" in message) == name.endswith(("secret.png", "passwd", ".."))


def test_a_size_that_is_not_the_picture_s_leaves_it_out(save: Save, tmp_path: Path) -> None:
    why: dict[str, None] = {}
    pictures = coco_images(save(broken("images", 0, width=41)), tmp_path)
    assert len(list(readable(pictures, why))) == 1
    assert "41 x 30 there, but the image is 40 x 30" in next(iter(why))
    for side in (0, -1, None, "", "40", 40.0, "unknown"):  # not known, or the right one
        what = content()
        what["images"][0]["width"] = side
        assert by_color(coco_images(save(what), tmp_path)).keys() == {"one", "two"}


def test_a_picture_of_which_nothing_is_left_is_left_out(save: Save, tmp_path: Path) -> None:
    why: dict[str, None] = {}
    pictures = coco_images(save(broken("annotations", 3, bbox=[1, 2, 0, 5])), tmp_path)
    assert len(list(readable(pictures, why))) == len(pictures) - 1 == 1
    assert "two.png: no annotation of it can be used; of the first one: its bbox" in next(iter(why))
    assert any(
        "no area" in line and "annotations[3], id 13" in line for line in pictures.report.lines
    )


@pytest.mark.parametrize(
    ("category", "why"),
    [
        (5, "no JSON objects"),
        ({"id": 8}, "need an id and a name"),
        ({"id": 8, "name": 5}, "need an id and a name"),
        ({"id": 8, "name": " "}, "need an id and a name"),
        ({"id": 8, "name": "\ud800"}, "need an id and a name"),
        ({"name": "cat"}, "need an id and a name"),
        ({"id": 7, "name": None}, "need an id and a name"),
    ],
)
def test_a_bad_category_is_left_out_alone(
    category: Any, why: str, save: Save, tmp_path: Path
) -> None:
    what = content()
    what["categories"].append(category)
    pictures = coco_images(save(what), tmp_path)
    assert names_of(by_color(pictures)["one"]) == ["dog", "traffic light"]
    assert any(why in line and "categories[2]" in line for line in pictures.report.lines)


def test_an_id_of_two_categories_is_nobodys(save: Save, tmp_path: Path) -> None:
    what = content()
    what["categories"].append({"id": 1, "name": "cat"})
    pictures = coco_images(save(what), tmp_path)
    assert names_of(by_color(pictures)["one"]) == ["traffic light"]
    assert any("another one has their id: 2" in line for line in pictures.report.lines)
    what["categories"][2]["name"] = "dog "  # the same one twice
    assert names_of(by_color(coco_images(save(what), tmp_path))["one"]) == [
        "dog",
        "traffic light",
    ]


def test_a_picture_with_two_ids_has_the_annotations_of_both(save: Save, tmp_path: Path) -> None:
    what = content()
    what["images"].append({"id": 50, "file_name": "two.png"})
    what["annotations"].append({"image_id": 50, "category_id": 1, "bbox": [20, 5, 5, 5]})
    pictures = coco_images(save(what), tmp_path)
    assert len(pictures) == 2
    assert names_of(by_color(pictures)["two"]) == ["traffic light", "dog"]


@pytest.mark.parametrize("first", [0, 3])
def test_ids_that_give_a_picture_another_size_are_apart(
    first: int, save: Save, tmp_path: Path
) -> None:
    what = content()
    wrong = {"id": 50, "file_name": "one.png", "width": 400, "height": 300}
    what["images"].insert(first, wrong)
    what["annotations"].append({"image_id": 50, "category_id": 1, "bbox": [20, 5, 5, 5]})
    why: dict[str, None] = {}
    pictures = coco_images(save(what), tmp_path)
    found = [names_of(own) for own in readable(pictures, why)]
    assert sorted(found) == [["dog", "traffic light"], ["traffic light"]]
    assert list(why) and "400 x 300 there, but the image is 40 x 30" in next(iter(why))
    (line,) = [line for line in pictures.report.lines if "another size" in line]
    assert ": 2 (" in line and "id 1" in line and "id 50" in line


def test_an_id_without_a_size_shares_the_picture_of_one_with_it(save: Save, tmp_path: Path) -> None:
    what = content()
    what["images"].insert(0, {"id": 50, "file_name": "two.png"})
    what["annotations"].append({"image_id": 50, "category_id": 1, "bbox": [20, 5, 5, 5]})
    pictures = coco_images(save(what), tmp_path)
    assert names_of(by_color(pictures)["two"]) == ["traffic light", "dog"]
    assert len(pictures) == 2 and pictures.report.counts.keys() <= {
        "crowds (iscrowd 1), neither object nor background"
    }


def test_links_are_followed_wherever_they_lead(save: Save, tmp_path: Path) -> None:
    path, folder = save(content()), tmp_path / "images"
    (folder / "train").mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    for name in ("one.png", "two.png"):  # as the Hub's cache and DVC store files
        (tmp_path / name).rename(tmp_path / "blobs" / name)
        (folder / name).symlink_to(tmp_path / "blobs" / name)
    assert by_color(coco_images(path, folder)).keys() == {"one", "two"}
    (tmp_path / "link").symlink_to(folder)
    assert by_color(coco_images(path, tmp_path / "link")).keys() == {"one", "two"}


@pytest.mark.parametrize("through", ["images", "link"])
def test_a_whole_path_into_the_folder_is_found(through: str, save: Save, tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    for own in ("one.png", "two.png"):
        (tmp_path / own).rename(tmp_path / "images" / own)
    (tmp_path / "link").symlink_to(tmp_path / "images")
    what = content()
    what["images"][0]["file_name"] = str(tmp_path / "images" / "one.png")
    what["images"][2]["file_name"] = "a/one.png"  # the end alone would not tell which
    pictures = coco_images(save(what), tmp_path / through)
    assert by_color(pictures).keys() == {"one", "two"}
    assert not any("without the folders" in line for line in pictures.report.lines)


def test_names_of_many_folders_take_little_memory() -> None:
    names = ["a/" * 2000 + f"{number}.png" for number in range(20)]
    tracemalloc.start()
    try:
        endings = Endings([*names, "a/0.png", "a\\0.png"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * sum(map(len, names))
    assert endings.has_one("1.png") and endings.has_one("a/1.png") and endings.has_one(names[0])
    assert not endings.has_one("a/0.png") and not endings.has_one("png")


@pytest.mark.parametrize("number", [str, float, lambda own: f" {own} "])
def test_ids_are_compared_as_texts(number: Any, save: Save, tmp_path: Path) -> None:
    what = content()
    for annotation in what["annotations"]:  # numbers there, texts or floats here (VIA, pandas)
        annotation["image_id"] = number(annotation["image_id"])
        annotation["category_id"] = number(annotation["category_id"])
    found = by_color(coco_images(save(what), tmp_path))
    assert names_of(found["one"]) == ["dog", "traffic light"]
    what = content()
    for annotation in what["annotations"]:  # leading zeros tell texts apart
        annotation["image_id"] = f"0{annotation['image_id']}"
    with pytest.raises(ConfigurationError, match="no image has"):
        coco_images(save(what), tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "images/one.png",
        "images\\one.png",  # Label Studio on Windows
        "images\\1/one.png",
        "..\\..\\label-studio\\media\\upload\\4\\one.png",
        "/data/local-files/?d=images/one.png",
        "/home/somebody/data/one.png",  # FiftyOne
        "C:\\Users\\somebody\\one.png",
        "./one.png",
        "https://example.com/val2017/one.png",
    ],
)
def test_pictures_are_found_under_the_end_of_their_names(
    name: str, save: Save, tmp_path: Path
) -> None:
    what = content()
    what["images"][0]["file_name"] = name
    pictures = coco_images(save(what), tmp_path)
    assert by_color(pictures).keys() == {"one", "two"}
    assert any("without the folders" in line for line in pictures.report.lines) == (
        name != "./one.png"
    )
    # never where another picture of the file ends like it
    what["images"][2]["file_name"] = "other/one.png"
    if name != "./one.png":
        assert by_color(coco_images(save(what), tmp_path)).keys() == {"two"}


def test_a_picture_under_its_whole_name_comes_first(save: Save, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    what = content()
    what["images"][0]["file_name"], what["images"][1]["file_name"] = "train/one.png", "one.png"
    path = save(what)
    Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(tmp_path / "one.png")
    Image.new("RGB", (WIDTH, HEIGHT), (20, 90, 200)).save(tmp_path / "train" / "one.png")
    found = by_color(coco_images(path, tmp_path))
    assert names_of(found["one"]) == ["dog", "traffic light"]
    assert names_of(found["two"]) == ["traffic light"]


def test_lvis(save: Save, tmp_path: Path) -> None:
    """No file_name, no iscrowd."""
    what = content()
    for image in what["images"]:
        name = image.pop("file_name")
        image |= {
            "coco_url": f"http://images.cocodataset.org/val2017/{name}",
            "neg_category_ids": [7],
            "not_exhaustive_category_ids": [],
        }
    for category in what["categories"]:
        category |= {"synset": "dog.n.01", "synonyms": ["dog"], "frequency": "f", "def": "…"}
    del what["annotations"][2]
    found = by_color(coco_images(save(what), tmp_path))
    assert names_of(found["one"]) == ["dog", "traffic light"]


def test_extra_fields_and_categories_of_tools(save: Save, tmp_path: Path) -> None:
    what = content()
    # Roboflow's first category is a heading; COCO's keypoints; Detectron's and COCO Annotator's
    what["categories"].insert(0, {"id": 0, "name": "animals", "supercategory": "none"})
    what["info"], what["licenses"], what["videos"] = None, [], {}
    for annotation in what["annotations"]:
        annotation |= {
            "keypoints": [0, 0, 0],
            "num_keypoints": 0,
            "bbox_mode": 1,
            "metadata": {},
            "isbbox": False,
            "area": None,
            "attributes": {"color": "blue", "size": 5, "\ud800": "x", "kind": "\ud800", "": "y"},
        }
    one = by_color(coco_images(save(what), tmp_path))["one"]
    assert names_of(one) == ["dog", "traffic light"]
    assert dict(one.objects[0].attributes) == {"color": "blue"}


def test_nothing_valid_is_lost_among_much_that_is_broken(save: Save, tmp_path: Path) -> None:
    """Broken values at random places of half of the annotations: the other half is all there."""
    rng = random.Random(0)
    junk = [None, True, -1, 1e30, NAN, "x", "\ud800", [], {}, [[]], [NAN], {"a": [1]}, 10**30]
    for seed in range(30):
        what = content()
        what["images"] = what["images"][:2]
        good = []
        what["annotations"] = []
        for number in range(40):
            entry: dict[str, Any] = {
                "id": number,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [number % 30, number // 2, 4, 4],
                "segmentation": [],
            }
            if rng.random() < 0.5:
                key = rng.choice(["image_id", "category_id", "iscrowd", "bbox", "segmentation"])
                entry[key] = rng.choice(junk)
            else:
                good.append(tuple(entry["bbox"]))
            what["annotations"].append(entry)
        pictures = coco_images(save(what), tmp_path, seed=seed)
        found = by_color(pictures)["one"]
        boxes = set()
        for thing in found.objects:
            rows, cols = thing.mask.nonzero()
            boxes.add((cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1))
        assert boxes >= set(good)
        listed = sum(pictures.report.counts.values())
        assert len(found.objects) + listed >= 40


def test_the_report_lists_each_place_once_and_few_in_a_line(save: Save, tmp_path: Path) -> None:
    what = content()
    for number in range(5):
        what["annotations"].append(
            {"id": f"\ud800{number}", "image_id": 1, "category_id": 1, "bbox": [-9, -9, 1, 1]}
        )
    pictures = coco_images(save(what), tmp_path)
    assert not any("no pixel" in line for line in pictures.report.lines)  # not read yet
    for _ in range(2):
        list(pictures[:1]), list(pictures[1:])
    (line,) = [own for own in pictures[:1].report.lines if "no pixel" in own]
    assert ": 5 (annotations[4], id" in line and line.endswith("…)") and line.count(";") == 3
    line.encode()
    assert len(pictures.report.places[line.split(": 5")[0]]) == 5
