"""What turns a state of a model into words: final norm, unembedding, word embeddings, tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.embedding import embedding_of
from llavit_lens.vlm.in_words import stored_as
from llavit_lens.vlm.logit_map import LogitMap, numbers_of, told_logit_map
from llavit_lens.vlm.stream import Stream
from llavit_lens.vlm.unembedding import Unembedding, final_norm, is_matrix, unembedding_of


@dataclass(frozen=True, eq=False)
class Readout:
    """The parts of one model that every lens reads with.

    Attributes:
        norm: the final norm; to be applied once, to any of the states.
        unembedding: [vocab, d_model].
        unembedding_bias: [vocab] or None.
        embedding: [vocab, d_model], the input word embeddings.
        tokenizer: turns ids into strings.
        logit_map: what the model does to logits after the unembedding.
    """

    norm: nn.Module
    unembedding: Tensor
    unembedding_bias: Tensor | None
    embedding: Tensor
    tokenizer: Any
    logit_map: LogitMap = field(default_factory=LogitMap)

    def __repr__(self) -> str:
        words, d_model = self.unembedding.shape
        return f"Readout({words} tokens x {d_model}, {stored_as(self.unembedding)})"

    @torch.no_grad()
    def normed(self, states: Tensor) -> Tensor:
        """States [..., d_model] after the final norm, where the unembedding is."""
        return final_norm(self.norm, states).to(self.unembedding.device)


class ReadoutCache:
    """The readout of one VLM. Every trace asks for it, as an adapter may have been switched since;
    but a matrix is in memory once as long as it stays the same."""

    def __init__(self) -> None:
        self._latest: Readout | None = None

    @property
    def latest(self) -> Readout | None:
        """The one that the last pass has shown; None before the first."""
        return self._latest

    def __repr__(self) -> str:
        return f"ReadoutCache({'empty' if self._latest is None else self._latest})"

    def of(
        self,
        decoder: Decoder,
        stream: Stream,
        logits: Tensor,
        tokenizer: Any,
        device: torch.device,
        name: str,
    ) -> Readout:
        """The readout, held against the model's own logits.

        Args:
            decoder: of the model.
            stream: of a pass, with the states of the last token of each sample as its last ones.
            logits: [B, V], what the model made of them; or [V], of one sample. Each is held
                against the lens: all samples in one product, for which the matrix is read once.
            tokenizer: of the model.
            device: where the model takes ids.
            name: of the model, for errors.

        Raises:
            ConfigurationError: as `unembedding_of`.
        """
        latest = self._latest
        earlier = None
        if latest is not None and not _is_weight_of(decoder.head, latest.unembedding):
            earlier = Unembedding(latest.unembedding, latest.unembedding_bias)
        assert stream.norm is not None, "Stream.hidden has refused a pass without one"
        logits_BV = logits if logits.ndim == 2 else logits[None]
        size = logits_BV.shape[1]
        norm, states = stream.norm, stream.states[-1][-len(logits_BV) :]
        made, logit_map = _made_by_head(stream, logits_BV, decoder.config)
        scale = _scale_before_head(norm, states, stream, decoder.config)
        weight, bias = unembedding_of(decoder, norm, scale, states, made, earlier, name)
        weight, bias = weight[:size], None if bias is None else bias[:size]
        if scale != 1:  # lenses multiply with states that are not scaled
            logit_map = replace(logit_map, scale=logit_map.scale * scale)
            bias = None if bias is None else bias / scale
        if logit_map.barred is not None:
            logit_map = replace(logit_map, barred=logit_map.barred.to(weight.device))
        embedding = embedding_of(decoder.embedding, size, device)
        if latest is not None:
            weight = _reused(weight, latest.unembedding)
            embedding = _reused(embedding, latest.embedding)
            if bias is not None and latest.unembedding_bias is not None:
                bias = _reused(bias, latest.unembedding_bias)
            if logit_map == latest.logit_map:
                logit_map = latest.logit_map
        parts = (norm, weight, bias, embedding, tokenizer, logit_map)
        if latest is None or any(
            part is not other for part, other in zip(parts, vars(latest).values(), strict=True)
        ):
            latest = self._latest = Readout(*parts)
        return latest  # not `self._latest`: by now it may be that of another thread's pass


def _made_by_head(stream: Stream, logits_BV: Tensor, config: Any) -> tuple[Tensor, LogitMap]:
    """What the head made of the last tokens, [B, size of the head], and the map to the logits.

    Where that map cannot be told, or is not the same for all, the head is held to the logits
    themselves: rounding is all that may then be between the two.
    """
    made, size = stream.heads_made, logits_BV.shape[1]
    # a head may be padded beyond the vocabulary, whose size the config names
    if made is not None and (made.shape[1] == size or size in numbers_of(config)):
        pairs = zip(made[:, :size], logits_BV, strict=True)
        first, *others = (told_logit_map(raw, logits, config) for raw, logits in pairs)
        if first is not None and all(other == first for other in others):
            return made, first
    return logits_BV, LogitMap()


def _scale_before_head(norm: nn.Module, states_BD: Tensor, stream: Stream, config: Any) -> float:
    """The factor between the final norm and the head; 1 if it cannot be told."""
    if stream.heads_given is None:
        return 1.0
    with torch.no_grad():
        normed = final_norm(norm, states_BD[:1])[0]
    told = told_logit_map(normed, stream.heads_given[0], config)
    return told.scale if told is not None and told.cap is None and told.barred is None else 1.0


def _is_weight_of(head: nn.Module, matrix: Tensor) -> bool:
    """Whether it is a weight of the head, which an adapter may have changed the effect of since."""
    return any(
        is_matrix(weight) and weight.data_ptr() == matrix.data_ptr() for weight in head.parameters()
    )


def _reused(table: Tensor, latest: Tensor) -> Tensor:
    """The latest table, if this one is the same."""
    if (table.shape, table.dtype, table.device) != (latest.shape, latest.dtype, latest.device):
        return table
    is_same = table.data_ptr() == latest.data_ptr() or torch.equal(table, latest)
    return latest if is_same else table
