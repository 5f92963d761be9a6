"""`llavit-lens convert`: what it prints, and one line for each mistake."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from llava_layouts import reference, write_base, write_hugging_face, write_original, write_projector
from programs import Program
from tiny import tiny_image
from typer.testing import CliRunner

from llavit_lens import cli
from llavit_lens.model.checkpoints.convert import convert
from llavit_lens.vlm.load import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    return write_original(place / "original", reference(), image_aspect_ratio="square")


def test_llavit(command: Program, folder: Path, tmp_path: Path) -> None:
    code, out, err = command("convert", folder, tmp_path / "out", "--vision-feature-layer", "1,2")
    assert (code, err) == (0, "")
    *notes, last = out.splitlines()
    assert last == f"The model is {tmp_path / 'out'}"
    assert len(notes) == 4 and "copies of the text ones" in out and "are zero" in out
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == "llavit" and config["vision_feature_layer"] == [1, 2]
    assert config["separate_visual_qkv"] is True
    assert config["visual_attention"] == "bidirectional"
    assert (
        load(tmp_path / "out", visual_attention="causal").trace(tiny_image(width=30)).hidden.any()
    )


def test_the_current_folder(
    command: Program, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    code, out, err = command("convert", folder, ".", "--vision-feature-layer", "1,2")
    assert (code, err) == (0, "") and str(here) in out and (here / "config.json").is_file()


def test_the_home_folder(
    command: Program, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("~/one", "~/two"):
        if name == "~/one":
            code, out, err = command("convert", folder, name, "--vision-feature-layer", "1,2")
            assert (code, err) == (0, "") and str(tmp_path / "one") in out
        else:
            convert(Path(os.path.relpath(folder)), Path(name), vision_feature_layer=[1, 2])
        assert (tmp_path / name[2:] / "config.json").is_file()
    assert not Path(tmp_path, "~").exists()


def test_switches(command: Program, folder: Path, tmp_path: Path) -> None:
    code, _, _ = command(
        "convert",
        folder,
        tmp_path / "out",
        *("--to", "baseline", "--separate-qkv", "--visual-attention", "none"),
        *("--vision-feature-layer", "-2"),
    )
    config = load(tmp_path / "out").model.config
    assert code == 0
    assert (config.separate_visual_qkv, config.visual_attention) == (True, "none")
    code, _, _ = command(
        "convert", folder, tmp_path / "b", "--to", "separate_qkv", "--no-separate-qkv"
    )
    assert code == 0 and not load(tmp_path / "b").model.config.separate_visual_qkv


def test_parts(command: Program, tmp_path: Path) -> None:
    model = reference()
    projector = write_projector(tmp_path / "projector", model)
    base = write_base(tmp_path / "base", model)
    tower = (tmp_path / "projector-tower").rename(tmp_path / "tower")
    code, out, _ = command(
        "convert",
        projector,
        tmp_path / "out",
        "--to",
        "llava",
        "--base",
        base,
        "--vision-tower",
        tower,
    )
    note, last = out.splitlines()
    assert code == 0 and "is the mean of all others" in note
    assert last == f"The model is {tmp_path / 'out'}"


def test_demo_models_convert_too(command: Program, tmp_path: Path) -> None:
    code, out, _ = command("convert", "demo:baseline", tmp_path / "out", "--to", "separate_qkv")
    assert code == 0 and "copies" in out
    assert load(tmp_path / "out").model.config.separate_visual_qkv


def test_mistakes_are_one_line_and_exit_code_2(
    command: Program, folder: Path, tmp_path: Path
) -> None:
    hf = write_hugging_face(tmp_path / "hf", reference(), "old", "safetensors", 1)
    (hf / "model.safetensors").write_bytes(b"cut")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    out = tmp_path / "out"
    for arguments, message in [
        ((tmp_path / "none", out), "no such folder"),
        (("nobody/none", out), "nobody/none"),
        (("demo:none", out), "no such demo checkpoint"),
        ((tmp_path / "full", out), "no config.json"),
        ((hf, out), "model.safetensors is damaged"),
        ((folder, tmp_path / "full", "--to", "baseline"), "is there already"),
        ((folder, out), "--vision-feature-layer"),
        ((folder, out, "--vision-feature-layer", "deep"), "numbers like -2 or 5,15,23"),
        ((folder, out, "--vision-feature-layer", "9"), "layers 0 to 3"),
        ((folder, out, "--to", "llava", "--separate-qkv"), "has no switches"),
        ((folder, out, "--base", hf), "leave out --base"),
    ]:
        code, printed, err = command("convert", *arguments)
        assert code == 2 and printed == "", arguments
        assert err.startswith("llavit-lens: error: ") and err.count("\n") == 1
        assert message in err
        assert not out.exists()


def test_help_names_every_row() -> None:
    result = CliRunner().invoke(cli.app, ["convert", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for word in ("separate_qkv_local_global", "llava", "--no-separate-qkv", "--base"):
        assert word in result.output
