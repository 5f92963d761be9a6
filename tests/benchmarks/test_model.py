"""The model benchmark runs, counts right and writes what it printed."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import typer
from typer.testing import CliRunner

pytestmark = pytest.mark.long

FILE = Path(__file__).parents[2] / "benchmarks" / "model.py"
WIDTH, LAYERS, VISUAL = 48, 2, 32


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_model", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    module.MODELS["tiny"] = {
        **module.MODELS["qwen2.5-1.5b"],
        "vocab_size": 64,
        "hidden_size": WIDTH,
        "intermediate_size": 96,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
    }
    return module


def run(benchmark: ModuleType, *arguments: str) -> object:
    app = typer.Typer()
    app.command()(benchmark.main)
    return CliRunner().invoke(app, arguments)


def test_it_measures_and_writes(benchmark: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "m.json"
    settings = ["--layers", "0", "--tokens", str(VISUAL), "--repeats", "2", "--new-tokens", "2"]
    result = run(benchmark, "--model", "tiny", *settings, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "LLaViT" in result.output
    report = json.loads(out.read_text())
    assert (report["layers"], report["dtype"]) == (LAYERS, "float32")
    (entry,) = report["results"]
    assert entry["visual_tokens"] == VISUAL
    variants = {(v["name"], v["attention"]): v for v in entry["variants"]}
    llava, masked, in_runs = (
        variants["LLaVA", "sdpa"],
        variants["LLaViT", "sdpa"],
        variants["LLaViT", "llavit_sdpa"],
    )
    assert llava["linear_flops"] == masked["linear_flops"] == in_runs["linear_flops"] > 0
    hidden = 4 * WIDTH * VISUAL  # bytes of one state of the visual tokens
    assert all(v["peak_bytes"] > hidden for v in variants.values())
    # Two products of 2 * width operations for each pair of tokens.
    before, after = benchmark.TEXT_BEFORE, benchmark.TEXT_AFTER
    length = before + VISUAL + after
    per_pair = 4 * WIDTH * LAYERS
    assert llava["attention_flops"] == masked["attention_flops"] == per_pair * length**2
    calls = before**2 + VISUAL * (before + VISUAL) + after * length
    assert in_runs["attention_flops"] == per_pair * calls
    extra = masked["needed_attention_flops"] - llava["needed_attention_flops"]
    assert extra == per_pair * VISUAL * (VISUAL - 1) // 2
    for variant in variants.values():
        assert len(variant["forward_seconds"]) == len(variant["generate_seconds"]) == 2
        assert min(variant["forward_seconds"]) > 0


@torch.no_grad()
def test_all_models_hold_the_same_weights_once(benchmark: ModuleType) -> None:
    models = benchmark.build(benchmark.MODELS["tiny"], "cpu", torch.float32)
    llavit = models.pop("LLaViT")
    shared = dict(llavit.named_parameters())
    embeddings = torch.randn(1, 7, WIDTH)
    text_only = {"mm_token_type_ids": torch.zeros(1, 7, dtype=torch.long)}
    got = llavit(inputs_embeds=embeddings, **text_only).logits
    assert len(models) == 2
    for model in models.values():
        for name, parameter in model.named_parameters():
            assert parameter.data_ptr() == shared[name].data_ptr(), name
        assert (model(inputs_embeds=embeddings).logits - got).abs().max() <= 1e-6


@pytest.mark.parametrize(
    "wrong",
    [
        ("--model", "gpt-2"),
        ("--dtype", "int8"),
        ("--device", "foo"),
        ("--device", "meta"),
        ("--device", "cuda:99"),
        ("--out", "nope/x.json"),
    ],
)
def test_what_it_does_not_know_is_refused(
    benchmark: ModuleType, wrong: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "build", lambda *_: pytest.fail("it has begun"))
    result = run(benchmark, *wrong)
    assert result.exit_code == 2
    assert wrong[1] in result.output


def test_it_says_whether_a_target_is_met(benchmark: ModuleType) -> None:
    def variant(name: str, attention: str, seconds: float) -> object:
        return benchmark.Variant(name, attention, forward_seconds=[seconds, seconds])

    for seconds, met in ((1.04, "sdpa: met"), (1.06, "sdpa: not met")):
        variants = [
            variant("LLaVA", "sdpa", 1.0),
            variant("LLaViT", "sdpa", seconds),
            variant("LLaViT", "llavit_sdpa", 0.9),
        ]
        line = benchmark.verdict(variants, 576)
        assert met in line and f"sdpa ×{seconds:.3f}, llavit_sdpa ×0.900" in line
