"""The benchmark of interventions runs and names each of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {}
    for name in ("model", "ablation"):  # the second imports the first, as it does when it is run
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        modules[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, modules[name])
        spec.loader.exec_module(modules[name])
    tiny = {"vocab_size": 64, "hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 4}
    models = modules["model"].MODELS
    monkeypatch.setitem(models, "tiny", {**models["qwen2.5-1.5b"], **tiny})
    app = typer.Typer()
    app.command()(modules["ablation"].main)
    options = ["--model", "tiny", "--layers", "2", "--tokens", "32", "--repeats", "2"]
    threads = torch.get_num_threads()
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    for row in ("LLaVA", "LLaViT", "Eq. 5, all queries computed", "knockout, verified"):
        assert row in result.output
    assert torch.get_num_threads() == threads
