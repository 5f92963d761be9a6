"""The logit lens: each state of the residual stream, read as if it were the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.choice import Precision
from llavit_lens.lens.leaders import leaders_of
from llavit_lens.lens.token_strings import string_of, token_strings
from llavit_lens.lens.topk import TopK, topk_unembed
from llavit_lens.results.layered_words import Tracked
from llavit_lens.results.token_words import TokenWords
from llavit_lens.results.words import Words
from llavit_lens.vlm.token_trace import TokenTrace
from llavit_lens.vlm.trace import Trace, trace_of


@overload
def logit_lens(
    trace: Trace,
    k: int = ...,
    layers: int | Sequence[int] | None = ...,
    tracked: Sequence[str] | None = ...,
    *,
    image: int | None = ...,
    precision: Precision = ...,
    leaders: bool = ...,
) -> Words: ...


@overload
def logit_lens(
    trace: TokenTrace,
    k: int = ...,
    layers: int | Sequence[int] | None = ...,
    tracked: Sequence[str] | None = ...,
    *,
    precision: Precision = ...,
    leaders: bool = ...,
) -> TokenWords: ...


@torch.no_grad()
def logit_lens(
    trace: Trace | TokenTrace,
    k: int = 5,
    layers: int | Sequence[int] | None = None,
    tracked: Sequence[str] | None = None,
    *,
    image: int | None = None,
    precision: Precision = "auto",
    leaders: bool = True,
) -> Words | TokenWords:
    """The k likeliest words of softmax(W_U norm(h)) for every visual token and layer.

    The final norm is applied exactly once to every state, so the last layer's words are those of
    the model's own logits: what the model does to logits after its head (a soft cap, a scale) is
    done here too, and words that it bars have probability 0. The norm runs in the model's dtype, as
    it does in the model; words stand in the order of their logits, summed in float64 and rounded
    once to float32.

    Args:
        trace: states before the final norm. Those of tokens of text (`trace.text`, or of an
            answer, `vlm.generate(..., trace=True).trace`) give `TokenWords`.
        k: words per patch and layer.
        layers: one or several; 0 = projector output, l = output of decoder layer l, negative =
            from the last. All by default.
        tracked: list of further words to follow, each one token. The token of exactly this text is
            followed and, only if there is none, the one with a space before it. Many vocabularies
            have both: ask for ' dog' to follow the form inside a sentence. `Words.tracked.words`
            says which it is.
        image: of a trace of several images, the number of the one to read, from 0.
        precision: "exact": every product is float32. "auto": the faster of that and a low-precision
            shortlist that is proved. Words and order are the same; log-probabilities and entropy
            are then as near as `TopK.logsumexp_error` says; see `topk_unembed`.
        leaders: whether the words that come first at any layer of a patch are followed through all
            layers: see `Words.trajectory`. That costs next to nothing.

    Raises:
        ConfigurationError: no such layer; k out of range; a tracked word that is not one token; a
            trace of several images, of which none is chosen.
    """
    if isinstance(trace, TokenTrace):
        if image is not None:
            raise ConfigurationError(
                f"image={image} is for visual tokens, and this trace is of text; leave it out"
            )
        table = token_strings(trace.readout.tokenizer)
        return TokenWords(
            **_read(trace, k, layers, tracked, precision, leaders),
            positions=trace.positions.cpu().numpy(),
            tokens=[string_of(table, token_id) for token_id in trace.ids.tolist()],
            prompt_length=trace.prompt_length,
        )
    trace = trace_of(trace, image)
    return Words(
        **_read(trace, k, layers, tracked, precision, leaders),
        layout=trace.layout,
        image=trace.image,
    )


def _read(
    trace: Trace | TokenTrace,
    k: int,
    layers: int | Sequence[int] | None,
    tracked: Sequence[str] | None,
    precision: Precision,
    leaders: bool,
) -> dict[str, Any]:
    """The fields of `LayeredWords` for all tokens of a trace."""
    readout, state_numbers = trace.readout, _chosen_layers(layers, trace.n_layers)
    table = token_strings(readout.tokenizer)
    tracked_ids = None if tracked is None else _tracked_ids(tracked, table)
    states = trace.hidden[state_numbers]
    normed = readout.normed(states)
    top = topk_unembed(
        normed.flatten(0, 1),
        readout.unembedding,
        k,
        bias=readout.unembedding_bias,
        logit_map=readout.logit_map,
        tracked=tracked_ids,
        precision=precision,
    )
    shape = states.shape[:2]
    ids = top.ids.view(*shape, -1).cpu().numpy()
    values = _log_probabilities(top.logits, top, shape)
    logsumexp = top.logsumexp.view(shape).cpu().numpy()
    present = sorted({*ids.ravel().tolist(), *(tracked_ids or [])})
    return {
        "kind": "logit_lens",
        "layers": state_numbers,
        "ids": ids,
        "values": values,
        "logsumexp": logsumexp,
        "entropy": top.entropy.view(shape).cpu().numpy(),
        "strings": {token_id: string_of(table, token_id) for token_id in present},
        "provenance": trace.provenance,
        "tracked": None if tracked_ids is None else _tracked(tracked_ids, top, table, shape),
        "leaders": leaders_of(normed, readout, ids, values, logsumexp) if leaders else None,
    }


def _log_probabilities(logits: Tensor, top: TopK, shape: torch.Size) -> np.ndarray:
    """Logits [layers * n, K] -> float32 [layers, n, K], in nats."""
    return (logits - top.logsumexp[:, None]).view(*shape, -1).cpu().numpy()


def _tracked(ids: list[int], top: TopK, table: list[str], shape: torch.Size) -> Tracked:
    assert top.tracked_logits is not None and top.tracked_rank is not None
    return Tracked(
        words=[table[token_id] for token_id in ids],
        ids=np.array(ids, dtype=np.int64),
        values=_log_probabilities(top.tracked_logits, top, shape),
        ranks=top.tracked_rank.view(*shape, -1).cpu().numpy(),
    )


def _chosen_layers(layers: int | Sequence[int] | None, n_layers: int) -> list[int]:
    if layers is None:
        return list(range(n_layers + 1))
    try:
        numbers = np.atleast_1d(layers)
    except ValueError as error:  # lists of different lengths
        raise ConfigurationError(f"layers={layers!r}: give whole numbers") from error
    if not numbers.size:
        raise ConfigurationError(f"no layers chosen; the model has layers 0 to {n_layers}")
    if numbers.dtype.kind not in "iu" or numbers.ndim > 1:
        raise ConfigurationError(f"layers={layers!r}: give whole numbers, 0 to {n_layers}")
    for layer in numbers.tolist():
        if not -n_layers - 1 <= layer <= n_layers:
            raise ConfigurationError(
                f"there is no layer {layer}: the model has layers 0 to {n_layers}"
            )
    return sorted({layer % (n_layers + 1) for layer in numbers.tolist()})


def _tracked_ids(tracked: Sequence[str], table: list[str]) -> list[int]:
    if isinstance(tracked, str):
        raise ConfigurationError(f"tracked takes a list of words: tracked=[{tracked!r}]")
    if not (isinstance(tracked, Sequence) and all(isinstance(word, str) for word in tracked)):
        raise ConfigurationError(f"tracked takes a list of words, not {tracked!r}")
    return [_token_id(word, table) for word in tracked]


def _token_id(word: str, table: list[str]) -> int:
    for text in (word, f" {word}"):
        if word and text in table:
            return table.index(text)
    raise ConfigurationError(f"{word!r} is not one token of this model, so it cannot be tracked")
