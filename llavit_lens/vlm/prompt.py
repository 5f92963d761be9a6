"""What a model is given: one prompt about one image, or a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from llavit_lens.errors import printable
from llavit_lens.images.layout import VisualLayout

_OF_TEXT = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
"""Arguments [1, seq]; all others are of the image."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """What a model is given.

    Attributes:
        text: the question in the model's chat format.
        image: RGB, turned upright.
        inputs: what the processor made of both, on the model's device.
        layout: where the visual tokens lie.
    """

    text: str
    image: Image.Image
    inputs: Any
    layout: VisualLayout

    def __repr__(self) -> str:
        return (
            f"Prompt({printable(self.text, 80)!r}, {self.length} tokens, of them "
            f"{self.layout.summary})"
        )

    @property
    def length(self) -> int:
        """How many tokens it has."""
        return int(self.inputs["input_ids"].shape[1])


def lacks_start_token(tokenizer: Any, prompt: str) -> bool:
    """Whether the tokenizer has to add the start token: a chat template may have written it."""
    start = tokenizer.bos_token
    return not (start and prompt.startswith(start))


def collate(
    prompts: Sequence[Prompt], pad_id: int, answer: Tensor | None = None, copies: int = 1
) -> dict[str, Tensor]:
    """The model's arguments for a batch: shorter prompts are padded on the left.

    Args:
        prompts: at least one.
        pad_id: the token that fills up shorter prompts.
        answer: ids [A] that follow each prompt.
        copies: rows for each prompt.
    """
    inputs = {}
    for name in prompts[0].inputs:
        values: list[Tensor] = [prompt.inputs[name] for prompt in prompts]
        if name in _OF_TEXT:
            longest = max(prompt.length for prompt in prompts)
            padding = pad_id if name == "input_ids" else 0
            values = [pad(value, (longest - value.shape[1], 0), value=padding) for value in values]
            if answer is not None:
                after = _of_answer(name, answer).to(values[0])
                values = [torch.cat([value, after[None]], dim=1) for value in values]
        elif len({value.shape[1:] for value in values}) > 1:  # images of different numbers of tiles
            most = max(value.shape[1] for value in values)
            values = [
                pad(value, (*(0, 0) * (value.ndim - 2), 0, most - value.shape[1]))
                for value in values
            ]
        if len(values) == len(values[0]) == 1:  # the copies need no memory of their own
            inputs[name] = values[0].expand(copies, *values[0].shape[1:])
        else:
            inputs[name] = torch.cat([value for value in values for _ in range(copies)])
    return inputs


def _of_answer(name: str, answer: Tensor) -> Tensor:
    """What an argument of text is at the answer's tokens: they are real, and no image tokens."""
    if name == "input_ids":
        return answer
    return torch.full_like(answer, int(name == "attention_mask"))
