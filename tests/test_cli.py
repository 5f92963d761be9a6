"""The command line, end to end on tiny models: files, tables, and one line for each mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from programs import ANALYSES, Program
from tiny import (
    PINPOINTS,
    tiny_config_arguments,
    tiny_image,
    tiny_llavit,
    tiny_processor,
    tiny_tile_processor,
)

from llavit_lens.commands import input_similarity
from llavit_lens.commands import score as score_command
from llavit_lens.commands import word_tables as lens_words
from llavit_lens.errors import CheckpointError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.typed_numbers import parse_patch
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM

DEPTH = tiny_config_arguments()["text_config"].num_hidden_layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny checkpoints (`llavit`, `baseline`) and a picture."""
    place = tmp_path_factory.mktemp("cli")
    for name, seed in (("llavit", 0), ("baseline", 1)):
        tiny_llavit(seed=seed).save_pretrained(place / name)
        tiny_processor().save_pretrained(place / name)
    tiny_image(width=120, height=90).save(place / "noise.png")
    return place


def test_lens_prints_the_words_of_every_layer(command: Program, folder: Path) -> None:
    code, out, err = command("lens", folder / "noise.png", "--model", folder / "llavit", "-k", 2)
    assert code == 0 and err == ""
    rows = re.findall(r"│\s+(\d) │ .*?│\s+([\d.]+) │", out)
    assert [int(row[0]) for row in rows] == list(range(DEPTH + 1))
    assert "of 16 patches" in out


def test_lens_prints_words_by_token_where_tokens_are_no_patches(
    command: Program, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepare = VLM.prepare

    def without_map(vlm: VLM, *args: Any) -> Prompt:
        prompt = prepare(vlm, *args)
        queries = VisualLayout.without_map(prompt.layout.positions, prompt.layout.image_size)
        return replace(prompt, layouts=(queries,))

    monkeypatch.setattr(VLM, "prepare", without_map)
    read = ("lens", folder / "noise.png", "--model", folder / "llavit")
    code, out, err = command(*read)
    assert code == 0 and err == ""
    assert "16 visual tokens, no patches: each reads the whole image" in out
    assert [f"layer {n}" in out for n in range(DEPTH + 1)].count(True) == 3  # ends and middle
    assert len(re.findall(r"^│ +\d+ │", out, re.M)) == 16
    assert "layer 1" in command(*read, "--layers", "1")[1]
    code, _, err = command(*read, "--out", tmp_path / "words.png")
    assert code == 2 and "there is no map to draw: write a table with --out words.csv" in err
    assert command(*read, "--out", tmp_path / "words.csv")[0] == 0


def test_check_layout_prints_each_painted_token_and_ends_with_1_if_one_is_wrong(
    command: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ("check-layout", folder / "noise.png", "--model", "demo:llavit", "--tokens", 4)
    code, out, err = command(*read)
    assert code == 0 and err == ""
    assert "ok: each of 4 painted boxes changed its own token most" in " ".join(out.split())
    assert len(re.findall(r"%", out)) == 5
    prepare = VLM.prepare

    def turned(vlm: VLM, *args: Any) -> Prompt:
        prompt = prepare(vlm, *args)
        boxes = prompt.layout.boxes[::-1].copy()
        return replace(prompt, layouts=(replace(prompt.layout, boxes=boxes),))

    monkeypatch.setattr(VLM, "prepare", turned)
    code, out, err = command(*read)
    assert code == 1 and err == ""
    assert "WRONG: 4 of 4 painted boxes changed another token most" in " ".join(out.split())


@pytest.mark.long
def test_lens_draws_two_models(command: Program, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "words.png"
    both = ("--model", folder / "llavit", "--baseline", folder / "baseline")
    code, printed, _ = command(
        "lens", folder / "noise.png", *both, "--layers", "0,-1", "--out", out
    )
    assert code == 0 and str(out) in printed.replace("\n", "")
    single = tmp_path / "one.png"
    command("lens", folder / "noise.png", *both[:2], "--layers", "0,-1", "--out", single)
    with Image.open(out) as two, Image.open(single) as one:
        assert two.width == one.width and two.height > 1.6 * one.height


@pytest.mark.long
def test_lens_draws_the_tile_that_is_asked_for(
    command: Program, folder: Path, tmp_path: Path
) -> None:
    tiles = {"image_aspect_ratio": "anyres", "image_grid_pinpoints": PINPOINTS}
    tiny_llavit(**tiles).save_pretrained(tmp_path / "tiled")
    tiny_tile_processor("flat").save_pretrained(tmp_path / "tiled")
    drawn = {}
    for tile in ("0", "1", "grid", None):
        out = tmp_path / f"{tile}.png"
        chosen = () if tile is None else ("--tile", tile)
        where = ("--model", tmp_path / "tiled", "--layers", "-1", "--out", out)
        code, _, err = command("lens", folder / "noise.png", *where, *chosen)
        assert code == 0, err
        drawn[tile] = out.read_bytes()
    assert drawn[None] == drawn["0"]
    assert len(set(drawn.values())) == 3
    png = ("--layers", "-1", "--out", tmp_path / "words.png")
    for model, options, message in [
        (tmp_path / "tiled", (*png, "--tile", "9"), "there is no tile 9: the image has tiles 0 to"),
        (tmp_path / "tiled", (*png, "--tile", "all"), "is neither a number nor 'grid'"),
        (tmp_path / "tiled", ("--tile", "1"), "--tile chooses what a figure shows"),
        (folder / "llavit", (*png, "--tile", "grid"), "there is no tile grid: the image has one"),
    ]:
        code, _, err = command("lens", folder / "noise.png", "--model", model, *options)
        assert code == 2 and message in err and err.count("\n") == 1
    assert not (tmp_path / "words.png").exists()


@pytest.mark.parametrize(("suffix", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_lens_writes_tables(
    command: Program, folder: Path, tmp_path: Path, suffix: str, read: Any
) -> None:
    out = tmp_path / f"words.{suffix}"
    models = ("--model", folder / "llavit", "--baseline", folder / "baseline")
    code, _, _ = command("lens", folder / "noise.png", *models, "-k", 2, "--out", out)
    table = read(out)
    assert code == 0
    assert len(table) == 2 * (DEPTH + 1) * 16 * 2  # models, layers, patches, ranks
    assert list(table.model.unique()) == [str(folder / "baseline"), str(folder / "llavit")]
    assert set(table.lens) == {"logit_lens"} and table.probability.between(0, 1).all()


def test_lens_writes_a_page_of_two_models(command: Program, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "view.html"
    models = ("--model", folder / "llavit", "--baseline", folder / "baseline")
    code, printed, _ = command("lens", folder / "noise.png", *models, "-k", 2, "--out", out)
    assert code == 0 and "The page is" in printed
    (data,) = re.findall(r'id="data">(.*?)</script>', out.read_text("utf-8"))
    still = json.loads(data)["still"]
    assert [Path(pane["name"]).name for pane in still["panes"]] == ["baseline", "llavit"]
    for pane in still["panes"]:
        assert [slot["short"] for slot in pane["slots"]] == ["cos", *map(str, range(DEPTH + 1))]
        assert pane["k"] == 2 and pane["truth"] is None
    assert still["difference"]


def test_lens_writes_a_page_of_an_example_with_its_truth(command: Program, tmp_path: Path) -> None:
    out = tmp_path / "view.html"
    code, _, err = command("lens", "example:kite-moon", "--layers", "0,4", "--out", out)
    assert code == 0, err
    (data,) = re.findall(r'id="data">(.*?)</script>', out.read_text("utf-8"))
    (pane,) = json.loads(data)["still"]["panes"]
    assert [slot["short"] for slot in pane["slots"]] == ["cos", "0", "4"] and pane["truth"]


def test_tokens_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    words = types.SimpleNamespace(
        kind="logit_lens",
        layers=[0],
        ids=np.array([[[0], [1], [1]]]),
        values=np.zeros((1, 3, 1)),
        strings={0: "[red]\x1b[31m", 1: "\n"},
        layout=types.SimpleNamespace(on_image=np.ones(3, dtype=bool), has_map=True),
    )
    lens_words.print_frequent("[bold]m", words, 5)  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert r"\n (2)  [red]\u001b[31m (1)" in out and "[bold]m, logit lens" in out


def test_mistakes_are_one_line_and_exit_code_2(
    command: Program, folder: Path, tmp_path: Path
) -> None:
    good = folder / "noise.png"
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:-2000])
    here = ("--model", folder / "llavit")
    for arguments, message in [
        (("lens", tmp_path / "none.png", *here), "none.png"),
        (("lens", tmp_path / "text.png", *here), "text.png"),
        (("lens", tmp_path / "cut.png", *here), "cut.png"),
        (("lens", good, "--model", "demo:nothing"), "demo:nothing"),
        (("lens", good, "--model", tmp_path), str(tmp_path)),
        (("lens", good, *here, "--layers", "9"), "layer 9"),
        (("lens", good, *here, "--layers", "1;2"), "1;2"),
        (("lens", good, *here, "-k", "1000000"), "1000000"),
        (("lens", good, *here, "--out", tmp_path / "words.doc"), ".png"),
        (("lens", good, *here, "--out", tmp_path / "no" / "words.png"), "no folder"),
        (("lens", good, *here, "--out", tmp_path / "no" / "view.html"), "no folder"),
        (("lens", good, *here, "--tile", "1", "--out", tmp_path / "view.html"), "--tile"),
        (("demo", "draw", "--out", "demo.doc"), ".png"),
    ]:
        code, out, err = command(*arguments)
        assert code == 2, arguments
        assert err.startswith("llavit-lens: error: ") and err.count("\n") == 1, err
        assert message in err and out == "" and "Traceback" not in err


def test_more_words_than_there_are_is_said_before_a_model_is_loaded(
    command: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lens_words, "load", lambda name: pytest.fail("loaded"))
    models = ("--model", folder / "llavit", "--baseline", folder / "baseline")
    code, _, err = command("lens", folder / "noise.png", *models, "-k", 100_000)
    assert code == 2 and "-k 100000: the vocabulary of " in err and err.count("\n") == 1


def test_too_many_layers_for_a_picture(command: Program, folder: Path, tmp_path: Path) -> None:
    many = "0,1,2,3,0,1,2"
    arguments = ("--model", folder / "llavit", "--layers", many, "--out", tmp_path / "w.png")
    code, _, err = command("lens", folder / "noise.png", *arguments)
    assert code == 2 and "7 layers" in err and not (tmp_path / "w.png").exists()


@pytest.mark.parametrize(
    "arguments", [["lens"], ["--nonsense"], ["demo", "train"], ["lens", "x", "-k", "0"]]
)
def test_usage_errors_exit_2(command: Program, arguments: list[str]) -> None:
    code, _, err = command(*arguments)
    assert code == 2 and "Usage" in err


def test_a_fault_of_ours_is_one_line_unless_it_is_looked_for(
    command: Program, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(lens_words, "load", fail)
    code, _, err = command("lens", folder / "noise.png")
    assert code == 1 and err.count("\n") == 1
    assert "ZeroDivisionError: a bug" in err and "export LLAVIT_LENS_DEBUG=1" in err
    monkeypatch.setenv("LLAVIT_LENS_DEBUG", "1")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        command("lens", folder / "noise.png")


def test_messages_of_several_lines_become_one(
    command: Program, folder: Path, monkeypatch: Any
) -> None:
    def fail(*_: object) -> None:
        raise CheckpointError("first\n  second")

    monkeypatch.setattr(lens_words, "load", fail)
    assert command("lens", folder / "noise.png")[2] == "llavit-lens: error: first second\n"


def _record(monkeypatch: pytest.MonkeyPatch, module: str, name: str, answer: object) -> list[Any]:
    """Put a module with one function in place of the real one; returns the calls it gets."""
    calls: list[Any] = []

    def function(*args: object, **options: object) -> object:
        calls.append((args, options))
        return answer

    fake = types.ModuleType(module)
    setattr(fake, name, function)
    monkeypatch.setitem(sys.modules, module, fake)
    return calls


def test_demo_score(command: Program, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ("hit3", "chance3", "name3", "name_chance3", "background3", "newline1")
    row = {"layer": 0, **dict.fromkeys(columns, 0.25)}
    scores = {
        "layers": [row, {**row, "layer": 1, "hit3": 0.125}],
        "input_similarity": dict.fromkeys(columns, 0.5),
        "accuracy": {"vision_centric": 0.75},
        "guess": {"vision_centric": 0.19},
        "best_layer": row,
    }
    calls = []

    def score_model(*arguments: object) -> object:
        calls.append(arguments)
        return scores

    monkeypatch.setattr(score_command, "score_model", score_model)
    arguments = ("demo", "score", "--model", folder / "llavit", "--scenes", 7, "--seed", 3)
    code, out, _ = command(*arguments, "--json")
    assert code == 0 and json.loads(out) == scores
    (vlm, count, seed) = calls[0]
    assert (vlm.name, count, seed) == (str(folder / "llavit"), 7, 3)
    table = command(*arguments)[1]
    for shown in ("0.125", "0.750", "0.190", "hit@3", "other scenes: 0"):
        assert shown in table


def test_demo_train(command: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = tmp_path / "model"
    calls = _record(monkeypatch, "llavit_lens.miniature.recipe.train", "train_demo", done)
    arguments = ("--variant", "separate_qkv", "--seed", 5, "--out", tmp_path, "--preset", "gpu")
    code, out, _ = command("demo", "train", *arguments)
    assert code == 0 and str(done) in out
    assert calls == [
        (("separate_qkv", 5, tmp_path), {"preset": "gpu", "shared": None, "anew": False})
    ]
    assert command("demo", "train", "--variant", "other", "--out", tmp_path)[0] == 2


def test_demo_draw(command: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _record(monkeypatch, "llavit_lens.commands.demo", "draw_demo", None)
    code, _, _ = command("demo", "draw", "--out", tmp_path / "d.png", "--scene", "zoo")
    assert code == 0 and calls == [((tmp_path / "d.png", "zoo"), {})]


@pytest.mark.long
@pytest.mark.parametrize("script", ["logit_lens", "input_similarity"])
def test_analyses_draw(folder: Path, tmp_path: Path, script: str) -> None:
    out = tmp_path / f"{script}.png"
    models = ["--model", str(folder / "llavit"), "--baseline", str(folder / "baseline")]
    command = [sys.executable, str(ANALYSES / f"{script}.py"), "--image", str(folder / "noise.png")]
    done = subprocess.run(
        [*command, *models, "--out", str(out)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with Image.open(out) as picture:
        picture.load()
        assert picture.width > 1000


def test_input_similarity_of_chosen_patches(
    command: Program, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(input_similarity, "write_files", lambda contents: None)
    monkeypatch.setattr(
        input_similarity, "draw_selected_patches", lambda *a, **o: drawn.update(o, found=a[0])
    )
    picture, model = folder / "noise.png", str(folder / "llavit")
    input_similarity.input_similarity_report(
        picture, model, k=2, out=tmp_path / "x.png", patches=[parse_patch("1,-2")]
    )
    assert drawn["patches"] == [(1, -2)]
    (name, before, after) = drawn["found"][0]
    assert (name, before.kind, before.layers, after.layers) == (
        model,
        "input_similarity",
        [0],
        [DEPTH],
    )
    # without a choice: patches of different top words
    input_similarity.input_similarity_report(picture, model, k=2, out=tmp_path / "x.png")
    tops = [after.at(-1, *patch)[0].id for patch in drawn["patches"]]
    assert 0 < len(tops) == len(set(tops)) <= input_similarity.MOST_PATCHES


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("--model", ["--model", "demo:baseline"]),
        ("--scenes", ["--scenes", "5"]),
        ("--coco", ["--coco", "table.csv"]),
        ("--probe", ["--probe", "0"]),
        ("--floor", ["--no-floor"]),
    ],
)
def test_what_has_no_effect_beside_a_table_is_refused(
    command: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("a\n1\n")
    code, _, err = command("readability", "--table", "table.csv", "--out", "a.png", *options)
    assert code == 2 and err.count("\n") == 1
    assert f"{name} has no effect beside --table" in err
