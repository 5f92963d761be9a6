"""Rows of visual tokens and rows of text tokens: taken apart and put together again, by index.

Shape letters: B batch, L sequence, N = B * L rows, V visual rows, T = N - V text rows, D features,
which may be several dimensions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class VisualTokens(NamedTuple):
    """Where the visual tokens of a batch are: computed once per forward pass, used in every layer.

    A NamedTuple because accelerate moves those along when a model is spread over several devices.
    """

    visual: Tensor
    """[V] int64, rows of the flattened [N, D] batch that are visual tokens, ascending."""
    text: Tensor
    """[T] int64, all other rows (padding counts as text), ascending."""

    @classmethod
    def from_mask(cls, is_visual_BL: Tensor) -> VisualTokens:
        """Index a boolean mask [B, L]."""
        is_visual_N = is_visual_BL.flatten()
        return cls(is_visual_N.nonzero().squeeze(1), (~is_visual_N).nonzero().squeeze(1))


def split_rows(rows_ND: Tensor, tokens: VisualTokens) -> tuple[Tensor, Tensor]:
    """[N, D] -> text rows [T, D] and visual rows [V, D]."""
    text_TD, visual_VD = _SplitRows.apply(rows_ND, tokens.text, tokens.visual)
    return text_TD, visual_VD


def merge_rows(text_TD: Tensor, visual_VD: Tensor, tokens: VisualTokens) -> Tensor:
    """Text rows [T, D] and visual rows [V, D] -> [N, D], each row back in its place."""
    return _MergeRows.apply(text_TD, visual_VD, tokens.text, tokens.visual)


class _SplitRows(torch.autograd.Function):
    """A partition of rows. Its gradient is a merge: each row written once, none zeroed or added."""

    @staticmethod
    def forward(ctx: Any, rows_ND: Tensor, text: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(text, visual)
        return rows_ND.index_select(0, text), rows_ND.index_select(0, visual)

    @staticmethod
    def backward(ctx: Any, grad_TD: Tensor, grad_VD: Tensor) -> tuple[Tensor, None, None]:
        return _MergeRows.apply(grad_TD, grad_VD, *ctx.saved_tensors), None, None


class _MergeRows(torch.autograd.Function):
    """The inverse of `_SplitRows`; its gradient is a split."""

    @staticmethod
    def forward(
        ctx: Any, text_TD: Tensor, visual_VD: Tensor, text: Tensor, visual: Tensor
    ) -> Tensor:
        ctx.save_for_backward(text, visual)
        rows_ND = text_TD.new_empty(text.shape[0] + visual.shape[0], *text_TD.shape[1:])
        return rows_ND.index_copy_(0, text, text_TD).index_copy_(0, visual, visual_VD)

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_TD, grad_VD = _SplitRows.apply(grad_ND, *ctx.saved_tensors)
        return grad_TD, grad_VD, None, None
