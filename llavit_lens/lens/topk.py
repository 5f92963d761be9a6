"""Top-k, logsumexp and entropy over a vocabulary, without ever holding all logits.

Shape suffixes: N states, D model width, V vocabulary, C columns of one vocabulary tile, K kept,
T tracked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import whole_number
from llavit_lens.lens.choice import Precision
from llavit_lens.vlm.float32 import full_float32
from llavit_lens.vlm.logit_map import LogitMap
from llavit_lens.vlm.unembedding import logits_of

BUDGET_BYTES = 192 * 1024 * 1024
# Float32 buffers of the size of a logits tile that are alive at once.
_BUFFERS = 3
# On a CPU, short rows of tiles are fast and small row chunks are ruinous, so the vocabulary is cut
# first; rows are cut only when even this narrow a tile would not fit the budget.
_NARROWEST_TILE = 2048
_BARRED = -1e30
"""The logit of a word that is never said: its exp is 0, and sums of it are finite."""


class TopK(NamedTuple):
    """What remains of the logits of N states."""

    ids: Tensor
    """int64 [N, K], best first; equal logits in the order of their ids, lowest first."""
    logits: Tensor
    """float32 [N, K]."""
    logsumexp: Tensor
    """float32 [N]; log-probability = logit - logsumexp."""
    entropy: Tensor
    """float32 [N], of the softmax over the whole vocabulary, in nats."""
    tracked_logits: Tensor | None
    """float32 [N, T], the logits of the tracked ids; of those that the model bars, -inf."""
    tracked_rank: Tensor | None
    """int64 [N, T], 0 = best; same order as `ids`."""
    redone: int = 0
    """Rows whose low-precision shortlist was not proved right, and which were done again in
    float32; 0 on the exact path."""


@full_float32()
def topk_unembed(
    hidden: Tensor,
    weight: Tensor,
    k: int,
    *,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    logit_map: LogitMap | None = None,
    tracked: Sequence[int] | Tensor | None = None,
    budget_bytes: int = BUDGET_BYTES,
    precision: Precision = "auto",
) -> TopK:
    """Streams logits = hidden @ weight.T * scale + bias, in float32, through vocabulary tiles.

    What the model does to logits after its head, `logit_map` does to those here.

    Args:
        hidden: [N, D] states, already normed.
        weight: [V, D] unembedding.
        k: how many to keep, 1..V.
        bias: [V].
        scale: [V], one factor per vocabulary entry.
        logit_map: of the model; words that it bars have probability 0 and are never kept.
        tracked: ids of which logit and rank are returned, too.
        budget_bytes: bound of the tile buffers, the only memory that grows with N x V.
        precision: "exact": float32 products. "auto": the faster of that and a low-precision
            product whose shortlist is rescored, proved and, where it is not, done again.

    Raises:
        ConfigurationError: k or a tracked id is out of range; no such precision; NaN or infinity.
    """
    if precision not in get_args(Precision):
        raise ConfigurationError(f"precision is {precision!r}; take 'auto' or 'exact'")
    k, n_vocab = whole_number(k, "k"), len(weight)
    if not 1 <= k <= n_vocab:
        raise ConfigurationError(
            f"k is {k}, but must be between 1 and the vocabulary's {n_vocab} entries"
        )
    logit_map = LogitMap() if logit_map is None else logit_map
    if k > logit_map.words(n_vocab):
        raise ConfigurationError(
            f"k is {k}, but the model bars all but {logit_map.words(n_vocab)} words"
        )
    tracked_T = None
    if tracked is not None:
        tracked_T = torch.as_tensor(tracked, dtype=torch.long, device=hidden.device)
        if not all(0 <= token < n_vocab for token in tracked_T.tolist()):
            raise ConfigurationError(f"tracked ids must lie between 0 and {n_vocab - 1}")
    cells = max(1, budget_bytes // (4 * _BUFFERS))
    rows = max(1, min(len(hidden), cells // min(n_vocab, _NARROWEST_TILE)))
    width = max(1, min(n_vocab, cells // rows))
    chunks = [
        _stream(chunk, weight, k, bias, scale, logit_map, tracked_T, width)
        for chunk in hidden.split(rows)
    ]
    *tensors, _ = zip(*chunks, strict=True)
    top = TopK(*map(_cat, tensors))
    if not top.logsumexp.isfinite().all():
        raise ConfigurationError(
            "the states or the unembedding hold NaN or infinity, so there are no words to read"
        )
    return top


def _cat(parts: tuple[Any, ...]) -> Any:
    return None if parts[0] is None else torch.cat(parts)


def _stream(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    k: int,
    bias_V: Tensor | None,
    scale_V: Tensor | None,
    logit_map: LogitMap,
    tracked_T: Tensor | None,
    width: int,
) -> TopK:
    hidden_ND = hidden_ND.float()
    n = len(hidden_ND)
    best = hidden_ND.new_empty(n, 0), torch.empty(n, 0, dtype=torch.long, device=hidden_ND.device)
    softmax = _RunningSoftmax()
    watch = None
    if tracked_T is not None:
        followed_NT = logits_of(hidden_ND, weight_VD, bias_V, scale_V, tracked_T)
        watch = _Tracker(tracked_T, logit_map.apply(followed_NT, tracked_T, _BARRED))
    for start in range(0, len(weight_VD), width):
        tile = slice(start, start + width)
        logits_NC = logits_of(hidden_ND, weight_VD, bias_V, scale_V, tile)
        logits_NC = logit_map.apply(logits_NC, tile, _BARRED)
        best = _merge(best, _tile_topk(logits_NC, k, start), k)
        if watch is not None:
            watch.add(logits_NC, start)
        softmax.add(logits_NC)
    logits_NK, ids_NK = best
    logsumexp_N, entropy_N = softmax.result()
    tracked_logits, tracked_rank = (
        (None, None) if watch is None else watch.result(ids_NK, logits_NK)
    )
    return TopK(ids_NK, logits_NK, logsumexp_N, entropy_N, tracked_logits, tracked_rank)


def _tile_topk(logits_NC: Tensor, k: int, start: int) -> tuple[Tensor, Tensor]:
    """The tile's k best (logits, ids), ordered by falling logit, then rising id."""
    k = min(k, logits_NC.shape[1])
    values, columns = logits_NC.topk(k)
    # torch.topk picks among equals as it likes. That can only matter where more entries reach the
    # k-th value than there is room for.
    crowded = ((logits_NC >= values[:, -1:]).sum(1) > k).nonzero().squeeze(1)
    if len(crowded):
        rows = logits_NC[crowded]
        columns[crowded] = rows.sort(dim=1, descending=True, stable=True).indices[:, :k]
    columns = columns.sort(dim=1).values
    values, order = logits_NC.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order) + start


def _merge(
    best: tuple[Tensor, Tensor], more: tuple[Tensor, Tensor], k: int
) -> tuple[Tensor, Tensor]:
    """Best k of both; `more` has the higher ids, so a stable sort breaks ties by the lower id."""
    values, ids = (torch.cat(pair, dim=1) for pair in zip(best, more, strict=True))
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values[:, :k], ids.gather(1, order)[:, :k]


class _RunningSoftmax:
    """logsumexp and entropy, a tile at a time.

    Holds m = max l, s = sum exp(l - m) and u = sum exp(l - m) (l - m), N numbers each. Then
    logsumexp = m + log s, and entropy = log s - u / s, which does not cancel however large the
    logits are.
    """

    def __init__(self) -> None:
        self.m: Tensor | None = None
        self.s: Tensor
        self.u: Tensor

    def add(self, logits_NC: Tensor) -> None:
        """Overwrites `logits_NC`: the caller must be done with it."""
        top_N1 = logits_NC.amax(1, keepdim=True)
        shifted = logits_NC.sub_(top_N1)
        weights = shifted.exp()
        s = weights.sum(1)
        u = weights.mul_(shifted).sum(1)
        m = top_N1.squeeze(1)
        if self.m is not None:
            top = torch.maximum(self.m, m)
            (s_old, u_old), (s, u) = _rebase(self.m, self.s, self.u, top), _rebase(m, s, u, top)
            m, s, u = top, s_old + s, u_old + u
        self.m, self.s, self.u = m, s, u

    def result(self) -> tuple[Tensor, Tensor]:
        assert self.m is not None
        log_s = self.s.log()
        return self.m + log_s, (log_s - self.u / self.s).clamp_min(0)


def _rebase(m: Tensor, s: Tensor, u: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    """s and u as they would be had they been taken about `top` instead of m."""
    drop = m - top
    factor = drop.exp()
    return factor * s, factor * (u + s * drop)


class _Tracker:
    """Ranks of chosen ids: how many others stand before them."""

    def __init__(self, ids_T: Tensor, logits_NT: Tensor) -> None:
        self.ids_T = ids_T
        self.logits_NT = logits_NT
        self.before_NT = torch.zeros_like(logits_NT, dtype=torch.long)

    def add(self, logits_NC: Tensor, start: int) -> None:
        ids_C = torch.arange(start, start + logits_NC.shape[1], device=logits_NC.device)
        # one word at a time: [N, C, T] would break the memory bound
        for t, word in enumerate(self.ids_T.tolist()):
            own_N1 = self.logits_NT[:, t : t + 1]
            before = (logits_NC > own_N1) | ((logits_NC == own_N1) & (ids_C < word))
            # the same logit out of a matmul of another shape may differ in its last bit
            before[:, ids_C == word] = False
            self.before_NT[:, t] += before.sum(1)

    def result(self, ids_NK: Tensor, logits_NK: Tensor) -> tuple[Tensor, Tensor]:
        """Where a tracked id is among the best, the two answers are made one."""
        k = ids_NK.shape[1]
        is_NTK = ids_NK[:, None, :] == self.ids_T[None, :, None]
        kept_NT, place_NT = is_NTK.any(2), is_NTK.int().argmax(2)
        logits = torch.where(kept_NT, logits_NK.gather(1, place_NT), self.logits_NT)
        logits = torch.where(logits <= _BARRED, float("-inf"), logits)
        return logits, torch.where(kept_NT, place_NT, self.before_NT.clamp_min(k))
