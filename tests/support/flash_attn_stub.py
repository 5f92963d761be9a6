"""A stand-in for the package flash-attn on a machine without one: the same functions and argument
names, as loops over calls in float32. It holds no masks, as the real one.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers.modeling_flash_attention_utils as flash_utils
from torch import Tensor
from transformers.modeling_flash_attention_utils import _pad_input, _unpad_input

import llavit_lens.model.attention.mask as mask


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    """[T, heads, width] in half precision; causal masks and windows align the last query."""
    assert q.dtype == k.dtype == v.dtype in (torch.float16, torch.bfloat16)
    assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
    assert int(cu_seqlens_q.diff().max()) == max_seqlen_q
    assert int(cu_seqlens_k.diff().max()) == max_seqlen_k
    results = []
    for call in range(len(cu_seqlens_q) - 1):
        rows = slice(int(cu_seqlens_q[call]), int(cu_seqlens_q[call + 1]))
        keys = slice(int(cu_seqlens_k[call]), int(cu_seqlens_k[call + 1]))
        groups = q.shape[1] // k.shape[1]
        queries = q[rows].float().transpose(0, 1)
        key, value = (x[keys].float().repeat_interleave(groups, 1).transpose(0, 1) for x in (k, v))
        scale = q.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale
        scores = queries @ key.transpose(1, 2) * scale
        back = (  # how far each key lies before each query
            torch.arange(scores.shape[1])[:, None] + scores.shape[2] - scores.shape[1]
        ) - torch.arange(scores.shape[2])
        hidden = (back < 0) if causal else torch.zeros_like(back, dtype=torch.bool)
        if window_size[0] >= 0:
            hidden = hidden | (back > window_size[0])
        pattern = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        results.append((pattern @ value).transpose(0, 1).to(q.dtype))
    return torch.cat(results)


def flash_attn_func(q: Tensor, k: Tensor, v: Tensor, **kwargs: Any) -> Tensor:
    """[B, L, heads, width], rows of equal length."""
    starts = [
        torch.arange(0, x.shape[0] * x.shape[1] + 1, x.shape[1], dtype=torch.int32) for x in (q, k)
    ]
    rows = [x.flatten(0, 1) for x in (q, k, v)]
    z = flash_attn_varlen_func(*rows, *starts, q.shape[1], k.shape[1], **kwargs)
    return z.unflatten(0, q.shape[:2])


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `flash_attn` be found, by us and by transformers, for one test."""
    package, padding = ModuleType("flash_attn"), ModuleType("flash_attn.bert_padding")
    package.flash_attn_func = flash_attn_func
    package.flash_attn_varlen_func = flash_attn_varlen_func
    package.flash_attn_with_kvcache = None
    padding.pad_input, padding.unpad_input = _pad_input, _unpad_input
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    monkeypatch.setitem(sys.modules, "flash_attn.bert_padding", padding)
    monkeypatch.setattr(flash_utils, "is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(flash_utils, "_loaded_implementation", None)
    monkeypatch.setattr(mask, "is_flash_attn_2_available", lambda: True)
