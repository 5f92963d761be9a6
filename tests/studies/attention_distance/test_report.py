"""analyses/attention_distance.py, end to end; its table against the library."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fonts import needs_font
from programs import Program
from tiny import tiny_image
from tiny_vlm import tiny_vlm

from llavit_lens.studies.attention_distance.measure import MEASURES, attention_distances
from llavit_lens.studies.attention_distance.table import distance_table

pytestmark = pytest.mark.long

SCRIPT = "attention_distance.py"
SCENES = Path(__file__).parents[3] / "llavit_lens" / "assets" / "scenes"


def test_the_table_is_the_mean_over_all_patches() -> None:
    """Pictures that have other numbers of patches weigh by them."""
    vlm = tiny_vlm("llavit")
    found = [attention_distances(vlm, tiny_image(seed)) for seed in range(4)]
    table = distance_table("tiny", found).set_index(["measure", "layer", "head"])
    for kind, measure in enumerate(MEASURES):
        sums = sum(one.sums[kind] for one in found) / (4 * 16)
        for head in range(4):
            row = table.loc[(measure, 1, head)]
            assert row["value"] == pytest.approx(sums[1, head])
            assert row["low"] <= row["value"] <= row["high"] and row["n"] == 4
    of_all = table.reset_index().query("measure == 'visual' and layer == 1 and head.isna()")
    expected = sum(one.sums[2, 1].mean() for one in found) / sum(one.tokens for one in found)
    assert of_all["value"].item() == pytest.approx(expected)


def test_pictures_and_folders(tmp_path: Path, script: Program) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        tiny_image(number).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.png").write_bytes(b"\x89PNG")
    out = tmp_path / "out"
    more = SCENES / "kite-moon.png"
    options = ["--image", folder, "--image", more, "--out", out]
    code, printed, said = script(SCRIPT, *options)
    assert code == 0, said
    assert "left out" in said and "broken.png" in said and "notes.txt" not in said
    assert said.count("left out") == 1
    table = pd.read_csv(out / "attention_distance.csv")
    assert list(dict.fromkeys(table["model"])) == ["demo:baseline", "demo:llavit"]
    assert set(table["n"]) == {3}
    assert "demo:baseline" in printed and "demo:llavit" in printed
    assert all((out / f"attention_distance{end}").stat().st_size > 9000 for end in (".png", ".pdf"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert script(SCRIPT, *options)[0] == 0
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}


@needs_font
def test_one_model_on_scenes(script: Program) -> None:
    code, printed, _ = script(SCRIPT, "--baseline", "", "--scenes", "2")
    assert code == 0 and "demo:llavit" in printed and "demo:baseline" not in printed


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--scenes", "1"], "1 image: intervals need at least 2"),
        (["--scenes", "-3"], "0 image"),
        (["--image", str(SCENES / "kite-moon.png")], "at least 2"),
        (["--image", "nowhere.png", "--image", "no.png"], "nowhere.png: no such file"),
        (["--model", "demo:nothing"], "demo:nothing"),
        (["--model", "demo:no_visual_attention", "--baseline", ""], "attend to nothing"),
    ],
)
def test_mistakes_give_one_line(wrong: list[str], message: str, script: Program) -> None:
    code, _, said = script(SCRIPT, *wrong)
    assert code != 0
    assert message in said and "Traceback" not in said
