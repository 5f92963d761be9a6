"""The switches of LLaViT on top of transformers' LLaVA configuration.

Every row of the paper's Tables 1 and 3 is one setting of three switches: `separate_visual_qkv`,
`visual_attention` and LLaVA's own `vision_feature_layer`.
"""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import LlavaConfig

from llavit_lens.errors import ConfigurationError

VISUAL_ATTENTION_MODES = ("causal", "bidirectional", "none")


@strict
class LlavitConfig(LlavaConfig):
    """LLaVA's configuration plus what LLaViT adds.

    separate_visual_qkv: visual tokens have query, key and value projections of their own (Eq. 6).
    visual_attention: what visual tokens attend to. "causal" is LLaVA; "bidirectional" lets all
        visual tokens see each other (Eq. 8); "none" leaves visual tokens out of the attention
        update, while text still attends to them (Eq. 5).
    vision_feature_layer: one vision layer, or a list of layers whose features are concatenated
        (the paper's local and global features).

    Raises ConfigurationError for an unknown `visual_attention` or a `separate_visual_qkv` that is
    not a bool, also on later assignment.
    """

    model_type = "llavit"

    separate_visual_qkv: bool = True
    visual_attention: str = "bidirectional"

    def __setattr__(self, key: str, value: Any) -> None:
        if key == "visual_attention" and value not in VISUAL_ATTENTION_MODES:
            choices = ", ".join(repr(mode) for mode in VISUAL_ATTENTION_MODES)
            raise ConfigurationError(f"visual_attention={value!r} is not one of {choices}.")
        if key == "separate_visual_qkv" and not isinstance(value, bool):
            raise ConfigurationError(f"separate_visual_qkv={value!r} is not True or False.")
        super().__setattr__(key, value)
