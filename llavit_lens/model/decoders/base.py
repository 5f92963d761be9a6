"""What all decoder families share: LLaViT's attention, masks that are kept, and visual copies of
the text projections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.mask import check_attention
from llavit_lens.model.attention.visual_attention import VisualAttention, VisualLinear
from llavit_lens.model.decoders.layer import HookedLayer


class MaskKeeping(PreTrainedModel):
    """Refuses attention that ignores masks, on construction and in `set_attn_implementation`."""

    _supports_flash_attn = False

    def _check_and_adjust_attn_implementation(
        self, attn_implementation: str | None, *args: Any, **kwargs: Any
    ) -> str:
        check_attention(attn_implementation)
        return super()._check_and_adjust_attn_implementation(attn_implementation, *args, **kwargs)

    def get_correct_attn_implementation(
        self, requested_attention: str | None, *args: Any, **kwargs: Any
    ) -> str:
        check_attention(requested_attention)
        return super().get_correct_attn_implementation(requested_attention, *args, **kwargs)


class VisualDecoder(MaskKeeping):
    """A decoder that attends through `attention_class`: mixed in before the family's own model."""

    layer_class: ClassVar[type[HookedLayer]]
    attention_class: ClassVar[type[VisualAttention]]
    create_masks: ClassVar[Callable[..., Any]]
    """The function of transformers that builds the mask, or the masks by type of layer, that the
    family's own model would build, and in the form that it takes."""

    layers: nn.ModuleList

    @property
    def window(self) -> int | None:
        """The smallest sliding window of its layers, None if there is none."""
        windows = [getattr(layer.self_attn, "sliding_window", None) for layer in self.layers]
        return min((window for window in windows if window is not None), default=None)

    def __init__(self, config: PreTrainedConfig, separate_visual_qkv: bool) -> None:
        super().__init__(config)
        self.separate_visual_qkv = separate_visual_qkv
        layers: Any = self.layers
        for index, layer in enumerate(layers):
            layer.self_attn = self.attention_class(config, index, separate_visual_qkv)
            layer.__class__ = self.layer_class
            layer.complete()
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Called for weights that are not in the checkpoint; `init` leaves those that are.
        super()._init_weights(module)
        if isinstance(module, VisualLinear):
            if module.source.weight.is_meta and not module.weight.is_meta:
                raise ConfigurationError(
                    "The checkpoint has no projections for visual tokens. They start as copies of "
                    "the text ones, which device_map leaves on disk; run `llavit-lens convert SRC "
                    "OUT` first and load OUT."
                )
            init.copy_(module.weight, module.source.weight)
            if module.bias is not None:
                init.copy_(module.bias, module.source.bias)
