"""Queries, keys and values of a checkpoint by head, read layer by layer: no model is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llavit_lens.model.checkpoints.weights import LazyTensor

PROJECTIONS = ("q", "k", "v")


class Projection(NamedTuple):
    """One of a layer's projections.

    Attributes:
        weight: float64 [heads, E, D], E the width of a head; heads of keys and values are fewer
            where several query heads share them.
        bias: float64 [heads, E], None where there is none.
    """

    weight: Tensor
    bias: Tensor | None


def has_visual_projections(tensors: Mapping[str, LazyTensor]) -> bool:
    """Whether visual tokens have projections of their own (Eq. 6)."""
    return any(key.endswith("_proj_visual.weight") for key in tensors)


def read_projections(
    tensors: Mapping[str, LazyTensor], text_config: Any, layer: int, branch: str = ""
) -> dict[str, Projection]:
    """Queries, keys and values of a decoder layer.

    Args:
        tensors: under the names that a LLaVA-like model has for them.
        text_config: of the decoder.
        layer: from 0.
        branch: "" for those of text, "_visual" for those of visual tokens.

    Raises:
        KeyError: a tensor that is not there.
    """
    heads = text_config.num_attention_heads
    groups = getattr(text_config, "num_key_value_heads", None) or heads
    width = getattr(text_config, "head_dim", None) or text_config.hidden_size // heads
    rows = [heads * width, groups * width, groups * width]
    prefix = f"model.language_model.layers.{layer}.self_attn."

    def parts(kind: str) -> list[Tensor] | None:
        packed = f"{prefix}qkv_proj{branch}.{kind}"
        if packed in tensors:  # Phi-3: one projection has the rows of all three
            return list(_exact(tensors[packed]).split(rows))
        names = [f"{prefix}{name}_proj{branch}.{kind}" for name in PROJECTIONS]
        if kind == "bias" and not any(name in tensors for name in names):
            return None
        return [_exact(tensors[name]) for name in names]

    weights, biases = parts("weight"), parts("bias")
    assert weights is not None
    return {
        name: Projection(
            weights[i].unflatten(0, (-1, width)),
            None if biases is None else biases[i].unflatten(0, (-1, width)),
        )
        for i, name in enumerate(PROJECTIONS)
    }


def _exact(tensor: LazyTensor) -> Tensor:
    return tensor.read().to(torch.float64)
