"""One training run of the miniature: a schedule, and Trainer set up for small models on a CPU."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainingArguments

from llavit_lens.disk import has_file, read_json, write_text_atomically
from llavit_lens.errors import ConfigurationError
from llavit_lens.training.run_folder import last_checkpoint
from llavit_lens.training.trainer import RecipeTrainer


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; learning rates by part of a parameter's name, cosine with warm-up."""

    steps: int
    batch: int
    learning_rate: float
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    warmup: float = 0.04
    weight_decay: float = 0.0
    beta2: float = 0.98


def has_fast_bf16() -> bool:
    """Whether bf16 matrix products pay off here: a GPU, or a CPU with instructions for them."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    cpu = torch.cpu.get_capabilities()
    return bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16"))


class TrainingHistory(NamedTuple):
    """How a training went.

    Attributes:
        minutes: it took, those up to the last checkpoint before an interruption among them.
        losses: means over equal parts of the run, from the first to the last.
    """

    minutes: float
    losses: list[float]


def run(
    model: nn.Module,
    data: Dataset,
    collate: Callable[[list], dict[str, Any]],
    folder: Path,
    schedule: Schedule,
    name: str,
    checkpoints: int = 10,
) -> TrainingHistory:
    """Train `model` in place on `data` in its order; continue from `folder`'s last checkpoint."""
    print(f"-- {name}: {schedule.steps} steps of {schedule.batch}", flush=True)
    part = max(1, schedule.steps // checkpoints)
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=schedule.steps,
        per_device_train_batch_size=schedule.batch,
        learning_rate=schedule.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=schedule.warmup,
        weight_decay=schedule.weight_decay,
        adam_beta2=schedule.beta2,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        use_cpu=not torch.cuda.is_available(),
        bf16=has_fast_bf16(),
        save_steps=part,
        save_total_limit=1,
        logging_steps=part,  # as often as checkpoints: a resumed run forgets what it has not logged
        report_to=[],
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        use_cache=True,  # of the saved model; the loss itself asks for none
        seed=0,
    )
    clock = _Clock(folder / "minutes.json")
    trainer = RecipeTrainer(
        model,
        args,
        train_dataset=data,
        data_collator=collate,
        learning_rates=schedule.learning_rates,
        callbacks=[clock],
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    # mixed precision wraps `forward`; the caller's model gets its own back
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    model.eval()
    losses = [round(step["loss"], 4) for step in trainer.state.log_history if "loss" in step]
    return TrainingHistory(clock.minutes, losses)


class _Clock(TrainerCallback):
    """Minutes of training up to the last checkpoint: what is lost after it is done again."""

    def __init__(self, file: Path) -> None:
        self.file, self.minutes, self.since = file, 0.0, time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step and has_file(self.file):
            minutes = read_json(self.file)
            if type(minutes) not in (int, float):
                raise ConfigurationError(f"{self.file}: is not a number of minutes; delete it")
            self.minutes = minutes
        self.since = time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.monotonic()
        self.minutes, self.since = self.minutes + (now - self.since) / 60, now
        write_text_atomically(self.file, json.dumps(self.minutes))

    on_train_end = on_save
