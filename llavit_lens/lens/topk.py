"""Top-k, logsumexp and entropy over a vocabulary, without ever holding all logits.

Tile by tile, a product finds a shortlist of words for each state. Their logits are computed once
more, in float64 (`rescoring`), and put in order. A bound on the rounding of the product
(`rounding`) then proves that no other word belongs among the best. Where it does not, the row is
done again: after a low-precision product in float32, after a float32 one with a longer shortlist.
So ids, their order, and the ranks of tracked words do not depend on tiles, on the budget, or on
the kind of product.

Shape suffixes: N states, D model width, V vocabulary, C columns of one vocabulary tile, K kept,
M words of a shortlist, T tracked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import whole_number
from llavit_lens.lens.choice import Precision, copy_fits, fast_pays
from llavit_lens.lens.products import Buffer, Float32Product, LowProduct, Product, loses_nothing
from llavit_lens.lens.ranks import RankCounter
from llavit_lens.lens.rescoring import Vocabulary, in_order, rescored
from llavit_lens.lens.running_softmax import RunningSoftmax
from llavit_lens.lens.shortlist import Shortlist
from llavit_lens.vlm.float32 import full_float32
from llavit_lens.vlm.logit_map import LogitMap

BUDGET_BYTES = 192 * 1024 * 1024
# Float32 buffers of the size of a logits tile that are alive at once.
_BUFFERS = 3
# On a CPU, short rows of tiles are fast and small row chunks are ruinous, so the vocabulary is cut
# first; rows are cut only when even this narrow a tile would not fit the budget.
_NARROWEST_TILE = 2048
_ROWS_ON_CPU = 1024
"""With the narrowest tile, logits that stay in a CPU's cache for all that is done to them."""
_SPARE_EXACT, _SPARE_FAST = 5, 59
"""Words of a shortlist beyond the k that are asked for."""
_LONGER = 16
"""How many times longer a shortlist gets where it proves nothing."""
_NOT_FINITE = "the states or the unembedding hold NaN or infinity, so there are no words to read"


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
    logsumexp_error: Tensor | None = None
    """float32 [N], how far the fast path's logsumexp may be off, beside float32's own rounding: a
    proved bound, far above what is seen. None on the exact path."""
    entropy_error: Tensor | None = None
    """The same of the entropy."""


@torch.no_grad()
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
        precision: "exact": float32 products. "auto": the faster of that and of a bfloat16 product
            whose shortlist is rescored and proved, as a short measurement at first use tells.
            Ids, order and ranks are the same, logits within float32's rounding. What words beyond
            the shortlist add to logsumexp and entropy then comes from low-precision logits:
            `TopK.logsumexp_error` bounds what that does. Tracked words are read the exact way
            unless states and words are bfloat16, on a GPU. A bfloat16 copy of other words is kept
            as long as `weight` lives, V * D * 2 bytes; bfloat16 words need none.

    Raises:
        ConfigurationError: k or a tracked id is out of range; no such precision; NaN or infinity.
    """
    if precision not in get_args(Precision):
        raise ConfigurationError(f"precision is {precision!r}; take 'auto' or 'exact'")
    logit_map = LogitMap() if logit_map is None else logit_map
    n_vocab = len(weight)
    k = _checked_k(k, n_vocab, logit_map)
    tracked_T = None
    if tracked is not None:
        tracked_T = torch.as_tensor(tracked, dtype=torch.long, device=hidden.device)
        if not all(0 <= token < n_vocab for token in tracked_T.tolist()):
            raise ConfigurationError(f"tracked ids must lie between 0 and {n_vocab - 1}")
    vocabulary = Vocabulary(weight, bias, scale, logit_map)
    if not vocabulary.prepared.is_finite:
        raise ConfigurationError(_NOT_FINITE)
    reader = _Reader(vocabulary, k, tracked_T, budget_bytes // (4 * _BUFFERS))
    is_fast = precision == "auto" and (tracked_T is None or loses_nothing(hidden, weight))
    is_fast = is_fast and fast_pays(hidden, weight) and copy_fits(vocabulary.prepared)
    chunks = []
    for states_ND in hidden.split(reader.rows(hidden)):
        chunk = reader.fast(states_ND.float()) if is_fast else reader.exact(states_ND.float())
        # where the bound proves next to nothing, shortlists are a waste
        is_fast = is_fast and chunk.redone <= len(states_ND) // 2
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else _joined(chunks)


def _checked_k(k: int, n_vocab: int, logit_map: LogitMap) -> int:
    k = whole_number(k, "k")
    if not 1 <= k <= n_vocab:
        raise ConfigurationError(
            f"k is {k}, but must be between 1 and the vocabulary's {n_vocab} entries"
        )
    if k > logit_map.words(n_vocab):
        raise ConfigurationError(
            f"k is {k}, but the model bars all but {logit_map.words(n_vocab)} words"
        )
    return k


def _joined(chunks: list[TopK]) -> TopK:
    if any(chunk.logsumexp_error is not None for chunk in chunks):
        chunks = [_with_errors(chunk) for chunk in chunks]
    columns = {
        name: torch.cat([getattr(chunk, name) for chunk in chunks])
        for name, part in chunks[0]._asdict().items()
        if isinstance(part, Tensor)
    }
    return chunks[0]._replace(**columns, redone=sum(chunk.redone for chunk in chunks))


def _with_errors(top: TopK) -> TopK:
    """With errors of 0 where the exact path has none."""
    if top.logsumexp_error is not None:
        return top
    zeros = torch.zeros_like(top.logsumexp)
    return top._replace(logsumexp_error=zeros, entropy_error=zeros)


@dataclass(frozen=True)
class _Reader:
    """Reads a chunk of states."""

    vocabulary: Vocabulary
    k: int
    tracked_T: Tensor | None
    cells: int
    """Logits of a tile at most."""

    def rows(self, hidden: Tensor) -> int:
        """States of a chunk."""
        rows = self.cells // min(len(self.vocabulary), _NARROWEST_TILE)
        if hidden.device.type == "cpu":
            rows = min(rows, _ROWS_ON_CPU)
        return max(1, min(len(hidden), rows))

    def width(self, hidden_ND: Tensor) -> int:
        """Words of a tile."""
        n, d = hidden_ND.shape
        is_cast = self.vocabulary.weight.dtype != torch.float32
        width = self.cells // max(1, n, d if is_cast else 1)  # words in float32 are [width, D]
        if hidden_ND.device.type == "cpu":
            width = min(width, _NARROWEST_TILE)
        return max(1, min(len(self.vocabulary), width))

    def exact(self, hidden_ND: Tensor) -> TopK:
        """By float32 products."""
        product = Float32Product(hidden_ND, self.vocabulary, self.width(hidden_ND))
        softmax, ranks = RunningSoftmax(), self._rank_counter(hidden_ND)
        words = self._sweep(hidden_ND, product, self.k + _SPARE_EXACT, softmax, ranks)
        logsumexp_N, entropy_N = softmax.result()
        if not logsumexp_N.isfinite().all():
            raise ConfigurationError(_NOT_FINITE)
        logits_NK, ids_NK = self._proved(hidden_ND, words)
        tracked = (None, None) if ranks is None else ranks.result(ids_NK, logits_NK)
        return TopK(ids_NK, logits_NK, logsumexp_N, entropy_N, *tracked)

    def fast(self, hidden_ND: Tensor) -> TopK:
        """By low-precision products, and float32 ones where those prove nothing."""
        product = LowProduct(hidden_ND, self.vocabulary, self.width(hidden_ND))
        softmax, ranks = RunningSoftmax(), self._rank_counter(hidden_ND)
        size = max(2 * self.k, self.k + _SPARE_FAST)
        words = self._sweep(hidden_ND, product, size, softmax, ranks)
        logits_NM = rescored(hidden_ND, self.vocabulary, words.ids_NM)
        places_NK = in_order(logits_NM, words.ids_NM, self.k)
        logits_NK, ids_NK = logits_NM.gather(1, places_NK), words.ids_NM.gather(1, places_NK)
        sure_N = (words.ceiling_N.float() < logits_NK[:, -1]) & words.agrees(logits_NM)
        share_N = softmax.replace(words.logits_NM, logits_NM)
        logsumexp_N, entropy_N = softmax.result()
        sure_N &= logsumexp_N.isfinite()
        errors = _errors(product.slack.anywhere(), share_N, len(self.vocabulary))
        tracked = (None, None) if ranks is None else ranks.result(ids_NK, logits_NK)
        top = TopK(ids_NK, logits_NK, logsumexp_N, entropy_N, *tracked)
        top = top._replace(logsumexp_error=errors[0], entropy_error=errors[1])
        unsure = (~sure_N).nonzero().squeeze(1)
        if not len(unsure):
            return top
        again = _with_errors(self.exact(hidden_ND[unsure]))
        for part, done in zip(top, again, strict=True):
            if isinstance(part, Tensor) and isinstance(done, Tensor):
                part[unsure] = done
        return top._replace(redone=len(unsure))

    def _rank_counter(self, hidden_ND: Tensor) -> RankCounter | None:
        if self.tracked_T is None:
            return None
        return RankCounter(hidden_ND, self.vocabulary, self.tracked_T)

    def _sweep(
        self,
        hidden_ND: Tensor,
        product: Product,
        size: int,
        softmax: RunningSoftmax | None = None,
        ranks: RankCounter | None = None,
    ) -> Shortlist:
        """Once through the vocabulary."""
        n, v, width = len(hidden_ND), len(self.vocabulary), self.width(hidden_ND)
        words = Shortlist(hidden_ND, min(size, v))
        scratch = None if softmax is None else Buffer(hidden_ND, n * width, torch.float32)
        for number, start in enumerate(range(0, v, width)):
            tile = slice(start, start + width)
            logits_NC = self.vocabulary.finish(product.tile(tile), tile)
            slack_N = product.slack.of(number)
            words.add(logits_NC, start, slack_N)
            if ranks is not None:
                ranks.add(logits_NC, start, slack_N)
            if softmax is not None and scratch is not None:
                softmax.add(logits_NC, scratch.of(*logits_NC.shape))
            del logits_NC  # before the next one is made
        return words

    def _proved(self, hidden_ND: Tensor, words: Shortlist) -> tuple[Tensor, Tensor]:
        """The k best (logits, ids), with longer shortlists where this one proves nothing."""
        logits_NM = rescored(hidden_ND, self.vocabulary, words.ids_NM)
        places_NK = in_order(logits_NM, words.ids_NM, self.k)
        logits_NK, ids_NK = logits_NM.gather(1, places_NK), words.ids_NM.gather(1, places_NK)
        sure_N = words.ceiling_N.float() < logits_NK[:, -1]
        logits_NK = _own_where_in_order(words.logits_NM.gather(1, places_NK), logits_NK, ids_NK)
        if self.vocabulary.bias is None:  # all words tie, and longer lists would not help
            is_zero_N = (hidden_ND == 0).all(1) & ~sure_N
            logits_NK[is_zero_N], ids_NK[is_zero_N] = 0, self._first_words()
            sure_N |= is_zero_N
        unsure = (~sure_N).nonzero().squeeze(1)
        if words.size == len(self.vocabulary) or not len(unsure):
            return logits_NK, ids_NK
        size = min(words.size * _LONGER, len(self.vocabulary))
        # a shortlist and the tile that is added to it are 32 bytes a word
        for some in unsure.split(max(1, self.cells // (6 * size))):
            states_ND = hidden_ND[some]
            product = Float32Product(states_ND, self.vocabulary, self.width(states_ND))
            longer = self._sweep(states_ND, product, size)
            logits_NK[some], ids_NK[some] = self._proved(states_ND, longer)
        return logits_NK, ids_NK

    def _first_words(self) -> Tensor:
        """[K], the lowest ids that the model does not bar."""
        barred = self.vocabulary.logit_map.barred
        if barred is None:
            return torch.arange(self.k, device=self.vocabulary.weight.device)
        return (~barred).nonzero().squeeze(1)[: self.k]


def _own_where_in_order(own_NK: Tensor, rescored_NK: Tensor, ids_NK: Tensor) -> Tensor:
    """The float32 product's own logits, but in rows where they would put words, which float32 does
    not tell apart, in another order."""
    falls = own_NK[:, :-1] > own_NK[:, 1:]
    ties = (own_NK[:, :-1] == own_NK[:, 1:]) & (ids_NK[:, :-1] < ids_NK[:, 1:])
    return torch.where((falls | ties).all(1, keepdim=True), own_NK, rescored_NK)


def _errors(slack_N: Tensor, share_N: Tensor, n_vocab: int) -> tuple[Tensor, Tensor]:
    """How far logsumexp and entropy may be off, where words of a share of the softmax are off by
    at most the slack.

    With the share p of those words, and each off by at most b, their sum of exp is off by a factor
    between exp(-b) and exp(b). So logsumexp is off by log(1 + p (exp(b) - 1)) at most, or, the
    other way, by -log(1 - p (1 - exp(-b))).
    The entropy H changes by -sum p_v (log p_v + H) db_v along the way, that is by at most b times
    the standard deviation of log p; of V words that is below 1 + log(V) / 2 (Reeb and Wolf, 2015).
    """
    b_N = slack_N.double()
    up_N = torch.where(b_N < 50, torch.log1p(share_N * b_N.clamp_max(50).expm1()), b_N)
    down_N = -torch.log1p(share_N * (-b_N).expm1())
    entropy_N = b_N * (1 + log(n_vocab) / 2)
    return torch.maximum(up_N, down_N).float(), entropy_N.float()
