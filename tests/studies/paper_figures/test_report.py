"""analyses/figure_1.py to figure_6.py on tiny models: what they draw, write and refuse."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image
from programs import ANALYSES, Program
from tiny import tiny_image, tiny_llavit, tiny_processor, tiny_vision_config
from transformers import AutoModelForImageTextToText, AutoProcessor

from llavit_lens.figures.labels import percent
from llavit_lens.figures.legible import escaped
from llavit_lens.figures.style import HIGHLIGHT, RIGHT
from llavit_lens.miniature.world.scenes import example_truth
from llavit_lens.studies.paper_figures import report as paper_figures
from llavit_lens.studies.paper_figures.report import figure_report, parse_patches

pytestmark = pytest.mark.long

NUMBERS = (1, 3, 4, 5, 6)
SCENE = "crown-north-kite"


def save_tiny(folder: Path, side: int, seed: int) -> None:
    """A tiny checkpoint that sees `side` x `side` patches of 7 x 7 pixels."""
    processor = tiny_processor()
    processor.image_processor.size = {"shortest_edge": 7 * side}
    processor.image_processor.crop_size = {"height": 7 * side, "width": 7 * side}
    processor.save_pretrained(folder)
    vision = tiny_vision_config(image_size=7 * side)
    model = tiny_llavit(seed=seed, vision_config=vision, image_seq_length=side**2)
    with torch.no_grad():  # with the usual initialization all words would be equally likely
        model.lm_head.weight.normal_(0, 0.5)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints `baseline` and `llavit` on the grid of the scenes, `coarse`, and pictures."""
    place = tmp_path_factory.mktemp("paper")
    for seed, (name, side) in enumerate((("baseline", 8), ("llavit", 8), ("coarse", 4))):
        save_tiny(place / name, side, seed)
    tiny_image(width=120, height=90).save(place / "noise.png")
    tiny_image(seed=1, width=70, height=90).save(place / "tall.png")
    return place


@pytest.fixture
def models(folder: Path) -> dict[str, list[str]]:
    return {"baselines": [str(folder / "baseline")], "models": [str(folder / "llavit")]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a report would write: `figure` and `data`."""
    kept: dict[str, Any] = {}

    def keep(name: str, figure: Figure, data: dict[str, Any], out: Path) -> None:
        kept.update(name=name, figure=figure, data=data)

    monkeypatch.setattr(paper_figures, "write_figure", keep)
    return kept


def readings(data: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(patch, reading) of a figure, in the order in which they are drawn."""
    return [
        (patch, reading)
        for picture in data["pictures"]
        for patch in picture["patches"]
        for reading in patch["readings"]
    ]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_data_holds_what_is_drawn(
    number: int, folder: Path, models: dict[str, list[str]], drawn: dict[str, Any], tmp_path: Path
) -> None:
    images = [folder / "noise.png", folder / "tall.png"]
    relevant = ["a,b,c,d,e,o,i,s,the,image", "left"]
    figure_report(number, images, [SCENE], **models, relevant=relevant, out=tmp_path)
    assert drawn["name"] == f"figure_{number}"
    texts = drawn["figure"].texts
    said = [text.get_text() for text in texts]
    at = 0
    for _, reading in readings(drawn["data"]):
        by_rank = {word["rank"]: word for word in reading["top"]}
        assert len(reading["drawn_ranks"]) == (2 if number in (1, 3) else 3)
        for rank in reading["drawn_ranks"]:
            word = by_rank[rank]
            assert word["drawn_as"] == escaped(word["text"])
            expected = [word["drawn_as"]]
            if number in (4, 5, 6):
                cosine = reading["measure"] == "cosine"
                value = f"{word['value']:.3f}" if cosine else percent(word["value"])
                expected = [str(rank), *expected, value]
            # words stand in the order of the readings, patch by patch
            at = next(i for i in range(at, len(said)) if said[i : i + len(expected)] == expected)
            text = texts[at + (len(expected) > 1)]
            outline = text.get_bbox_patch()
            assert (outline is not None) == (word["relevant"] is True)
            assert outline is None or to_hex(outline.get_edgecolor()) == RIGHT
            at += len(expected)
    names = [str(p["number"]) for picture in drawn["data"]["pictures"] for p in picture["patches"]]
    assert names == [str(i + 1) for i in range(len(names))]
    boxes = [t.get_text() for ax in drawn["figure"].axes for t in ax.texts]
    assert boxes == names  # the numbers on the pictures
    for note in drawn["data"]["notes"]:
        assert note in drawn["figure"].caption
        assert re.sub(r"\s", "", note) not in re.sub(r"\s", "", "".join(said))
    assert not any("Figure" in text for text in said)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_papers_layout_has_its_number_and_its_marks(
    number: int, folder: Path, models: dict[str, list[str]], drawn: dict[str, Any], tmp_path: Path
) -> None:
    words = ["a,b,c,d,e,o,i,s,the,image"]
    image = [folder / "noise.png"]
    figure_report(number, image, **models, relevant=words, out=tmp_path, paper_layout=True)
    texts = drawn["figure"].texts
    assert texts[0].get_text().startswith(f"Figure {number}. ")
    key = next(text for text in texts if text.get_text() == "word")
    if number == 3:
        assert key.get_weight() == "bold" and "Bold: in the list" in drawn["figure"].caption
    else:
        assert to_hex(key.get_bbox_patch().get_facecolor()) == HIGHLIGHT
        assert "Yellow: in the list" in drawn["figure"].caption


def test_values_are_those_of_naive_code(
    folder: Path, models: dict[str, list[str]], drawn: dict[str, Any], tmp_path: Path
) -> None:
    """Eq. 4 and the softmax of the model's own logits, in float64, without this package's lens."""
    figure_report(
        4, [folder / "noise.png"], patches=["0,0 3,5 -1,-1"], **models, out=tmp_path, prompt="What?"
    )
    data = drawn["data"]
    assert [(p["row"], p["col"]) for p in data["pictures"][0]["patches"]] == [
        (0, 0),
        (3, 5),
        (7, 7),
    ]
    for described in data["models"]:
        name = described["name"]
        model = AutoModelForImageTextToText.from_pretrained(name).eval()
        processor = AutoProcessor.from_pretrained(name)
        with Image.open(folder / "noise.png") as image:
            inputs = processor(
                images=image, text=described["prompt"], return_tensors="pt",
                return_mm_token_type_ids=True,
            )  # fmt: skip
        with torch.no_grad():
            result = model(**inputs, output_hidden_states=True)
        visual = (inputs["input_ids"][0] == model.config.image_token_index).nonzero().flatten()
        v = result.hidden_states[0][0, visual].double().numpy()
        w = model.get_input_embeddings().weight.detach().double().numpy()
        lengths = np.linalg.norm(v, axis=1)[:, None] * np.linalg.norm(w, axis=1)
        cosines = v @ w.T / np.where(lengths > 0, lengths, 1)  # the padding token is all zeros
        shares = result.logits[0, visual].double().softmax(-1).numpy()
        checked = 0
        for patch, reading in readings(data):
            if reading["model"] != name:
                continue
            table = cosines if reading["measure"] == "cosine" else shares
            row = table[patch["row"] * 8 + patch["col"]]
            best = np.argsort(-row, kind="stable")[:3]
            assert [word["id"] for word in reading["top"]] == best.tolist()
            for word, token in zip(reading["top"], best, strict=True):
                assert word["value"] == pytest.approx(row[token], rel=2e-5, abs=1e-7)
                text = processor.tokenizer.decode([int(token)])
                assert word["text"].strip() == text.strip()
            checked += 1
        assert checked == 6


@pytest.mark.parametrize("number", NUMBERS)
def test_the_same_bytes_again(
    number: int, folder: Path, models: dict[str, list[str]], tmp_path: Path
) -> None:
    for run in ("a", "b"):
        figure_report(number, [folder / "noise.png"], **models, out=tmp_path / run)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"figure_{number}.{suffix}" for suffix in ("json", "pdf", "png")]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert b"CreationDate" not in (tmp_path / "a" / f"figure_{number}.pdf").read_bytes()
    with Image.open(tmp_path / "a" / f"figure_{number}.png") as picture:
        assert picture.width > 700


def test_the_same_bytes_in_another_process(
    folder: Path, models: dict[str, list[str]], tmp_path: Path
) -> None:
    figure_report(5, [], [SCENE], **models, out=tmp_path / "here")
    (baseline,), (model,) = models["baselines"], models["models"]
    options = ["--scene", SCENE, "--baseline", baseline, "--model", model]
    command = [sys.executable, ANALYSES / "figure_5.py", *options, "--out", tmp_path / "there"]
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    subprocess.run(command, env=environment, check=True, timeout=300, capture_output=True)
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name


def test_scenes_are_judged_by_their_truth(
    models: dict[str, list[str]], drawn: dict[str, Any], tmp_path: Path
) -> None:
    figure_report(6, [], [SCENE], **models, out=tmp_path)
    truth = example_truth(SCENE)
    patches = drawn["data"]["pictures"][0]["patches"]
    assert len(patches) == 4
    for patch in patches:
        assert patch["relevant_words"] == sorted(truth.words(patch["row"], patch["col"]))
        top, left = 14 * patch["row"], 14 * patch["col"]
        assert patch["box"] == pytest.approx([left, top, left + 14, top + 14])
    assert "true of the thing or background on the patch" in drawn["data"]["notes"][0]
    kinds = {truth.thing(patch["row"], patch["col"]) for patch in patches}
    assert kinds == {*truth.scene.things, None}  # each thing, and the background


def test_without_a_list_nothing_is_judged(
    folder: Path, models: dict[str, list[str]], drawn: dict[str, Any], tmp_path: Path
) -> None:
    figure_report(5, [folder / "noise.png"], **models, out=tmp_path)
    assert {w["relevant"] for _, r in readings(drawn["data"]) for w in r["top"]} == {None}
    assert "not known" in drawn["data"]["notes"][0]


def test_each_picture_may_have_its_own_pair(
    folder: Path, drawn: dict[str, Any], tmp_path: Path
) -> None:
    pairs = [("baseline", "llavit"), ("coarse", "coarse")]
    images = [folder / "noise.png"] * 2
    baselines, models = ([str(folder / pair[i]) for pair in pairs] for i in range(2))
    with pytest.raises(paper_figures.ConfigurationError, match="two models and another has one"):
        figure_report(3, images, (), baselines, models, out=tmp_path)
    save_tiny(tmp_path / "other", 4, 5)
    models[1] = str(tmp_path / "other")
    figure_report(3, images, (), baselines, models, out=tmp_path)
    found = [picture["models"] for picture in drawn["data"]["pictures"]]
    assert found == [list(pair) for pair in zip(baselines, models, strict=True)]
    assert [picture["grid"] for picture in drawn["data"]["pictures"]] == [[[8, 8]], [[4, 4]]]


@pytest.mark.parametrize("number", (3, 5))
def test_models_that_are_called_alike_are_told_apart(
    number: int, folder: Path, drawn: dict[str, Any], tmp_path: Path
) -> None:
    paths = [tmp_path / f"{kind}-seed0" / "model" for kind in ("baseline", "llavit")]
    for path, name in zip(paths, ("baseline", "llavit"), strict=True):
        path.parent.mkdir()
        path.symlink_to(folder / name)
    baseline, model = map(str, paths)
    figure_report(number, [folder / "noise.png"], (), [baseline], [model], out=tmp_path)
    titles = [described["drawn_as"] for described in drawn["data"]["models"]]
    assert titles == ["baseline-seed0/model", "llavit-seed0/model"]
    said = [text.get_text() for text in drawn["figure"].texts]
    assert "model" not in said and all(any(t[:8] in text for text in said) for t in titles)
    note = re.sub(r"\s", "", drawn["data"]["notes"][2])
    assert re.sub(r"\s", "", f"{titles[0]} is {baseline}, {titles[1]} is {model}") in note


def test_a_layer_between_is_called_so(
    folder: Path, models: dict[str, list[str]], drawn: dict[str, Any], tmp_path: Path
) -> None:
    figure_report(4, [folder / "noise.png"], **models, layer=1, out=tmp_path)
    assert {r["place"] for _, r in readings(drawn["data"])} == {"input", "layer 1"}
    assert any("Layer 1, llavit" in text.get_text() for text in drawn["figure"].texts)


def test_places() -> None:
    assert parse_patches("3,5 0,-2") == [(3, 5, None), (0, -2, None)]
    assert parse_patches(" 3,5,1") == [(3, 5, 1)]


MISTAKES = {
    "missing file": (["--image", "{folder}/none.png"], "none.png"),
    "missing model": (["--image", "{folder}/noise.png", "--model", "{folder}/none"], "none"),
    "outside": (
        ["--image", "{folder}/noise.png", "--patches", "3,5 8,0"],
        "noise.png: there is no patch at row 8, column 0: the grid has 8 rows",
    ),
    "twice": (["--image", "{folder}/noise.png", "--patches", "7,5 -1,5"], "named twice"),
    "no place": (["--image", "{folder}/noise.png", "--patches", "3;5"], "like '3,5 0,2'"),
    "other grid": (
        ["--image", "{folder}/noise.png", "--model", "{folder}/coarse"],
        "coarse sees 4 x 4 patches and {folder}/baseline 8 x 8; models side by side",
    ),
    "no truth": (
        ["--scene", SCENE, "--baseline", "{folder}/coarse", "--model", ""],
        "is that of 8 x 8 patches, and {folder}/coarse sees others",
    ),
    "no scene": (["--scene", "nowhere"], "nowhere: no such example scene"),
    "words for a scene": (["--scene", SCENE, "--relevant", "dog"], "scenes have their truth"),
    "too many lists": (
        ["--image", "{folder}/noise.png", "--relevant", "a", "--relevant", "b"],
        "--relevant is given 2 times for 1 image",
    ),
    "no model": (["--image", "{folder}/noise.png", "--model", "", "--baseline", ""], "no model"),
    "layer": (["--image", "{folder}/noise.png", "--layer", "9"], "there is no layer 9"),
    "dtype": (["--image", "{folder}/noise.png", "--dtype", "int8"], "dtype 'int8'"),
    "out": (["--image", "{folder}/noise.png", "--out", "{folder}/noise.png"], "cannot write"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_give_one_line(
    mistake: str,
    folder: Path,
    tmp_path: Path,
    script: Program,
) -> None:
    arguments, message = MISTAKES[mistake]
    given = [argument.format(folder=folder) for argument in arguments]
    for option, default in (("--baseline", "baseline"), ("--model", "llavit")):
        if option not in given:
            given += [option, str(folder / default)]
    if "--out" not in given:
        given += ["--out", str(tmp_path)]
    code, _, error = script("figure_5.py", *given)
    assert code == 2 and error.count("\n") == 1
    assert message.format(folder=folder) in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", NUMBERS)
def test_the_scripts_have_defaults(
    number: int,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: Program,
) -> None:
    """The demo's models on two scenes; tiny ones stand in for them."""
    asked = []

    def stand_in(name: str, **options: Any) -> Any:
        asked.append(name)
        return load(str(folder / name.removeprefix("demo:")), **options)

    load = paper_figures.load
    monkeypatch.setattr(paper_figures, "load", stand_in)
    code, printed, _ = script(f"figure_{number}.py", "--out", tmp_path)
    assert code == 0
    both = ["demo:baseline", "demo:llavit"]
    assert asked == (both if number in (3, 5, 6) else both[:1])
    data = json.loads((tmp_path / f"figure_{number}.json").read_text())
    assert len(data["pictures"]) == 2 and len(readings(data)) == 16
    assert str(tmp_path / f"figure_{number}.png") in printed.replace("\n", "")
