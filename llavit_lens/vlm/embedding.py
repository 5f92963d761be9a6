"""The matrix of word embeddings that the model is given.

As with a head, a module's `weight` may hold codes, lie on a disk, or lack an adapter's share; but
the module itself gives its rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from llavit_lens.vlm.float32 import full_float32, unit_roundoff
from llavit_lens.vlm.unembedding import is_matrix, is_plain

_ROWS = 8192
"""Rows that are computed at once."""


@torch.no_grad()
def embedding_of(module: Any, size: int, device: torch.device) -> Tensor:
    """[V, D], but for one factor that all rows share, as Gemma has one: no cosine sees it.

    `forward`, not a call: hooks that users set on the module are not part of the lens.

    Args:
        module: the model's input embedding.
        size: V, where the module does not say it.
        device: where the module takes ids.
    """
    if is_plain(module, nn.Embedding) and module.max_norm is None:
        return module.weight.detach()
    ids = torch.arange(getattr(module, "num_embeddings", size), device=device)
    weight: Any = getattr(module, "weight", None)
    with full_float32():
        if is_matrix(weight) and len(weight) == len(ids) and _shows(module, weight, ids):
            return weight.detach()  # not to hold it twice
        return torch.cat([module.forward(chunk[None])[0] for chunk in ids.split(_ROWS)])


def _shows(module: Any, weight: Tensor, ids: Tensor) -> bool:
    """Whether the rows that the module gives are those of its weight, times one factor."""
    factor: Tensor | None = None
    for chunk in ids.split(_ROWS):
        computed = module.forward(chunk[None])[0].float()
        stored = weight[chunk.to(weight.device)].to(computed.device, torch.float32)
        if factor is None:
            longest = stored.square().sum(1).argmax()
            factor = (computed[longest] @ stored[longest]) / stored[longest].square().sum()
        budget = 4 * unit_roundoff(weight.dtype) * computed.abs()
        if not bool(((computed - factor * stored).abs() <= budget).all()) or not bool(factor > 0):
            return False
    return True
