"""Attention written out, with its scores and weights as hook points.

Shape letters: B batch, L new tokens, S cached and new tokens, H query heads, K key/value heads,
E head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import repeat_kv


def eager_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Results [B, L, H, E] and weights [B, H, L, S], as transformers' "eager" would have them.

    A mask of floats is added to the scores, as in transformers. A mask of booleans says which
    keys are attended to; a query that attends to no key gets zero, as with sdpa.
    """
    k_BHSE, v_BHSE = (repeat_kv(x, module.num_key_value_groups) for x in (key, value))
    scores_BHLS = torch.matmul(query, k_BHSE.transpose(2, 3)) * scaling
    allowed = None
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        allowed = attention_mask
        scores_BHLS = scores_BHLS.masked_fill(~allowed, -torch.inf)
    elif attention_mask is not None:
        scores_BHLS = scores_BHLS + attention_mask
    scores_BHLS = module.hook("hook_attn_scores", scores_BHLS)
    pattern_BHLS = scores_BHLS.softmax(-1, dtype=torch.float32).to(query.dtype)
    if allowed is not None:
        pattern_BHLS = pattern_BHLS.masked_fill(~allowed.any(-1, keepdim=True), 0.0)
    pattern_BHLS = module.hook("hook_pattern", pattern_BHLS)
    weights_BHLS = nn.functional.dropout(pattern_BHLS, p=dropout, training=module.training)
    z_BHLE = torch.matmul(weights_BHLS, v_BHSE)
    return z_BHLE.transpose(1, 2).contiguous(), weights_BHLS
