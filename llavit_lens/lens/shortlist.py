"""The words that may be among the best, found tile by tile, and what all others reach at most.

Shape suffixes: N states, M words of a shortlist, C columns of one tile, G groups of columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llavit_lens.lens.rounding import highest

_GROUP = 8
"""Columns of which only the best one is looked at first."""


class Shortlist:
    """The `size` best words by the tiles' logits, in no order.

    Attributes:
        logits_NM: float32, out of the tiles.
        ids_NM: int64.
        highest_NM: float64, what their true logits can be at most.
        ceiling_N: float64, what the true logit of any other word can be at most.
    """

    def __init__(self, like: Tensor, size: int) -> None:
        n = len(like)
        self.size = size
        self.logits_NM = like.new_empty(n, 0)
        self.ids_NM = like.new_empty(n, 0, dtype=torch.long)
        self.highest_NM = like.new_empty(n, 0, dtype=torch.float64)
        self.ceiling_N = like.new_full((n,), -torch.inf, dtype=torch.float64)

    def add(self, logits_NC: Tensor, start: int, slack_N: Tensor) -> None:
        """One tile.

        Args:
            start: the tile's first word.
            slack_N: how far its logits may be off.
        """
        logits, columns = _best(logits_NC, min(self.size, logits_NC.shape[1]))
        reach = highest(logits, slack_N[:, None])
        if logits.shape[1] < logits_NC.shape[1]:  # no word left out has a larger logit than these
            self._raise_ceiling(highest(logits.amin(1), slack_N))
        logits = torch.cat([self.logits_NM, logits], 1)
        ids = torch.cat([self.ids_NM, columns + start], 1)
        reach = torch.cat([self.highest_NM, reach], 1)
        if logits.shape[1] > self.size:
            places = logits.topk(self.size, sorted=False).indices
            self._raise_ceiling(reach.scatter(1, places, -torch.inf).amax(1))
            logits, ids, reach = (part.gather(1, places) for part in (logits, ids, reach))
        self.logits_NM, self.ids_NM, self.highest_NM = logits, ids, reach

    def agrees(self, rescored_NM: Tensor) -> Tensor:
        """bool [N], whether the words' own logits lie where the tiles' logits let them: they would
        not if a device summed otherwise than the bound says."""
        lowest_NM = 2 * self.logits_NM.double() - self.highest_NM
        return ((rescored_NM <= self.highest_NM) & (rescored_NM >= lowest_NM)).all(1)

    def _raise_ceiling(self, to_N: Tensor) -> None:
        self.ceiling_N = torch.maximum(self.ceiling_N, to_N)


def _best(logits_NC: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """(logits, columns) [N, m] of the m largest, in no order; among equals any.

    Columns lie in groups, and the best m are all in the m groups with the largest maxima.
    """
    n, columns = logits_NC.shape
    groups = columns // _GROUP
    if columns % _GROUP or groups < 4 * m:
        return logits_NC.topk(m, sorted=False)
    # a group's columns are G apart, so that maxima are taken of whole rows of neighbours
    maxima_NG = logits_NC.view(n, _GROUP, groups).amax(1)
    chosen_N1M = maxima_NG.topk(m, sorted=False).indices[:, None]
    steps = torch.arange(0, columns, groups, device=logits_NC.device)
    some = (chosen_N1M + steps[:, None]).flatten(1)
    logits, places = logits_NC.gather(1, some).topk(m, sorted=False)
    return logits, some.gather(1, places)
