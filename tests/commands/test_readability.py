"""`llavit-lens readability`, end to end on tiny models and a COCO-style file."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from programs import Program
from rich.console import Console
from tiny import tiny_image, tiny_llavit, tiny_processor

from llavit_lens.disk import read_json
from llavit_lens.evaluation.labelled import coco_file

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny models, and eight labelled pictures of noise."""
    place = tmp_path_factory.mktemp("readability")
    for name, seed in (("one", 0), ("two", 1)):
        tiny_llavit(seed=seed).save_pretrained(place / name)
        tiny_processor().save_pretrained(place / name)
    names = ("red", "blue circle", "zebra")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(8):
        tiny_image(number, 60, 50).save(place / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 60, "height": 50})
        for left, category in zip((0, 30), rng.permutation(3)[:2], strict=True):
            annotations.append(
                {"image_id": number, "category_id": int(category), "bbox": [left, 5, 25, 30]}
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (place / "coco.json").write_text(json.dumps(content))
    (place / "words.json").write_text('{"zebra": ["square"]}')
    (place / "bad.json").write_text('{"zebra": "square"}')
    return place


@pytest.fixture
def run(folder: Path, command: Program, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs `llavit-lens readability` in the folder."""
    monkeypatch.chdir(folder)
    return partial(command, "readability")


COCO = ("--coco", "coco.json", "--images", ".")


def test_tables_and_pictures_of_two_models(
    run: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ("--model", "one", "--model", "two")
    sizes = ("--scenes", 5, "--probe", 3, "--words", "words.json")
    files = ("table.csv", "table.parquet", "picture.png", "picture.pdf")
    outs = [part for name in files for part in ("--out", name)]
    code, out, err = run(*models, *COCO, *sizes, *outs)
    assert code == 0, err
    assert "5 images of coco.json" in out and "several tokens" in out and "zebra" in out
    table = pd.read_csv(folder / "table.csv")
    assert ",".join(table.columns) == "model,measure,layer,k,value,low,high,chance,n,images"
    assert set(table["model"]) == {
        name + end for name in ("one", "two") for end in ("", " (untrained)")
    }
    assert {"hit", "name_lift", "localisation", "leak_object", "probe"} <= set(table["measure"])
    assert set(table.loc[table["model"].str.endswith(")"), "measure"]).isdisjoint({"probe"})
    again = pd.read_parquet(folder / "table.parquet")
    pd.testing.assert_frame_equal(table, again, check_dtype=False)
    with Image.open(folder / "picture.png") as picture:
        assert picture.width > 1000 and picture.height > 700
    first = (folder / "picture.pdf").read_bytes()
    monkeypatch.setattr(Console, "width", 80)
    code, out, _ = run(*models, *COCO, *sizes, "--out", "picture.pdf")
    assert "…" not in out and all(name in out for name in ("name@1", "leak@3", "probe"))
    assert code == 0 and (folder / "picture.pdf").read_bytes() == first


def test_the_file_is_read_once(run: Program, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((folder / "coco.json").read_text())
    for annotation in content["annotations"]:
        annotation["attributes"] = {"color": "red"}
        annotation["bbox"][3] = 29  # of which the other color is blue
    (folder / "colors.json").write_text(json.dumps(content))
    (folder / "red").mkdir()
    for image in content["images"]:
        Image.new("RGB", (60, 50), "red").save(folder / "red" / image["file_name"])
    paths = []

    def read(path: Path, **limits: Any) -> Any:
        paths.append(path.name)
        return read_json(path, **limits)

    monkeypatch.setattr(coco_file, "read_json", read)
    sizes = ("--scenes", 6, "--probe", 2, "--no-floor")
    files = ("--coco", "colors.json", "--images", "red", "--out", "once.csv")
    code, _, err = run("--model", "one", *files, *sizes)
    assert code == 0, err
    assert paths == ["colors.json"]
    assert "recolour_switch" in set(pd.read_csv(folder / "once.csv")["measure"])


def test_floor_and_probe_can_be_left_out(run: Program, folder: Path) -> None:
    code, _, err = run(
        "--model", "one", *COCO, "--scenes", 8, "--probe", 0, "--no-floor", "--out", "small.csv"
    )
    assert code == 0, err
    table = pd.read_csv(folder / "small.csv")
    assert set(table["model"]) == {"one"} and "probe" not in set(table["measure"])


def test_a_picture_that_cannot_be_read_is_named(run: Program, folder: Path) -> None:
    content = json.loads((folder / "coco.json").read_text())
    content["images"][3]["file_name"] = "gone.png"
    (folder / "gone.json").write_text(json.dumps(content))
    sizes = ("--scenes", 8, "--probe", 0, "--no-floor")
    code, out, err = run("--model", "one", "--coco", "gone.json", "--images", ".", *sizes)
    assert code == 0 and "7 images of gone.json" in out
    assert err.count("left out") == 1 and "gone.png: no such file" in err


def test_what_is_left_out_of_labels_is_told_in_a_line_each(run: Program, folder: Path) -> None:
    content = json.loads((folder / "coco.json").read_text())
    for number in range(5):
        content["annotations"] += [
            {"image_id": number, "category_id": 0, "bbox": [-50, -50, 10, 10]},
            {"image_id": number, "category_id": "\ud800", "bbox": [0, 0, 10, 10]},
        ]
    (folder / "partly.json").write_text(json.dumps(content))
    sizes = ("--scenes", 2, "--probe", 6, "--no-floor")  # pictures of the probe as well
    code, out, err = run("--model", "one", "--coco", "partly.json", "--images", ".", *sizes)
    assert code == 0 and "2 images of partly.json" in out
    assert err.startswith("The probe, which is the ceiling, reads 6 other images for each model: 3")
    told = [line for line in err.splitlines() if line.startswith("labels: ")]
    assert len(told) == 2 and all("left out" in line and ": 5 (" in line for line in told)
    assert "no category" in told[0] and "no pixel" in told[1]


def test_annotations_of_stored_pixels(run: Program, folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "coco.json").read_text())
    exif = Image.Exif()
    exif[0x0112] = 3
    for image in content["images"]:
        with Image.open(folder / image["file_name"]) as picture:
            picture.transpose(Image.Transpose.ROTATE_180).save(
                tmp_path / image["file_name"], exif=exif
            )
    for annotation in content["annotations"]:  # 60 x 50 pixels, turned by half
        left, top, width, height = annotation["bbox"]
        annotation["bbox"] = [60 - left - width, 50 - top - height, width, height]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    sizes = ("--model", "one", "--scenes", 8, "--probe", 0, "--no-floor")
    stored = ("--coco", tmp_path / "coco.json", "--images", tmp_path, "--orientation", "stored")
    code, _, err = run(*sizes, *stored, "--out", tmp_path / "stored.csv")
    assert code == 0 and "EXIF" not in err
    assert run(*sizes, *COCO, "--out", tmp_path / "upright.csv")[0] == 0
    assert (tmp_path / "stored.csv").read_text() == (tmp_path / "upright.csv").read_text()
    with pytest.warns(UserWarning, match="orientation='stored'"):
        code, _, err = run(*sizes, *stored[:-2], "--out", tmp_path / "wrong.csv")
    assert code == 0 and "labels: images turned by their EXIF orientation" in err
    assert (tmp_path / "wrong.csv").read_text() != (tmp_path / "upright.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images", "."), "belong to --coco"),
        (("--orientation", "stored"), "belong to --coco"),
        (("--coco", "coco.json"), "needs --images"),
        ((*COCO, "--scenes", "7", "--probe", "2"), "has 8 images with objects"),
        ((*COCO, "--scenes", "2", "--probe", "2", "--words", "bad.json"), "bad.json"),
        ((*COCO, "--scenes", "2", "--probe", "2", "--words", "none.json"), "none.json"),
        ((*COCO, "--scenes", "2", "--probe", "0", "--out", "table.txt"), "table.txt"),
        ((*COCO, "--scenes", "2", "--probe", "0", "--out", "no/where.csv"), "no/where.csv"),
        (("--coco", "none.json", "--images", "."), "none.json"),
    ],
)
def test_mistakes_give_one_line(run: Program, arguments: tuple, message: str) -> None:
    code, _, err = run("--model", "one", "--no-floor", *arguments)
    assert code == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("llavit-lens: error:") and message in last and "Traceback" not in err
