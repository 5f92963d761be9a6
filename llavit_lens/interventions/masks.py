"""Attention masks in one convention: bool, True where a query attends to a key.

Shape letters: B batch (or 1), H heads (or 1), L new tokens, S cached and new tokens, M keys that a
layer has in its cache: more than S in a static cache, fewer with a sliding window.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from llavit_lens.errors import ConfigurationError


class Keys(NamedTuple):
    """The keys of one layer in one pass."""

    total: int
    """M."""
    offset: int
    """Place in the sequence of the first of them."""

    @classmethod
    def of(cls, cache: Cache | None, layer: int, new: int) -> Keys:
        """Before the cache has taken up the layer's `new` keys."""
        return cls(new, 0) if cache is None else cls(*map(int, cache.get_mask_sizes(new, layer)))

    def columns(self, edges_BLS: Tensor) -> Tensor:
        """[B, L, S] by places in the sequence -> [B, 1, L, M]; False where there is no token."""
        beyond = self.offset + self.total - edges_BLS.shape[-1]
        if beyond > 0:
            edges_BLS = torch.nn.functional.pad(edges_BLS, (0, beyond))
        return edges_BLS[:, None, :, self.offset : self.offset + self.total]


def as_allowed(mask: Any, new: int, past: int, keys: Keys, device: torch.device) -> Tensor:
    """bool [B, H, L, M] of a mask of transformers: None (causal), bool, or float (0 or closed).

    Raises:
        ConfigurationError: a mask that is neither open nor closed somewhere, or of another shape.
    """
    if mask is None:
        key = torch.arange(keys.total, device=device) + keys.offset
        query = torch.arange(past, past + new, device=device)
        return (key <= query[:, None])[None, None]
    if not isinstance(mask, Tensor) or mask.shape[2:] != (new, keys.total):
        shape = list(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ConfigurationError(
            f"the attention mask is {shape}, and edges can be cut in one of [batch, heads, {new}, "
            f"{keys.total}] alone; use attn_implementation 'eager' or 'sdpa'."
        )
    if mask.dtype == torch.bool:
        return mask
    is_open = mask == 0
    # transformers closes with the lowest number of the dtype, and may add two of them
    is_closed = mask <= torch.finfo(mask.dtype).min / 2 if mask.is_floating_point() else is_open
    if not mask.is_floating_point() or not bool((is_open | is_closed).all()):
        raise ConfigurationError(
            f"the attention mask holds numbers of {mask.dtype} that are neither 0 (attend) nor the "
            "lowest number (do not); pass a mask of booleans, True where a token attends."
        )
    return is_open
