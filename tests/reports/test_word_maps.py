"""analyses/word_maps.py, end to end, on two small scenes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest
from fonts import needs_font

SCRIPT = Path(__file__).parents[2] / "analyses" / "word_maps.py"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, *arguments])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return int(stopped.value.code or 0)


@needs_font
def test_the_script_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--scenes", "2", "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
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
def test_mistakes_give_one_line(
    wrong: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *wrong) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
