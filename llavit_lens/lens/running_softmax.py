"""logsumexp and entropy of logits that come a tile at a time.

Shape suffixes: N states, C columns of one tile, M chosen words of each state.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NOTHING = -80.0
"""A word so far below the best one adds nothing to sums in float32, and exp is slow where it
underflows."""


class RunningSoftmax:
    """Holds m = max l, s = sum exp(l - m) and u = sum exp(l - m) (l - m), N numbers each.

    Then logsumexp = m + log s, and entropy = log s - u / s, which does not cancel however large the
    logits are.
    """

    def __init__(self) -> None:
        self.m: Tensor | None = None
        self.s: Tensor
        self.u: Tensor

    def add(self, logits_NC: Tensor, scratch_NC: Tensor) -> None:
        """Overwrites both: the caller must be done with them."""
        m = logits_NC.amax(1)
        shifted = logits_NC.sub_(m[:, None]).clamp_min_(_NOTHING)
        weights = torch.exp(shifted, out=scratch_NC)
        s = weights.sum(1)
        self._add(m, s, weights.mul_(shifted).sum(1))

    def _add(self, m: Tensor, s: Tensor, u: Tensor) -> None:
        if self.m is not None:
            top = torch.maximum(self.m, m)
            (s_old, u_old), (s, u) = _rebase(self.m, self.s, self.u, top), _rebase(m, s, u, top)
            m, s, u = top, s_old + s, u_old + u
        self.m, self.s, self.u = m, s, u

    def replace(self, old_NM: Tensor, new_NM: Tensor) -> Tensor:
        """Chosen words' logits, once added as `old_NM`, are `new_NM`.

        Returns:
            float64 [N], the share of all other words in the softmax.
        """
        assert self.m is not None
        m, s, u = (part.double() for part in (self.m, self.s, self.u))
        shifted = old_NM.double() - m[:, None]
        weights = shifted.exp()
        s, u = (s - weights.sum(1)).clamp_min(0), (u - (weights * shifted).sum(1)).clamp_max(0)
        top = new_NM.amax(1).double()
        shifted = new_NM.double() - top[:, None]
        weights = shifted.exp()
        self.m, self.s, self.u = m, s, u
        self._add(top, weights.sum(1), (weights * shifted).sum(1))
        return _rebase(m, s, u, self.m)[0] / self.s

    def result(self) -> tuple[Tensor, Tensor]:
        """(logsumexp, entropy), float32 [N]."""
        assert self.m is not None
        log_s = self.s.log()
        return (self.m + log_s).float(), (log_s - self.u / self.s).clamp_min(0).float()


def _rebase(m: Tensor, s: Tensor, u: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    """s and u as they would be had they been taken about `top` instead of m."""
    drop = m - top
    factor = drop.exp()
    return factor * s, factor * (u + s * drop)
