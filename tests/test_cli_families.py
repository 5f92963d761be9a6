"""`llavit-lens lens` on models of other families, and on those that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from family_cases import CASES
from programs import Program
from tiny import tiny_image


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tiny_image(width=90, height=60).save(tmp_path / "noise.png")
    return tmp_path


def write(name: str, folder: Path) -> Path:
    CASES[name].model().save_pretrained(folder)
    CASES[name].processor().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["qwen2_5_vl", "gemma3"])
def test_words_of_a_family(name: str, place: Path, command: Program) -> None:
    folder = write(name, place / name)
    read = ("lens", place / "noise.png", "--model", folder, "-k", 2)
    code, out, err = command(*read)
    assert (code, err) == (0, "")
    assert "patches" in out and "│     4 │" in out
    assert command(*read, "--out", place / "words.png")[0] == 0
    assert (place / "words.png").stat().st_size > 1000


@pytest.mark.parametrize("out", ["words.png", "words.html"])
def test_tokens_without_a_map_are_not_drawn(out: str, place: Path, command: Program) -> None:
    folder = write("idefics2", place / "idefics2")
    read = ("lens", place / "noise.png", "--model", folder, "--out")
    code, _, err = command(*read, place / out)
    assert code == 2 and "Traceback" not in err and not (place / out).exists()
    assert "with --out words.csv, or leave --out out" in " ".join(err.split())
    assert command(*read, place / "words.csv")[0] == 0


def test_one_line_for_what_cannot_be_read(place: Path, command: Program) -> None:
    folder = write("qwen2_5_vl", place / "x")
    config = (folder / "config.json").read_text("utf-8")
    for fields, expected in [
        ({"model_type": "florence2"}, "a florence2 model reads the image in an encoder"),
        ({"model_type": "no_such_type"}, "its configuration cannot be loaded"),
        ({**json.loads(config), "image_token_id": 17}, "do not belong together"),
    ]:
        (folder / "config.json").write_text(json.dumps(fields), "utf-8")
        code, out, err = command("lens", place / "noise.png", "--model", folder)
        assert code == 2 and out == ""
        assert expected in " ".join(err.split()) and "Traceback" not in err
