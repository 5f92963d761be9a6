"""The benchmark of the lens runs, compares what it should and says when words differ."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import typer
from torch import Tensor
from typer.testing import CliRunner

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[2] / "benchmarks"
NAMES = ("lens", "lens_memory", "lens_ways", "model")
WORDS, WIDTH = 600, 32


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """Its files import one another by name, as they do when one of them is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        lens = importlib.import_module("lens")
        lens.SHAPES["tiny"] = (WORDS, WIDTH)
        tiny = {"vocab_size": 64, "hidden_size": 48, "num_hidden_layers": 2}
        lens.model_benchmark.MODELS["tiny"] = {
            **lens.model_benchmark.MODELS["qwen2.5-1.5b"],
            **tiny,
            "intermediate_size": 96,
            "num_attention_heads": 4,
        }
        yield lens
    for name in NAMES:
        sys.modules.pop(name, None)


def run(benchmark: ModuleType, *arguments: str) -> Any:
    app = typer.Typer()
    app.command()(benchmark.main)
    threads = torch.get_num_threads()
    try:
        return CliRunner().invoke(app, ["--shape", "tiny", "--rows", "32", *arguments])
    finally:
        torch.set_num_threads(threads)


def test_it_measures_and_writes(benchmark: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "lens.json"
    options = ["--quick", "--threads", "1", "--forward", "tiny", "--json", str(out)]
    result = run(benchmark, *options)
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert json.loads(result.output.splitlines()[-1]) == report
    for way in benchmark.WAYS:
        assert way in result.output
    assert report["ids_equal"] is True
    assert report["fast_vs_materialise"] > 0 and report["exact_vs_matmul"] > 0
    assert 0 <= report["extra_mb_fast"] < 200
    assert report["machine"]["processor"]
    assert report["forward"]["states"] == 3 and report["forward"]["lens_vs_forward"] > 0
    (case,) = report["cases"]
    assert (case["words"], case["width"], case["rows"]) == (WORDS, WIDTH, 32)
    assert case["timed_rows"]["exact"] == 32
    assert case["rows_redone"][1] == case["timed_rows"]["fast, forced"]


@pytest.mark.parametrize("way", ["exact", "materialised"])
def test_it_notices_another_word(
    benchmark: ModuleType, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong id in one row of one way; of the two equal words one is as good as the other."""
    case = benchmark.random_case(WORDS, WIDTH, 32, 1, torch.float32, "cpu")
    case.weight[7] = case.weight[9]
    monkeypatch.setattr(benchmark, "memory", lambda *_: dict.fromkeys(MEMORY, 0.0))
    assert benchmark.measure(case, True).ids_equal
    right = benchmark.WAYS[way]

    def wrong(hidden_ND: Tensor, case: Any) -> Any:
        found = right(hidden_ND, case)
        ids = found if isinstance(found, Tensor) else found.ids
        ids[3, 0] = (ids[3, 0] + 1) % WORDS
        return found

    monkeypatch.setitem(benchmark.WAYS, way, wrong)
    assert not benchmark.measure(case, True).ids_equal


MEMORY = ("extra_mb", "kept_mb", "first_seconds")


def test_memory_is_measured_and_not_computed(benchmark: ModuleType) -> None:
    """Full logits of 64 rows x 100,000 words are 25 MB, and their softmax as much again."""
    case = benchmark.random_case(100_000, 8, 64, 1, torch.float32, "cpu")
    assert 40 < sys.modules["lens_memory"].measured("materialised", case)["extra_mb"] < 90


def test_words_that_float32_cannot_tell_apart_are_the_same(benchmark: ModuleType) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, WIDTH, generator=generator)
    hidden = torch.randn(1, WIDTH, generator=generator)
    weight[1] = weight[0] * (1 + 2**-23)
    one, other = torch.tensor([[0, 1]]), torch.tensor([[1, 0]])
    assert benchmark.same_words(one, other, hidden, weight)
    weight[1] = weight[0] * 1.001
    assert not benchmark.same_words(one, other, hidden, weight)


@pytest.mark.parametrize(
    "wrong", [("--shape", "gpt"), ("--dtype", "int8"), ("--device", "cuda:99"), ("--forward", "x")]
)
def test_what_it_does_not_know_is_refused(
    benchmark: ModuleType, wrong: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "measure", lambda *_: pytest.fail("it has begun"))
    result = run(benchmark, *wrong)
    assert result.exit_code == 2
    assert wrong[1] in result.output
