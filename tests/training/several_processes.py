"""Starts training in two processes on the CPU; each prints what came of it.

    torchrun --nproc-per-node 2 several_processes.py FOLDER
    python several_processes.py FOLDER accelerate group later

`accelerate`: as accelerate starts them; `group`: with a process group made by hand, or `later`,
after the trainer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import debug_launcher
from torch import distributed
from torch.utils.data import Dataset
from transformers import Qwen2Config, Qwen2ForCausalLM, TrainingArguments

from llavit_lens.errors import ConfigurationError
from llavit_lens.training.trainer import RecipeTrainer


class Numbers(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": torch.arange(4) + index, "labels": torch.arange(4) + index}


def train(rank: int, folder: Path, way: str) -> None:
    """One process. What it prints is one line, so that lines of two do not mix."""

    def make_group() -> None:
        distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/{way}", rank=rank, world_size=2
        )

    sizes = dict.fromkeys(("hidden_size", "intermediate_size", "vocab_size"), 16)
    model = Qwen2ForCausalLM(Qwen2Config(**sizes, num_hidden_layers=1, num_attention_heads=2))
    args = TrainingArguments(
        str(folder / str(rank)), max_steps=2, use_cpu=True, report_to=[], disable_tqdm=True
    )
    try:
        if way == "group":
            make_group()
        trainer = RecipeTrainer(model, args, train_dataset=Numbers())
        if way == "later":
            make_group()
        trainer.train()
        result = "trained"
    except ConfigurationError as error:
        result = f"refused: {error}"
    os.write(1, f"{way}: {result}\n".encode())


def train_as_accelerate_says(folder: Path) -> None:
    train(distributed.get_rank(), folder, "accelerate")


if __name__ == "__main__":
    folder, ways = Path(sys.argv[1]), sys.argv[2:]
    if not ways:
        train(int(os.environ["RANK"]), folder, "torchrun")
    for way in ways:
        if way == "accelerate":
            debug_launcher(train_as_accelerate_says, (folder,), num_processes=2)
        else:
            torch.multiprocessing.start_processes(train, (folder, way), 2, start_method="fork")
