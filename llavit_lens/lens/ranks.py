"""Ranks of chosen words: how many others stand before them.

Shape suffixes: N states, K kept, T tracked, C columns of one tile.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llavit_lens.lens.rescoring import BARRED

_CLOSE = 2.0**-18
"""Of a logit: more than float32 loses of it after the product."""


class RankCounter:
    """Counts, tile by tile, the words before each tracked one: by falling logit, then rising id."""

    def __init__(self, ids_T: Tensor, logits_NT: Tensor, compared_NT: Tensor | None = None) -> None:
        """Words whose logits are known.

        Args:
            compared_NT: out of a product such as the tiles', where that is float32; None: the
                tiles are coarser, and words whose place they leave open are counted.
        """
        self.ids_T = ids_T
        self.logits_NT = logits_NT
        self._words = ids_T.tolist()
        self._own_NT = logits_NT if compared_NT is None else compared_NT
        self._before_NT = torch.zeros_like(logits_NT, dtype=torch.long)
        self._undecided_NT = torch.zeros_like(self._before_NT) if compared_NT is None else None

    def add(self, logits_NC: Tensor, start: int, slack_N: Tensor) -> None:
        """One tile.

        Args:
            start: the tile's first word.
            slack_N: how far its logits may be off.
        """
        # one word at a time: [N, C, T] would break the memory bound
        for t, word in enumerate(self._words):
            own_N1 = self._own_NT[:, t : t + 1]
            # its own logit here may differ in its last bit from that out of another product
            place = word - start
            lower, higher = logits_NC[:, : max(0, place)], logits_NC[:, max(0, place + 1) :]
            self._before_NT[:, t] += (lower >= own_N1).sum(1) + (higher > own_N1).sum(1)
            if self._undecided_NT is not None:
                near_N1 = slack_N[:, None] + _CLOSE * own_N1.abs()
                for logits in (lower, higher):
                    self._undecided_NT[:, t] += ((logits - own_N1).abs() <= near_N1).sum(1)

    def result(self, ids_NK: Tensor, logits_NK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logits [N, T], ranks [N, T], whether all ranks of a row are sure [N]).

        Where a tracked id is among the best, the two answers are made one.
        """
        k = ids_NK.shape[1]
        is_NTK = ids_NK[:, None, :] == self.ids_T[None, :, None]
        kept_NT, place_NT = is_NTK.any(2), is_NTK.int().argmax(2)
        logits_NT = torch.where(kept_NT, logits_NK.gather(1, place_NT), self.logits_NT)
        logits_NT = logits_NT.where(logits_NT > BARRED, -torch.inf)
        rank_NT = torch.where(kept_NT, place_NT, self._before_NT.clamp_min(k))
        if self._undecided_NT is None:
            return logits_NT, rank_NT, kept_NT.new_ones(len(kept_NT))
        return logits_NT, rank_NT, (kept_NT | (self._undecided_NT == 0)).all(1)
