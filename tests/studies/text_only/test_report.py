"""analyses/text_only.py, end to end, with a base LLM that is known to answer as the baseline."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from programs import Program
from tiny import tiny_text_config
from transformers import AutoModelForCausalLM

import llavit_lens as ll
from llavit_lens.studies.text_only.text_model import plain_decoder
from llavit_lens.studies.text_only.text_questions import text_questions

pytestmark = pytest.mark.long

SCRIPT = "text_only.py"


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The baseline's decoder as a language model, without and with a tokenizer; and another."""
    folder = tmp_path_factory.mktemp("bases")
    vlm = ll.load("demo:baseline")
    for name in ("bare", "own"):
        plain_decoder(vlm).save_pretrained(folder / name)
    vlm.tokenizer.save_pretrained(folder / "own")
    AutoModelForCausalLM.from_config(tiny_text_config()).save_pretrained(folder / "tiny")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("base", ["bare", "own"])
def test_base_and_baseline_with_the_same_weights_answer_alike(
    base: str, bases: dict[str, Path], tmp_path: Path, script: Program
) -> None:
    options = ["--base", bases[base], "--documents", "4", "--out", tmp_path / "new"]
    code, printed, said = script(SCRIPT, *options)
    assert code == 0, said
    assert (
        printed.count("differ by at most 0") == 2 or " ".join(printed.split()).count("most 0.") == 2
    )
    table = pd.read_csv(tmp_path / "new" / "text_only.csv")
    models = list(dict.fromkeys(table["model"]))
    assert models == [str(bases[base]), "demo:baseline", "demo:llavit"]
    same, baseline, llavit = (table[table["model"].eq(name)].reset_index() for name in models)
    assert (same["value"] == baseline["value"]).all() and (baseline["change"] == 0).all()
    assert (baseline["value"] != llavit["value"]).any()
    for suffix in (".png", ".pdf"):
        assert (tmp_path / "new" / f"text_only{suffix}").stat().st_size > 9000


def test_own_questions(tmp_path: Path, script: Program) -> None:
    file = tmp_path / "questions.jsonl"
    asked = [("what is a dog ?", "mammal", "kinds"), ("2 + 2 ?", "four", None), ("?", "yes", None)]
    rows = [{"question": q, "answer": a, **({"category": c} if c else {})} for q, a, c in asked]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    options = ["--baseline", "", "--questions", file, "--out", tmp_path]
    assert script(SCRIPT, *options)[0] == 0
    table = pd.read_csv(tmp_path / "text_only.csv").query("measure == 'nll'")
    assert dict(zip(table["category"], table["n"], strict=True)) == {
        "all": 3, "kinds": 1, "questions": 2,
    }  # fmt: skip


def test_questions_about_passages_are_the_same_every_time() -> None:
    found = text_questions(12, 3)
    assert found == text_questions(12, 3) != text_questions(12, 4)
    assert len({one.group for one in found}) == 12
    assert all(one.question.endswith("?") and one.answer for one in found)
    by_group = {one.group: one.category for one in found}
    assert all(by_group[one.group] == one.category for one in found)
    assert any("\n" in one.question for one in found)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--documents", "1"], "intervals need at least 2"),
        (["--model", "demo:nothing", "--baseline", ""], "no such demo checkpoint"),
        (["--questions", "nowhere.jsonl"], "no such file"),
        (["--documents", "2", "--base", "nowhere"], "nowhere: there is no such folder"),
        (["--documents", "2", "--base", "{tiny}"], "has no tokenizer, and its vocabulary"),
    ],
)
def test_mistakes_give_one_line(
    wrong: list[str], message: str, bases: dict[str, Path], script: Program
) -> None:
    code, _, said = script(SCRIPT, *(text.format(**bases) for text in wrong))
    assert code != 0
    assert message in said and "Traceback" not in said


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[1]",
        '{"question": "a"}',
        '{"question": "a", "answer": 4}',
        '{"question": "a", "answer": "..."}',
    ],
)
def test_a_line_that_is_no_question_is_named(line: str, tmp_path: Path, script: Program) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "a", "answer": "b"}\n' + line)
    code, _, said = script(SCRIPT, "--questions", file)
    assert code != 0 and "line 2: is not an object" in said
