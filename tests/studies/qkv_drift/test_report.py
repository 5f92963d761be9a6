"""analyses/visual_qkv_drift.py, end to end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from programs import Program
from tiny import tiny_llavit, tiny_processor, tiny_text_config
from transformers import AutoModelForCausalLM

pytestmark = pytest.mark.long

NAME = "visual_qkv_drift"
SCRIPT = f"{NAME}.py"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base LLM, and a Phi-3 LLaViT whose text weights are the base's and one layer's moved."""
    folder = tmp_path_factory.mktemp("models")
    config = tiny_text_config("phi3")
    torch.manual_seed(5)
    base = AutoModelForCausalLM.from_config(config)
    model = tiny_llavit(text_config=config, spread=False)
    model.model.language_model.load_state_dict(base.model.state_dict(), strict=False)
    model.lm_head.load_state_dict(base.lm_head.state_dict())
    for layer in model.model.language_model.layers:
        layer.self_attn.qkv_proj_visual.load_state_dict(layer.self_attn.qkv_proj.state_dict())
    untrained = folder / "untrained"
    model.save_pretrained(untrained)
    with torch.no_grad():
        attention = model.model.language_model.layers[1].self_attn
        attention.qkv_proj_visual.weight[:48] *= 1.5  # the queries
    model.save_pretrained(folder / "llavit")
    for name in ("untrained", "llavit"):
        tiny_processor().save_pretrained(folder / name)
    base.save_pretrained(folder / "base")
    other = AutoModelForCausalLM.from_config(tiny_text_config("phi3", num_key_value_heads=4))
    other.save_pretrained(folder / "wide")
    AutoModelForCausalLM.from_config(tiny_text_config("llama")).save_pretrained(folder / "llama")
    return {path.name: path for path in folder.iterdir()}


def test_the_change_is_where_it_was_made(
    folders: dict[str, Path], tmp_path: Path, script: Program
) -> None:
    options = ["--model", folders["llavit"], "--base", folders["base"], "--out", tmp_path / "o"]
    code, printed, said = script(SCRIPT, *options)
    assert code == 0, said
    table = pd.read_csv(tmp_path / "o" / f"{NAME}.csv")
    assert set(table["pair"]) == {"visual - text", "text - base", "visual - base"}
    where = ["pair", "projection", "layer"]
    moved = table[table["relative"] > 0]
    assert {tuple(row) for row in moved[where].to_numpy()} == {
        (pair, "q", 1) for pair in ("visual - text", "visual - base")
    }
    assert moved["relative"].to_numpy() == pytest.approx(0.5)
    assert table["cosine"].to_numpy() == pytest.approx(1)
    assert sorted(moved["head"].dropna()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert "copies of the text ones: not trained" not in printed and "hardly" not in printed
    assert all((tmp_path / "o" / f"{NAME}{end}").stat().st_size > 9000 for end in (".png", ".pdf"))


def test_untrained_and_unrelated_are_said(folders: dict[str, Path], script: Program) -> None:
    code, printed, _ = script(SCRIPT, "--model", folders["untrained"])
    assert code == 0 and "not trained yet" in " ".join(printed.split())
    torch.manual_seed(9)
    stranger = AutoModelForCausalLM.from_config(tiny_text_config("phi3"))
    place = folders["base"].with_name("stranger")
    stranger.save_pretrained(place)
    code, printed, _ = script(SCRIPT, "--model", folders["llavit"], "--base", place)
    assert code == 0 and "hardly the language model" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--model", "demo:baseline"], "no Q, K and V of their own"),
        (["--model", "demo:nothing"], "no such demo checkpoint"),
        (["--directions", "0"], "choose 1 or more"),
        (["--base", "nowhere"], "nowhere: there is no such folder"),
        (["--base", "{llavit}"], "is a LLaVA; give its plain language model"),
        (["--base", "{llama}"], "is a llama model, but the decoder is a qwen2"),
        (["--model", "{llavit}", "--base", "{wide}"], "does not fit"),
        (["--model", "{base}"], "is no LLaViT"),
    ],
)
def test_mistakes_give_one_line(
    wrong: list[str], message: str, folders: dict[str, Path], script: Program
) -> None:
    code, _, said = script(SCRIPT, *(text.format(**folders) for text in wrong))
    assert code != 0
    assert message in said and "Traceback" not in said


def test_square_brackets_in_a_name_are_no_markup(
    folders: dict[str, Path], tmp_path: Path, script: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folders["llavit"], tmp_path / "[run]" / "[/b]")
    monkeypatch.chdir(tmp_path)
    code, printed, said = script(SCRIPT, "--model", "[run]/[/b]")
    assert code == 0, said
    assert "[run]/[/b]: visual - text" in printed
