"""analyses/table_1.py and table_3.py, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fonts import needs_font
from programs import Program

from llavit_lens.miniature.world.fingerprint import world_fingerprint
from llavit_lens.studies.tables.paper_accuracy import CATEGORIES, TABLE_3
from llavit_lens.studies.tables.run_result import RunResult, save_result

pytestmark = pytest.mark.long

KINDS = dict(zip(CATEGORIES, ("at", "read_relation", "exist_trait", "exist_kind"), strict=True))


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ((2,) * 5, ("2 seeds each", "over scenes and seeds;", "38 rest on several seeds")),
        ((1,) * 5, ("1 seed each", "scenes alone;", "38 rest on one seed, which decides none")),
        (
            (2, 1, 2, 1, 1),
            ("1 to 2 seeds each", "of one seed over scenes alone;", "4 rest on several seeds",
             "34 rest on one seed"),
        ),
    ],
)  # fmt: skip
def test_results_that_are_there_are_compared_without_training(
    seeds: tuple[int, ...],
    said: tuple[str, ...],
    tmp_path: Path,
    script: Program,
) -> None:
    for number, (variant, own) in enumerate(zip(TABLE_3, seeds, strict=True)):
        for seed in range(own):
            rng = np.random.default_rng([number, seed])
            right = {name: rng.binomial(4, 0.4 + number / 10, 30).tolist() for name in CATEGORIES}
            loss = 1 - np.mean(right["vision_centric"]) / 4
            made = {"losses": {"stage 2": [9.0, 9.0, 9.0, loss]}}
            kinds = {f"{name}, {KINDS[name]}": [sum(right[name]), 120] for name in CATEGORIES}
            run = RunResult(
                variant, seed, world_fingerprint(), made, 7, kinds, right,
                dict.fromkeys(CATEGORIES, [4] * 30), rng.integers(0, 9, (30, 3)).tolist(), [9] * 30,
            )  # fmt: skip
            save_result(run, tmp_path)
    code, printed, _ = script("table_3.py", "--results", tmp_path, "--out", tmp_path / "out")
    assert code == 0
    printed = " ".join(printed.split())
    assert "by guessing" in printed and "47.6 / 50.7" in printed
    assert all(part in printed for part in said), printed
    assert "Training loss in the last fifth of stage 2: baseline 0." in printed
    assert ("vision-centric -1.00" in printed) == (sum(seeds) >= 10)  # few runs would tell nothing
    table = pd.read_csv(tmp_path / "out" / "table_3.csv")
    assert list(dict.fromkeys(table["variant"])) == list(TABLE_3)
    assert tuple(table.groupby("variant", sort=False)["seeds"].first()) == seeds
    for suffix in (".png", ".pdf"):
        assert (tmp_path / "out" / f"table_3{suffix}").stat().st_size > 10_000
        assert (tmp_path / "out" / f"table_3_kinds{suffix}").stat().st_size > 10_000
    kinds = pd.read_csv(tmp_path / "out" / "table_3_kinds.csv")
    assert set(kinds["kind"]) == set(KINDS.values()) and len(kinds) == 4 * len(TABLE_3)


@needs_font
def test_what_is_missing_is_trained_and_evaluated_once(tmp_path: Path, script: Program) -> None:
    arguments = [
        "--results", str(tmp_path / "results"), "--train", str(tmp_path / "runs"),
        "--seeds", "4", "--preset", "smoke", "--scenes", "2",
    ]  # fmt: skip
    code, printed, _ = script("table_1.py", *arguments)
    assert code == 0 and "no visual attn." in printed
    files = sorted((tmp_path / "results").iterdir())
    assert [f.name for f in files] == ["baseline-seed4.json", "no_visual_attention-seed4.json"]
    record = json.loads(files[0].read_text())
    assert record["world"] == world_fingerprint() and record["made"]["preset"] == "smoke"
    assert len(record["patches"]) == 2 and set(record["made"]["versions"]) >= {"torch"}
    written = [f.stat().st_mtime_ns for f in files]
    assert script("table_1.py", *arguments)[0] == 0
    assert [f.stat().st_mtime_ns for f in files] == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "a"], "give numbers from 0 on"),
        (["--results", "/nowhere"], "no result of baseline; train it with --train"),
        (["--train", "runs", "--scenes", "1"], "at least 2 scenes"),
    ],
)
def test_mistakes_give_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: Program,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = script("table_1.py", *arguments)
    assert code == 2 and message in error and "Traceback" not in error
