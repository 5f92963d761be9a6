"""Ranks of chosen words: how many others stand before them.

A tile's logit tells where its word stands, but for words so near the tracked one that the logit's
slack leaves it open. Those are computed once more, as the kept words are. So ranks, too, depend on
nothing but states and weights.

Shape suffixes: N states, K kept, T tracked, C columns of one tile, P pairs of a state and a word.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llavit_lens.lens.rescoring import BARRED, Vocabulary, rescored, rescored_pairs

_CLOSE = 2.0**-18
"""Of a logit: more than float32 loses of it after the product."""
_PARTS = 8
"""Of a tile's rows, in which open words are listed: lists are eight times as large as marks."""


class RankCounter:
    """Counts, tile by tile, the words before each tracked one: by falling logit, then rising id."""

    def __init__(self, hidden_ND: Tensor, vocabulary: Vocabulary, ids_T: Tensor) -> None:
        self._hidden_ND, self._vocabulary, self._ids_T = hidden_ND, vocabulary, ids_T
        self._logits_NT = rescored(hidden_ND, vocabulary, ids_T.expand(len(hidden_ND), -1))
        self._before_NT = torch.zeros_like(self._logits_NT, dtype=torch.long)
        barred = vocabulary.logit_map.barred
        bars = [False] * len(ids_T) if barred is None else barred[ids_T].tolist()
        self._words = list(zip(ids_T.tolist(), bars, strict=True))

    def add(self, logits_NC: Tensor, start: int, slack_N: Tensor) -> None:
        """One tile.

        Args:
            start: the tile's first word.
            slack_N: how far its logits may be off.
        """
        columns = logits_NC.shape[1]
        # one word at a time: [N, C, T] would break the memory bound
        for t, (word, is_barred) in enumerate(self._words):
            place = word - start
            if is_barred:  # before it stand all that are not, and those with lower ids
                higher_NC = logits_NC[:, max(0, place + 1) :]
                self._before_NT[:, t] += min(max(place, 0), columns)
                self._before_NT[:, t] += (higher_NC > BARRED).count_nonzero(1)
                continue
            own_N1 = self._logits_NT[:, t : t + 1]
            near_N1 = slack_N[:, None] + _CLOSE * own_N1.abs()
            before_NC = logits_NC > own_N1 + near_N1
            open_NC = (logits_NC >= own_N1 - near_N1).logical_xor_(before_NC)
            if 0 <= place < columns:  # itself
                before_NC[:, place] = open_NC[:, place] = False
            self._before_NT[:, t] += before_NC.count_nonzero(1)
            self._settle(open_NC, start, t)

    def _settle(self, open_NC: Tensor, start: int, t: int) -> None:
        """Counts those of the open words that stand before the tracked one."""
        word, first = self._words[t][0], 0
        for some_NC in open_NC.split(-(-len(open_NC) // _PARTS) or 1):
            rows_P, ids_P = some_NC.nonzero(as_tuple=True)
            rows_P, ids_P = rows_P + first, ids_P + start
            logits_P = rescored_pairs(self._hidden_ND, self._vocabulary, rows_P, ids_P)
            own_P = self._logits_NT[rows_P, t]
            is_before_P = (logits_P > own_P) | ((logits_P == own_P) & (ids_P < word))
            self._before_NT[:, t].index_add_(0, rows_P, is_before_P.long())
            first += len(some_NC)

    def result(self, ids_NK: Tensor, logits_NK: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, ranks) [N, T]. Where a tracked id is among the best, the two answers are made
        one."""
        is_NTK = ids_NK[:, None, :] == self._ids_T[None, :, None]
        kept_NT, place_NT = is_NTK.any(2), is_NTK.int().argmax(2)
        logits_NT = torch.where(kept_NT, logits_NK.gather(1, place_NT), self._logits_NT)
        logits_NT = logits_NT.where(logits_NT > BARRED, -torch.inf)
        return logits_NT, torch.where(kept_NT, place_NT, self._before_NT)
