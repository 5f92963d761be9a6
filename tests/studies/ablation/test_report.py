"""analyses/visual_attention_ablation.py, end to end, on two small scenes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest
from fonts import needs_font
from PIL import Image

SCRIPT = Path(__file__).parents[3] / "analyses" / "visual_attention_ablation.py"


@needs_font
def test_the_script_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--scenes", "2", "--window", "6", "--out", str(tmp_path / "new")]
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, *arguments])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "new" / "visual_attention_ablation.csv")
    assert set(table["model"]) == {"demo:baseline", "demo:llavit", "demo:no_visual_attention"}
    for name in set(table["model"]):
        assert name in printed
    trained = table[table["model"].eq("demo:no_visual_attention")]
    assert set(trained["condition"]) == {"as trained"}
    for suffix in (".png", ".pdf"):
        assert (tmp_path / "new" / f"visual_attention_ablation{suffix}").stat().st_size > 10_000
    with Image.open(tmp_path / "new" / "visual_attention_ablation.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--scenes", "1"), "at least 2 scenes"),
        (("--model", "demo:nothing"), "demo:nothing"),
        (("--scenes", "2", "--window", "9"), "--window 9"),
    ],
)
def test_mistakes_give_one_line(
    wrong: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, *wrong])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stopped.value.code != 0
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
