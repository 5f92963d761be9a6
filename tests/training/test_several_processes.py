"""Nobody trains alone without being told: several processes and devices are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn
from transformers import TrainingArguments

from llavit_lens.errors import ConfigurationError
from llavit_lens.training.trainer import RecipeTrainer

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).with_name("several_processes.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.mark.parametrize(
    ("launcher", "ways"),
    [(TORCHRUN, ()), ((), ("accelerate", "group", "later"))],
    ids=["torchrun", "others"],
)
def test_two_processes_are_refused_however_they_are_started(
    launcher: tuple[str, ...], ways: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, *launcher, str(SCRIPT), str(tmp_path), *ways]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = [line for line in finished.stdout.splitlines() if "RecipeTrainer" in line]
    wanted = "refused: RecipeTrainer does not share gradients, so it cannot train with 2 processes"
    assert [line[: line.index(": start")] for line in lines] == [
        f"{way}: {wanted}" for way in ways or ("torchrun",) for _ in range(2)
    ], finished.stdout + finished.stderr


def trainer(folder: Path, model: nn.Module | None = None, n_gpu: int = 0) -> RecipeTrainer:
    args = TrainingArguments(str(folder), use_cpu=True, report_to=[])
    args._n_gpu = n_gpu  # as many as are visible, on a machine with GPUs
    return RecipeTrainer(model or nn.Linear(2, 2), args)


def test_one_process_is_not_refused(tmp_path: Path) -> None:
    assert trainer(tmp_path, n_gpu=1).args.world_size == 1


def test_several_gpus_of_one_process_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot train with 2 GPUs: .*VISIBLE_DEVICES"):
        trainer(tmp_path, n_gpu=2)


def test_a_model_that_is_wrapped_already_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="wrapped for several devices"):
        trainer(tmp_path, nn.DataParallel(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("plugin", "name"), [("is_deepspeed_enabled", "DeepSpeed"), ("is_fsdp_enabled", "FSDP")]
)
def test_engines_that_wrap_the_model_are_refused(
    plugin: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a configuration would switch them on, in one process too."""
    original = RecipeTrainer.create_accelerator_and_postprocess

    def with_engine(self: Any) -> None:
        original(self)
        setattr(self, plugin, True)

    monkeypatch.setattr(RecipeTrainer, "create_accelerator_and_postprocess", with_engine)
    with pytest.raises(ConfigurationError, match=f"cannot train with {name}: "):
        trainer(tmp_path)
