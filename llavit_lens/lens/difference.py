"""Where two models, or one model before and after a change, read an image differently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.follow import cosines, own_log_probabilities
from llavit_lens.lens.token_strings import token_strings
from llavit_lens.results.matching import matched_layer, partners
from llavit_lens.results.words import Words
from llavit_lens.vlm.trace import Trace


def difference(a: Words, b: Words, trace_a: Trace, trace_b: Trace) -> np.ndarray:
    """How far two readings of the same image disagree, at each layer and patch of `a`.

    With w_a and w_b the top words of a patch: half of (s_a(w_a) - s_b(w_a)) + (s_b(w_b) -
    s_a(w_b)), how much more each makes of its own word than the other does; s is the probability
    (logit lens) or the cosine (input similarity). 0: they say the same; 1: each is certain of a
    word that the other rules out. A word that the other's vocabulary does not have counts as ruled
    out.

    A patch of `a` is held against its partner of `b` (see `partners`), a layer against the one at
    the same share of the depth.

    Args:
        a, b: of one kind of lens; the logit lens of all layers.
        trace_a, trace_b: what they were read off.

    Returns:
        float32 [layers of a, n of a], 0 to 1.

    Raises:
        ConfigurationError: words of two kinds, or not of all layers of their trace.
    """
    if a.kind != b.kind:
        raise ConfigurationError(f"a {a.kind} cannot be held against a {b.kind}; take one of them")
    for words, trace in ((a, trace_a), (b, trace_b)):
        layers = trace.n_layers + 1 if words.kind == "logit_lens" else 1
        if words.layers != list(range(layers)) or words.ids.shape[1] != trace.hidden.shape[1]:
            raise ConfigurationError(
                "these words are not those of all layers and patches of their trace; read them "
                "with logit_lens(trace) or input_similarity(trace)"
            )
    depth_a, depth_b = len(a.layers) - 1, len(b.layers) - 1
    index = np.arange(depth_a + 1)
    this = _Side(a, trace_a, index, np.arange(len(a.layout)))
    matched = matched_layer(index, depth_a, depth_b)
    other = _Side(b, trace_b, matched, partners(a.layout, b.layout))
    apart = this.top() - other.shares_of(this) + other.top() - this.shares_of(other)
    return np.clip(apart / 2, 0, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Side:
    """One reading, at L layers and m patches that fit another one.

    Attributes:
        words, trace: the reading.
        layers: int [L], indices of layers, which may repeat.
        patches: int [m], indices of visual tokens, which may repeat.
    """

    words: Words
    trace: Trace
    layers: np.ndarray
    patches: np.ndarray

    @property
    def _at(self) -> tuple[np.ndarray, np.ndarray, int]:
        return self.layers[:, None], self.patches[None], 0

    def top(self) -> np.ndarray:
        """float32 [L, m]: what the top words have here, a probability or a cosine."""
        return self._shares(self.words.values[self._at])

    def shares_of(self, other: _Side) -> np.ndarray:
        """float32 [L, m]: what the top words of the other have here."""
        ids = self._translated(other)
        if self.words.kind == "logit_lens":
            layers, patches = self.layers.tolist(), self.patches.tolist()
            return self._shares(own_log_probabilities(self.trace, self.words, ids, layers, patches))
        unique, index = np.unique(ids[0], return_inverse=True)
        values = cosines(self.trace, np.maximum(unique, 0).tolist())
        return np.where(ids < 0, 0.0, values[self.patches, index])

    def _shares(self, values: np.ndarray) -> np.ndarray:
        return np.exp(values) if self.words.kind == "logit_lens" else values

    def _translated(self, other: _Side) -> np.ndarray:
        """int64 [L, m]: the other's top words as this model's ids; -1 where it does not have
        them."""
        ids = other.words.ids[other._at]
        own_table, table = (token_strings(side.trace.readout.tokenizer) for side in (self, other))
        if own_table is not table and own_table != table:
            places = {text: token for token, text in reversed(list(enumerate(own_table)))}
            unique, index = np.unique(ids, return_inverse=True)
            own_ids = [places.get(table[t], -1) if t < len(table) else -1 for t in unique.tolist()]
            ids = np.array(own_ids, np.int64)[index].reshape(ids.shape)
        # matrices may be padded beyond the vocabulary, to one length or another
        logits = self.words.kind == "logit_lens"
        rows = self.trace.readout.unembedding if logits else self.trace.readout.embedding
        return np.where(ids < len(rows), ids, -1)
