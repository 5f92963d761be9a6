"""One generation, and what is wrong with its options."""

from __future__ import annotations

from collections.abc import Mapping
from traceback import walk_tb
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as nn_module

from llavit_lens.errors import ConfigurationError, LlavitLensError, one_line
from llavit_lens.vlm.length import check_length

_MOST_BEAMS = 1000
_MORE = (
    "return_dict_in_generate",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "output_logits",
)
"""Options that ask for more than a text."""


def generate_ids(
    model: Any, inputs: Mapping[str, Tensor], max_new_tokens: int, options: Mapping[str, Any]
) -> Tensor:
    """Ids [B, new tokens], one answer to each prompt.

    Args:
        model: of transformers.
        inputs: what the processor made of B prompts, padded on the left.
        max_new_tokens: at least 1.
        options: transformers' own, on top of the model's generation_config.

    Raises:
        ConfigurationError: options that make no sense, that transformers does not know, or that
            ask for more than one answer; more tokens than the model has positions for.
    """
    if type(max_new_tokens) is not int or max_new_tokens < 1:
        raise ConfigurationError(
            f"max_new_tokens={max_new_tokens!r}: give a whole number from 1 on"
        )
    length = inputs["input_ids"].shape[1]
    check_length(model.config, length, max_new_tokens)
    config = options.get("generation_config") or model.generation_config
    for key, allowed, reason in (
        ("num_return_sequences", (1,), "one answer is given; call vlm.model.generate for several"),
        ("num_beams", range(1, _MOST_BEAMS + 1), f"choose 1 to {_MOST_BEAMS}"),
        *((key, (False,), "a text is given; call vlm.model.generate for more") for key in _MORE),
    ):
        value = options.get(key, getattr(config, key, None))
        if value is not None and value not in allowed:
            raise ConfigurationError(f"{key}={value!r}: {reason}")
    try:
        ids = model.generate(**inputs, max_new_tokens=max_new_tokens, **options)
    except (LlavitLensError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever transformers may raise over its options
        if _in_a_pass(error):
            raise
        raise ConfigurationError(
            "this generation fails; correct its options, or the checkpoint's "
            f"generation_config.json ({type(error).__name__}: {one_line(error)})"
        ) from error
    return ids[:, length:]


def _in_a_pass(error: Exception) -> bool:
    """Whether a module was running, the model or a hook on it: then it is not for the options."""
    frames = walk_tb(error.__traceback__)
    return any(frame.f_code.co_filename == nn_module.__file__ for frame, _ in frames)
