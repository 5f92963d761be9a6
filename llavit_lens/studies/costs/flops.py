"""How many floating-point operations the LLM of a LLaVA or LLaViT takes for a sequence.

Matrix products only, two operations for each multiply-add: no biases, norms, softmax, activations
or rotary embedding. Attention is counted for the pairs of tokens that the mask lets through.

Counted twice: on the real modules with PyTorch's `FlopCounterMode`, and by formula.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    PreTrainedConfig,
)

from llavit_lens.model import LlavitConfig
from llavit_lens.model.attention.routing import VisualTokens
from llavit_lens.vlm.families import decoder_of


@dataclass(frozen=True)
class LLMFlops:
    """Operations of one forward pass over a sequence, logits at every token included.

    Attributes:
        layers: how many decoder layers.
        projections: query, key, value and output projections of one layer.
        per_pair: score and weighted value of one pair of tokens in one layer, over all heads.
        pairs: how many pairs (i, j) there are such that token i attends to token j.
        mlp: the MLP of one layer.
        lm_head: the unembedding.
    """

    layers: int
    projections: int
    per_pair: int
    pairs: int
    mlp: int
    lm_head: int

    @property
    def attention(self) -> int:
        """Attention of one layer."""
        return self.projections + self.per_pair * self.pairs

    @property
    def total(self) -> int:
        return self.layers * (self.attention + self.mlp) + self.lm_head


def count_pairs(config: LlavitConfig, tokens: int, visual: int) -> int:
    """Pairs (i, j) such that token i attends to token j, in the mask that the model itself makes.

    `visual` of the `tokens` are visual, in a row. The mask is caught where a decoder layer's
    attention receives it, in a model of the same family and switches but as small as can be.
    """
    text = AutoConfig.for_model(
        config.get_text_config().model_type,
        hidden_size=2,
        intermediate_size=2,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        vocab_size=2,
        pad_token_id=None,
    )
    vision = CLIPVisionConfig(
        hidden_size=2,
        intermediate_size=2,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=2,
        patch_size=1,
    )
    small = LlavitConfig(
        vision_config=vision,
        text_config=text,
        separate_visual_qkv=config.separate_visual_qkv,
        visual_attention=config.visual_attention,
    )
    # The mask of eager attention has an entry for each pair: 0 lets it through.
    model = AutoModel.from_config(small, attn_implementation="eager").eval()
    masks: list[Tensor] = []

    def catch(_: Any, __: Any, arguments: dict[str, Any]) -> None:
        masks.append(arguments["attention_mask"])

    model.get_decoder().layers[0].self_attn.register_forward_pre_hook(catch, with_kwargs=True)
    types = (torch.arange(tokens) < visual).long()[None]
    with torch.no_grad():
        model(inputs_embeds=torch.zeros(1, tokens, 2), mm_token_type_ids=types, use_cache=False)
    return int((masks[0] == 0).sum())


def count_llm_flops(config: LlavitConfig, tokens: int, visual: int) -> LLMFlops:
    """Count with `FlopCounterMode` on the real modules, built on the meta device.

    The counter sees attention as it is computed without skipping: all `tokens` x `tokens` pairs,
    masked or not. So `pairs` of the result; put another number there with `with_pairs`.
    """
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(
            deepcopy(config), attn_implementation="eager"
        )
        decoder = decoder_of(model)
        hidden = torch.empty(1, tokens, decoder.config.hidden_size)
        row = torch.empty(tokens, dtype=torch.long)  # on meta only its length matters
        inputs = {
            "inputs_embeds": hidden,
            "attention_mask": torch.empty(1, 1, tokens, tokens),
            "position_ids": row[None],
            "visual_tokens": VisualTokens(visual=row[:visual], text=row[visual:]),
        }
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.lm_head(decoder(**inputs, use_cache=False).last_hidden_state)
    seen = {name: sum(flops.values()) for name, flops in counter.get_flop_counts().items()}
    layer = f"{type(decoder).__name__}.layers.0"
    attention = decoder.layers[0].self_attn
    projections = sum(
        seen.get(f"{layer}.self_attn.{name}", 0) for name, _ in attention.named_children()
    )
    return LLMFlops(
        layers=len(decoder.layers),
        projections=projections,
        per_pair=(seen[f"{layer}.self_attn"] - projections) // tokens**2,
        pairs=tokens**2,
        mlp=seen[f"{layer}.mlp"],
        lm_head=seen["Global"] - seen[type(decoder).__name__],
    )


def with_pairs(flops: LLMFlops, pairs: int) -> LLMFlops:
    """The same model where `pairs` pairs of tokens attend."""
    return replace(flops, pairs=pairs)


def pairs_by_formula(tokens: int, visual: int, bidirectional: bool) -> int:
    """Pairs that attend: j <= i (Eq. 7) and, with `bidirectional`, all visual pairs (Eq. 8)."""
    causal = tokens * (tokens + 1) // 2
    return causal + bidirectional * (visual * (visual - 1) // 2)


def llm_flops_by_formula(text: PreTrainedConfig, tokens: int, pairs: int) -> LLMFlops:
    """Count by formula, for a decoder with grouped-query attention and a three-matrix MLP."""
    d, heads = text.hidden_size, text.num_attention_heads
    d_head = getattr(text, "head_dim", None) or d // heads
    d_qkv = (heads + 2 * text.num_key_value_heads) * d_head
    return LLMFlops(
        layers=text.num_hidden_layers,
        projections=2 * tokens * d * (d_qkv + heads * d_head),
        per_pair=4 * heads * d_head,
        pairs=pairs,
        mlp=6 * tokens * d * text.intermediate_size,
        lm_head=2 * tokens * d * text.vocab_size,
    )
