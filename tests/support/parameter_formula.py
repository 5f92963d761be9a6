"""Parameters of a LLaVA or LLaViT by formula, independent of any module."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from llavit_lens.model import LlavitConfig
from llavit_lens.studies.costs.parameters import ParameterCount


def parameters_by_formula(config: LlavitConfig) -> ParameterCount:
    """For a CLIP tower and decoders built like Qwen2 or Phi-3; KeyError for another family."""
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
    d_head = text.hidden_size // text.num_attention_heads
    d_qkv = (text.num_attention_heads + 2 * text.num_key_value_heads) * d_head
    return d_qkv * (text.hidden_size + biases[text.model_type])
