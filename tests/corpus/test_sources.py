"""COCO-style files, patterns, single images and Python lists as what a scan reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llavit_lens.corpus.sources import source_of
from llavit_lens.errors import ConfigurationError, ImageError, LlavitLensError
from llavit_lens.images.open import open_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cats/2.png", "cats/1.png", "dogs/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    return tmp_path


def test_all_images_of_a_coco_file_in_its_order(folder: Path) -> None:
    names = ["dogs/1.jpg", "cats/2.png", "old/place/1.png", "dogs/1.jpg", "none.png"]
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)] + [{"id": 9}],
        "annotations": [{"image_id": 77}],
        "categories": [],
    }
    (folder / "labels.json").write_text(json.dumps(content))
    images = source_of(folder / "labels.json", folder=folder)
    assert images.names == ["dogs/1.jpg", "cats/2.png", "old/place/1.png", "none.png"]
    assert images.read(1) == folder / "cats" / "2.png"
    assert images.remarks == [
        "images left out, they need an id and a file_name: 1 (images[5], id 9)"
    ]
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        images.read(3)
    cats = source_of(folder / "labels.json", folder=folder / "cats")
    assert cats.read(2) == folder / "cats" / "1.png"  # found without its old folders
    assert source_of(**cats.origin).read(2) == cats.read(2)
    with pytest.raises(ConfigurationError, match="give the folder of its images"):
        source_of(folder / "labels.json")
    content["images"] = []
    (folder / "labels.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="names no images"):
        source_of(folder / "labels.json", folder=folder)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("cats/*.png", ["1.png", "2.png"]),
        ("*/1.*", ["cats/1.png", "dogs/1.jpg"]),
        ("**", ["cats/1.png", "cats/2.png", "dogs/1.jpg"]),
        ("[cd]*", ["cats/1.png", "cats/2.png", "dogs/1.jpg"]),
        ("cats/?.png", ["1.png", "2.png"]),
    ],
)
def test_patterns(folder: Path, pattern: str, names: list[str]) -> None:
    (folder / "cats" / "notes.txt").touch()
    images = source_of(f"{folder}/{pattern}")
    assert images.names == names
    assert [open_image(images.read(i)).size for i in range(len(images))] == [(4, 3)] * len(names)
    assert source_of(**images.origin).fingerprint == images.fingerprint


def test_a_file_that_looks_like_a_pattern_is_a_file(folder: Path) -> None:
    Image.new("RGB", (5, 5)).save(folder / "a[1]{1..2}.png")
    images = source_of(folder / "a[1]{1..2}.png")
    assert images.names == ["a[1]{1..2}.png"] and open_image(images.read(0)).size == (5, 5)


def test_tars_beside_images_are_said(folder: Path) -> None:
    (folder / "a.tar").touch()
    assert source_of(folder).remarks == [
        f"{folder}: 1 .tar files are not read, beside images; name them alone"
    ]


def test_one_image_and_an_example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    image = source_of("cats/1.png")
    monkeypatch.chdir("/")
    assert image.names == ["1.png"] and open_image(image.read(0)).size == (4, 3)
    assert source_of(**image.origin).read(0) == image.read(0)
    example = source_of("example:kite-moon")
    assert example.names == ["example:kite-moon"]
    assert open_image(source_of(**example.origin).read(0)).size == (112, 112)


def test_a_python_list_has_its_own_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    pixels = np.zeros((6, 5, 3), np.uint8)
    given = ["dogs/1.jpg", folder / "cats" / "2.png", pixels, b"no image", "example:kite-moon"]
    images = source_of(given)
    monkeypatch.chdir("/")
    assert images.names == [
        "dogs/1.jpg",
        str(folder / "cats" / "2.png"),
        "image 2",
        "image 3",
        "example:kite-moon",
    ]
    assert [open_image(images.read(i)).size for i in (0, 1, 2, 4)] == [
        (4, 3),
        (4, 3),
        (5, 6),
        (112, 112),
    ]
    assert images.origin == {} and source_of(images) is images
    assert source_of(pixels).names == ["image 0"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "holds no image"),
        (["a.png", "b.png", "a.png"], "in the list twice, at 0 and 2"),
        ([""], "name of an image is empty"),
        (["example:none"], "no such example scene"),
        ("", "empty"),
        ("no such place", "no such file"),
        ("no/*.png", "matches no file"),
        ("https://example.org/a.png", "web addresses are not opened"),
        (iter([]), "iterator"),
        ("a{0..1}.png", r"only names of \.tar files may have braces"),
        ("a\0b", "cannot be used"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(images: object, message: str) -> None:
    with pytest.raises(LlavitLensError, match=message) as error:
        source_of(images)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_options_without_effect_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="takes no column"):
        source_of(folder, column="path")
    with pytest.raises(ConfigurationError, match="takes no folder"):
        source_of([folder / "cats" / "1.png"], folder=folder)
    with pytest.raises(ConfigurationError, match="no such folder"):
        source_of(folder, folder=folder / "none")
