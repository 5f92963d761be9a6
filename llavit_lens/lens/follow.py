"""Any words, followed through all layers after the lens has run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.token_strings import token_strings
from llavit_lens.results.words import Words
from llavit_lens.vlm.float32 import full_float32
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.unembedding import logits_of


@dataclass(frozen=True)
class Tokens:
    """The tokens that stand for a word."""

    word: str
    ids: tuple[int, ...]
    """Tokens that are read as this word: its text, and its text with a space before it."""
    texts: tuple[str, ...]
    pieces: tuple[str, ...]
    """All pieces of a word that is no single token: `ids` is then its first piece alone."""


def tokens_of(word: str, trace: Trace) -> Tokens:
    """The tokens to follow for `word`: `tokens_in` the vocabulary of the model that was traced."""
    return tokens_in(word, trace.readout.tokenizer)


def tokens_in(word: str, tokenizer: Any) -> Tokens:
    """The tokens to follow for `word`.

    Many vocabularies have a word twice, with and without a space before it; both are taken. A word
    that is no single token is followed by its first piece, as it stands inside a sentence.

    Raises:
        ConfigurationError: there is no word.
    """
    text = word.strip()
    if not text:
        raise ConfigurationError("there is no word to look for: type one")
    table = token_strings(tokenizer)
    forms = [form for form in (text, f" {text}") if form in table]
    if forms:
        ids = tuple(table.index(form) for form in forms)
        return Tokens(text, ids, tuple(forms), ())
    pieces = tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
    unknown = tokenizer.unk_token_id
    # a bare space is no piece of the word
    pieces = [piece for piece in pieces if table[piece].strip()]
    if not pieces or unknown in pieces:
        raise ConfigurationError(f"{text!r} is not in this model's vocabulary, not even in pieces")
    return Tokens(text, (pieces[0],), (table[pieces[0]],), tuple(table[p] for p in pieces))


@torch.no_grad()
@full_float32()
def log_probabilities(
    trace: Trace, words: Words, ids: Sequence[int], patches: Sequence[int] | None = None
) -> np.ndarray:
    """The log-probabilities that the logit lens gives to chosen tokens.

    Args:
        trace: states before the final norm.
        words: the logit lens of all layers of this trace; its logsumexp is used.
        ids: T tokens.
        patches: indices of m of the visual tokens; default: all n.

    Returns:
        float32 [layers + 1, m, T], in nats.

    Raises:
        ConfigurationError: the words are not the logit lens of all layers of this trace.
    """
    shape = tuple(trace.hidden.shape[:2])
    if words.logsumexp is None or words.logsumexp.shape != shape:
        raise ConfigurationError("these words are not the logit lens of all layers of this trace")
    rows = slice(None) if patches is None else list(patches)
    rows_TD, bias_T, index_T = _rows(trace, ids)
    logit_map = trace.readout.logit_map
    logits = []
    for state_ND in trace.hidden:  # a layer at a time: memory does not grow with depth
        normed = trace.readout.normed(state_ND[rows])
        logits_NT = logits_of(normed, rows_TD, bias_T)
        logits.append(logit_map.apply(logits_NT, index_T).cpu().numpy())
    return np.minimum(np.stack(logits) - words.logsumexp[:, rows, None], 0.0)


@torch.no_grad()
@full_float32()
def own_log_probabilities(
    trace: Trace, words: Words, ids: np.ndarray, layers: Sequence[int], patches: Sequence[int]
) -> np.ndarray:
    """The log-probability of one token for each layer and patch, another one for each.

    Args:
        trace, words: as `log_probabilities`.
        ids: int64 [L, m]; -1 where there is no such token: its probability is 0.
        layers: L layers, which may repeat.
        patches: indices of m visual tokens, which may repeat.

    Returns:
        float32 [L, m], in nats.
    """
    assert words.logsumexp is not None
    index = torch.as_tensor(patches, dtype=torch.long, device=trace.hidden.device)
    values = np.empty(ids.shape, np.float32)
    for row, layer in enumerate(layers):
        normed = trace.readout.normed(trace.hidden[layer].index_select(0, index)).float()
        rows_MD, bias_M, index_M = _rows(trace, np.maximum(ids[row], 0).tolist())
        logits_M = (normed * rows_MD).sum(1) + bias_M
        logits = trace.readout.logit_map.apply(logits_M, index_M).cpu().numpy()
        values[row] = np.minimum(logits - words.logsumexp[layer, list(patches)], 0.0)
    return np.where(ids < 0, -np.inf, values).astype(np.float32)


@torch.no_grad()
@full_float32()
def cosines(trace: Trace, ids: Sequence[int]) -> np.ndarray:
    """float32 [n, T]: cos(v, w) of visual tokens at the input with T word embeddings (Eq. 4)."""
    visual = normalize(trace.hidden[0].to(trace.readout.embedding.device, torch.float32), dim=1)
    rows = normalize(trace.readout.embedding[list(ids)].float(), dim=1)
    return (visual @ rows.T).cpu().numpy()


def _rows(trace: Trace, ids: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the unembedding, [T, D] and [T], in float32, and the ids of these words, [T]."""
    index = torch.as_tensor(list(ids), dtype=torch.long, device=trace.readout.unembedding.device)
    rows = trace.readout.unembedding.index_select(0, index).float()
    bias = trace.readout.unembedding_bias
    return rows, rows.new_zeros(len(index)) if bias is None else bias[index].float(), index
