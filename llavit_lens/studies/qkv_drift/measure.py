"""How far projections have moved from others, and in how many directions.

W^vis of LLaViT (Eq. 6) starts as a copy of W^text, so the difference is the work of training. If
the base LLM is given, both are compared with their common start.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from llavit_lens.model.checkpoints.qkv_weights import Projection


@dataclass(frozen=True)
class Drift:
    """The distance of a projection, or of one head of it, from its start.

    Attributes:
        relative: ||W - W0|| / ||W0||, Frobenius norms.
        cosine: between W and W0 as vectors.
        bias: ||b - b0|| / ||b0||; NaN without biases, or if b0 is zero.
    """

    relative: float
    cosine: float
    bias: float


@dataclass(frozen=True)
class Spectrum:
    """Singular values s of a difference W - W0; NaN where there is none.

    Attributes:
        effective_rank: exp of the entropy of s / sum(s) (Roy and Vetterli 2007): 1 to full_rank.
        top: share of the energy, sum(s^2), in the largest few.
        full_rank: how many singular values there are.
    """

    effective_rank: float
    top: float
    full_rank: int


def drift(moved: Projection, start: Projection, head: int | None = None) -> Drift:
    """The drift of one head, or of all heads as one matrix."""
    which = slice(None) if head is None else head
    new, old = moved.weight[which], start.weight[which]
    bias = float("nan")
    if moved.bias is not None and start.bias is not None:
        bias = _relative(moved.bias[which], start.bias[which])
    cosine = (new * old).sum() / (new.norm() * old.norm())
    return Drift(_relative(new, old), cosine.item(), bias)


def spectrum(moved: Projection, start: Projection, top: int) -> Spectrum:
    """The spectrum of all heads as one matrix; `top`: how many singular values are the largest."""
    return _spectrum((moved.weight - start.weight).flatten(0, 1), top)


@cache
def noise_spectrum(rows: int, columns: int, top: int) -> Spectrum:
    """The spectrum of independent normal numbers: a change without any structure."""
    generator = torch.Generator().manual_seed(0)
    return _spectrum(torch.randn(rows, columns, generator=generator, dtype=torch.float64), top)


def _relative(new: Tensor, old: Tensor) -> float:
    size = old.norm()
    return ((new - old).norm() / size).item() if size > 0 else float("nan")


def _spectrum(matrix: Tensor, top: int) -> Spectrum:
    values = torch.linalg.svdvals(matrix)
    if not values[0] > 0:
        return Spectrum(float("nan"), float("nan"), len(values))
    share = values / values.sum()
    entropy = -torch.special.xlogy(share, share).sum()
    energy = values.square()
    return Spectrum(entropy.exp().item(), (energy[:top].sum() / energy.sum()).item(), len(values))
