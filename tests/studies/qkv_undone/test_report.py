"""analyses/visual_qkv_undone.py, end to end, on two small scenes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fonts import needs_font
from programs import Program

pytestmark = pytest.mark.long

SCRIPT = "visual_qkv_undone.py"


@needs_font
def test_the_script_prints_and_writes(tmp_path: Path, script: Program) -> None:
    code, printed, said = script(SCRIPT, "--scenes", 2, "--out", tmp_path)
    assert code == 0, said
    assert "text QKV in 5 " in printed and "text QKV in 0-5" in printed
    table = pd.read_csv(tmp_path / "visual_qkv_undone.csv")
    words = table[table["measure"].eq("hit3")]
    llavit = words[words["model"].eq("demo:llavit")].groupby("first_layer", dropna=False)
    read = {first: list(own.sort_values("state")["value"]) for first, own in llavit}
    trained = next(values for first, values in read.items() if not first >= 0)
    assert len(read) == 7
    for first in range(6):  # what lies before a layer is as trained
        assert read[first][: first + 1] == trained[: first + 1]
    assert set(table[table["model"].eq("demo:baseline")]["condition"]) == {"as trained"}
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"visual_qkv_undone{suffix}").stat().st_size > 10_000


@needs_font
def test_the_report_says_which_projections_are_undone(tmp_path: Path, script: Program) -> None:
    options = ("--projections", "v", "--baseline", "", "--scenes", 2, "--out", tmp_path)
    code, printed, said = script(SCRIPT, *options)
    assert code == 0, said
    assert "text V in 4-5" in printed
    table = pd.read_csv(tmp_path / "visual_qkv_undone.csv")
    assert set(table["condition"]) == {"as trained", "text V"}
    assert set(table["model"]) == {"demo:llavit"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--scenes", "1"), "at least 2 scenes"),
        (("--model", "demo:baseline"), "no projections of its own"),
        (("--baseline", "demo:nothing"), "demo:nothing"),
        (("--projections", "x"), "one or more of 'qkv'"),
    ],
)
def test_mistakes_give_one_line(wrong: tuple[str, ...], message: str, script: Program) -> None:
    code, _, said = script(SCRIPT, *wrong)
    assert code == 2 and message in " ".join(said.split()) and "Traceback" not in said
