"""analyses/visual_attention_ablation.py, end to end, on two small scenes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fonts import needs_font
from PIL import Image
from programs import Program

pytestmark = pytest.mark.long

SCRIPT = "visual_attention_ablation.py"


@needs_font
def test_the_script_prints_and_writes(tmp_path: Path, script: Program) -> None:
    code, printed, _ = script(SCRIPT, "--scenes", 2, "--window", 6, "--out", tmp_path / "new")
    assert code == 0
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
def test_mistakes_give_one_line(wrong: tuple[str, ...], message: str, script: Program) -> None:
    code, _, error = script(SCRIPT, *wrong)
    assert code != 0 and message in error and "Traceback" not in error
