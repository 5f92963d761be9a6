"""analyses/word_maps.py, end to end, on two small scenes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fonts import needs_font
from programs import Program

pytestmark = pytest.mark.long


@needs_font
def test_the_script_prints_and_writes(tmp_path: Path, script: Program) -> None:
    code, printed, said = script("word_maps.py", "--scenes", 2, "--out", tmp_path)
    assert code == 0, said
    assert "of the language model (LLM) on words" in " ".join(printed.split())
    assert max(map(len, printed.splitlines()[:-1])) <= 80
    table = pd.read_csv(tmp_path / "word_maps.csv")
    ways = [(model, what) for model in ("demo:baseline", "demo:llavit")
            for what in ("words", "pictures")]  # fmt: skip
    kinds = table.groupby(["category", "kind"])
    for _, rows in kinds:
        assert list(zip(rows["model"], rows["asked_on"], strict=True)) == [
            ("language model", "words"), *ways,
        ]  # fmt: skip
    own = table[table["model"].eq("language model")]
    right, guessed = ((own[what] * own["asked"]).sum() for what in ("value", "guess"))
    assert right > guessed + 0.2 * own["asked"].sum()  # words do answer questions
    for suffix in (".png", ".pdf"):
        assert (tmp_path / f"word_maps{suffix}").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--scenes", "0"), "at least 1 scene"),
        (("--base", "/nowhere"), "/nowhere"),
        (("--model", "demo:nothing"), "demo:nothing"),
        (("--seed", "-1"), "numbered from 0 on"),
    ],
)
def test_mistakes_give_one_line(wrong: tuple[str, ...], message: str, script: Program) -> None:
    code, _, said = script("word_maps.py", *wrong)
    assert code == 2 and message in said and "Traceback" not in said
