"""Attention in runs (Eq. 8 without a mask) as attention functions of transformers.

`llavit_sdpa` runs on torch's scaled-dot-product attention, `llavit_fa2` on flash-attn 2, which has
no masks at all. Both serve every other attention of a model too, as "sdpa" and
"flash_attention_2" would.

Shape letters: B batch, L new tokens, S cached and new tokens, H query heads, K key/value heads, E
head width; R query rows and M key rows of `Calls`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import flash_attention_mask, sdpa_mask
from transformers.modeling_flash_attention_utils import _flash_attention_forward

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.mask import FLASH_IN_RUNS, SDPA_IN_RUNS
from llavit_lens.model.attention.token_runs import Calls, Runs

Kernel = Callable[[Tensor, Tensor, Tensor, Calls, bool], Tensor]
"""Runs calls of one kind: query rows [R, H, E], key and value rows [M, K, E], the calls, whether
they are causal (then the last query of a call sees every key) -> results [R, H, E]."""


def attend_in_runs(
    kernel: Kernel, q_BHLE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, runs: Runs
) -> Tensor:
    """[B, L, H, E]; zero where a query is in no run, which only padding is."""
    q_NHE = q_BHLE.transpose(1, 2).flatten(0, 1)
    k_NKE, v_NKE = (x[:, :, : runs.length].transpose(1, 2).flatten(0, 1) for x in (k_BKSE, v_BKSE))
    z_NHE = torch.zeros_like(q_NHE)
    for calls, causal in ((runs.text, True), (runs.visual, False)):
        if calls.query_lengths:
            q_RHE = q_NHE.index_select(0, calls.queries)
            k_MKE, v_MKE = (rows.index_select(0, calls.keys) for rows in (k_NKE, v_NKE))
            z_RHE = kernel(q_RHE, k_MKE, v_MKE, calls, causal)
            z_NHE = z_NHE.index_copy(0, calls.queries, z_RHE)
    return z_NHE.unflatten(0, (q_BHLE.shape[0], q_BHLE.shape[2]))


def sdpa_kernel(module: nn.Module, dropout: float, scaling: float | None) -> Kernel:
    """Calls of equal lengths together, as a batch."""

    def run(q_RHE: Tensor, k_MKE: Tensor, v_MKE: Tensor, calls: Calls, causal: bool) -> Tensor:
        results, row, key_row = [], 0, 0
        lengths = zip(calls.query_lengths, calls.key_lengths, strict=True)
        for (queries, keys), equal in groupby(lengths):
            count = len(list(equal))
            q_BHLE = _batch(q_RHE[row : row + count * queries], count)
            k_BKSE, v_BKSE = (
                _batch(rows[key_row : key_row + count * keys], count) for rows in (k_MKE, v_MKE)
            )
            mask = None
            if causal and 1 < queries != keys:  # torch's causal mask would align the first query
                mask = torch.ones(queries, keys, dtype=torch.bool, device=q_RHE.device)
                mask = mask.tril(keys - queries)[None, None]
            z_BLHE, _ = sdpa_attention_forward(
                module, q_BHLE, k_BKSE, v_BKSE, mask, dropout, scaling, is_causal=causal
            )
            results.append(z_BLHE.flatten(0, 1))
            row, key_row = row + count * queries, key_row + count * keys
        return torch.cat(results)

    return run


def flash_kernel(dropout: float, scaling: float | None) -> Kernel:
    """All calls in one, by flash-attn 2: since 2.1 its causal mask aligns the last query."""
    from flash_attn import flash_attn_varlen_func

    def run(q_RHE: Tensor, k_MKE: Tensor, v_MKE: Tensor, calls: Calls, causal: bool) -> Tensor:
        return flash_attn_varlen_func(
            q_RHE,
            k_MKE,
            v_MKE,
            cu_seqlens_q=calls.query_starts,
            cu_seqlens_k=calls.key_starts,
            max_seqlen_q=max(calls.query_lengths),
            max_seqlen_k=max(calls.key_lengths),
            dropout_p=dropout,
            softmax_scale=scaling,
            causal=causal,
        )

    return run


def llavit_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    attention_runs: Runs | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """In runs where there are any; else as transformers' "sdpa"."""
    if attention_runs is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
    kernel = sdpa_kernel(module, dropout, scaling)
    return attend_in_runs(kernel, query, key, value, attention_runs), None


def llavit_fa2(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    attention_runs: Runs | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """In runs where there are any; else as transformers' "flash_attention_2".

    Raises ConfigurationError for float32 outside of autocast, which the kernel does not have.
    """
    query, key, value = (_half(x) for x in (query, key, value))
    if attention_runs is not None:
        kernel = flash_kernel(dropout, scaling)
        return attend_in_runs(kernel, query, key, value, attention_runs), None
    z_BLHE = _flash_attention_forward(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attention_mask,
        query_length=query.shape[2],
        is_causal=bool(module.is_causal) if is_causal is None else is_causal,
        dropout=dropout,
        softmax_scale=scaling,
        sliding_window=sliding_window,
        attn_implementation="flash_attention_2",
    )
    return z_BLHE, None


def register_attention() -> None:
    """Make both known to transformers, each with the masks of the kernel it runs on."""
    AttentionInterface.register(SDPA_IN_RUNS, llavit_sdpa)
    AttentionMaskInterface.register(SDPA_IN_RUNS, sdpa_mask)
    AttentionInterface.register(FLASH_IN_RUNS, llavit_fa2)
    AttentionMaskInterface.register(FLASH_IN_RUNS, flash_attention_mask)


def _batch(rows: Tensor, count: int) -> Tensor:
    """[count * n, heads, E] -> [count, heads, n, E]."""
    return rows.unflatten(0, (count, -1)).transpose(1, 2)


def _half(x: Tensor) -> Tensor:
    """Back to half precision: under autocast, rotary positions and norms return float32."""
    if x.dtype == torch.float32 and torch.is_autocast_enabled(x.device.type):
        return x.to(torch.get_autocast_dtype(x.device.type))
    if x.dtype not in (torch.float16, torch.bfloat16):
        raise ConfigurationError(
            f"attn_implementation={FLASH_IN_RUNS!r} computes in float16 or bfloat16, but the model "
            f"is in {str(x.dtype).removeprefix('torch.')}; load it in bfloat16, or use "
            f"{SDPA_IN_RUNS!r}."
        )
    return x
