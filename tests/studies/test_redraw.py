"""--table draws a saved table again, and refuses what is no such table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from programs import Program

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPTS = {
    "visual_attention_ablation": "ablation.csv",
    "attention_distance": "analyses/attention_distance.csv",
    "visual_qkv_drift": "analyses/visual_qkv_drift.csv",
    "visual_qkv_undone": "analyses/visual_qkv_undone.csv",
    "text_only": "analyses/text_only.csv",
    "word_maps": "analyses/word_maps.csv",
}


@pytest.mark.long
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_saved_table_is_drawn_again(name: str, tmp_path: Path, script: Program) -> None:
    table = DOCS / SCRIPTS[name]
    code, printed, said = script(f"{name}.py", "--table", table, "--out", tmp_path)
    assert code == 0, said
    assert f"{name}.png and .pdf" in " ".join(printed.split())
    with Image.open(tmp_path / f"{name}.png") as image:
        assert len(image.text["Description"]) > 100 and image.text["Title"]
    assert {p.suffix for p in tmp_path.iterdir()} == {".png", ".pdf"}  # no table is written


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "has no column 'model'"),
        ("", "cannot be read as a table"),
        ("model,category,measure,n,value,low,high,change,change_low,change_high\n", "is empty"),
        (
            "model,category,measure,n,value,low,high,change,change_low,change_high\n"
            "m,all,accuracy,1,many,0,1,0,0,0\n",
            "its column 'value' holds no numbers",
        ),
        (
            "model,category,measure,n,value,low,high,change,change_low,change_high\n"
            "m,all,other,1,0.5,0,1,0,0,0\n",
            "is not the whole table that text_only wrote",
        ),
    ],
)
def test_another_table_is_refused_in_one_line(
    content: str, message: str, tmp_path: Path, script: Program
) -> None:
    file = tmp_path / "table.csv"
    file.write_text(content)
    code, _, said = script("text_only.py", "--table", file, "--out", tmp_path / "out")
    assert code == 2 and message in " ".join(said.split()) and "Traceback" not in said


def test_a_figure_needs_a_folder(script: Program) -> None:
    table = DOCS / "analyses" / "text_only.csv"
    code, _, said = script("text_only.py", "--table", table)
    assert code == 2 and "--out FOLDER" in said


def test_tables_of_the_documentation_have_their_scenes() -> None:
    for file in ("ablation.csv", "analyses/visual_qkv_undone.csv", "analyses/word_maps.csv"):
        assert set(pd.read_csv(DOCS / file)["scenes"]) == {200}
