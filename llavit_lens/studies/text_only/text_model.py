"""A model that is asked in text alone: a VLM without an image, or its decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.length import check_length
from llavit_lens.vlm.prompt import lacks_start_token
from llavit_lens.vlm.vlm import VLM


@dataclass(frozen=True)
class TextModel:
    """A model for questions in text alone.

    Attributes:
        name: as the user wrote it.
        model: a causal language model of transformers, or a VLM's.
        tokenizer: its tokenizer.
        prompt: puts a question into its chat format.
    """

    name: str
    model: Any
    tokenizer: Any
    prompt: Callable[[str], str]


def text_model(vlm: VLM) -> TextModel:
    """A VLM as a text model, without an image."""
    processor = vlm.processor

    def prompt(question: str) -> str:
        if processor.image_token in question:
            raise ConfigurationError(
                f"a question holds {processor.image_token}, but is asked without an image: "
                f"{question[:60]!r}"
            )
        return vlm.family.prompt(processor, question, vlm.name, images=0)

    return TextModel(vlm.name, vlm.model, vlm.tokenizer, prompt)


def plain_decoder(vlm: VLM) -> Any:
    """transformers' own language model of the decoder's family, which shares the VLM's weights."""
    decoder: Any = vlm.decoder.module
    config = vlm.model.config.get_text_config()
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(config)
    weights = {
        f"model.{key}": weight
        for key, weight in decoder.state_dict().items()
        if "_visual" not in key
    }
    weights["lm_head.weight"] = vlm.decoder.head.weight
    plain.load_state_dict(weights, assign=True)
    plain.model.rotary_emb = decoder.rotary_emb  # its frequencies are in no state dict
    plain.set_attn_implementation(vlm.decoder.attn_implementation)
    return plain.eval()


def text_inputs(llm: TextModel, prompts: Sequence[str]) -> Any:
    """Token ids and attention mask [B, L] of prompts, padded on the left, on the model's device."""
    inputs = llm.tokenizer(
        list(prompts),
        return_tensors="pt",
        padding=len(prompts) > 1,
        padding_side="left",
        add_special_tokens=lacks_start_token(llm.tokenizer, prompts[0]),
    )
    check_length(llm.model.config, inputs["input_ids"].shape[1])
    return inputs.to(llm.model.device)
