"""How many parameters a LLaVA or LLaViT has: counted on its modules, and by formula."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from llavit_lens.errors import ConfigurationError
from llavit_lens.model import LlavitConfig, LlavitForConditionalGeneration
from llavit_lens.model.attention import VisualLinear


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of each part; a tensor that two parts share counts once.

    Attributes:
        vision_tower: all of the encoder, with layers whose output is not used.
        projector: from the encoder's features to the LLM's width.
        llm: embeddings, decoder and language-model head, without `visual_qkv`.
        visual_qkv: the projections that only visual tokens use (Eq. 6).
    """

    vision_tower: int
    projector: int
    llm: int
    visual_qkv: int

    @property
    def total(self) -> int:
        return self.vision_tower + self.projector + self.llm + self.visual_qkv


def count_parameters(config: LlavitConfig) -> ParameterCount:
    """Count on the real modules, built on the meta device.

    Raises ConfigurationError for a decoder family that is not served.
    """
    with torch.device("meta"):
        model = LlavitForConditionalGeneration(config)
    tower = _size(model.model.vision_tower.parameters())
    projector = _size(model.model.multi_modal_projector.parameters())
    visual = sum(_size(m.parameters()) for m in model.modules() if isinstance(m, VisualLinear))
    llm = _size(model.parameters()) - tower - projector - visual
    return ParameterCount(tower, projector, llm, visual)


def parameters_by_formula(config: LlavitConfig) -> ParameterCount:
    """Count by formula, for a CLIP tower and decoders built like Qwen2 or Phi-3.

    Raises ConfigurationError for another decoder family.
    """
    text = config.get_text_config()
    d = text.hidden_size
    features = config.vision_feature_layer
    layers_read = 1 if isinstance(features, int) else len(features)
    vision: Any = config.vision_config
    d_features = vision.hidden_size * layers_read
    visual = text.num_hidden_layers * _qkv(text) if config.separate_visual_qkv else 0
    return ParameterCount(
        vision_tower=_clip(vision),
        projector=(d_features * d + d) + (d * d + d),
        llm=_decoder(text),
        visual_qkv=visual,
    )


def _size(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _clip(vision: PreTrainedConfig) -> int:
    """Patch, class and position embeddings, layers, and a norm before and after them."""
    d, i = vision.hidden_size, vision.intermediate_size
    patches = (vision.image_size // vision.patch_size) ** 2
    embeddings = vision.num_channels * vision.patch_size**2 * d + d + (patches + 1) * d
    layer = 4 * (d * d + d) + (d * i + i) + (i * d + d) + 2 * 2 * d
    return embeddings + vision.num_hidden_layers * layer + 2 * 2 * d


def _decoder(text: PreTrainedConfig) -> int:
    d, i = text.hidden_size, text.intermediate_size
    embeddings = (1 if text.tie_word_embeddings else 2) * text.vocab_size * d
    layer = _qkv(text) + d * d + 3 * d * i + 2 * d
    return embeddings + text.num_hidden_layers * layer + d


def _qkv(text: PreTrainedConfig) -> int:
    """Query, key and value projections of one layer, whether fused or not."""
    biases = {"qwen2": 1, "phi3": 0}
    if text.model_type not in biases:
        raise ConfigurationError(
            f"there is no parameter formula for the decoder family {text.model_type!r}; "
            "count its modules with count_parameters"
        )
    d_head = text.hidden_size // text.num_attention_heads
    d_qkv = (text.num_attention_heads + 2 * text.num_key_value_heads) * d_head
    return d_qkv * (text.hidden_size + biases[text.model_type])
