"""Batches from tokenized examples: padding, attention mask, labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llavit_lens.training.conversations import IGNORE, Encoded


def pad_examples(examples: Sequence[Encoded], pad_token_id: int) -> dict[str, Tensor]:
    """Right-padded `input_ids`, `attention_mask`, `labels`, each [batch, longest]."""
    longest = max(len(e.input_ids) for e in examples)

    def padded(rows: list[list[int]], value: int) -> Tensor:
        return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

    return {
        "input_ids": padded([e.input_ids for e in examples], pad_token_id),
        "attention_mask": padded([[1] * len(e.input_ids) for e in examples], 0),
        "labels": padded([e.labels for e in examples], IGNORE),
    }
