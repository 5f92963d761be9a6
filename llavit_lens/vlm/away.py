"""Traces away from their model: as plain data in a file or another process, and back.

A pickled trace has its states, and no part of the model. In the place of its readout is a note that
says which readout it was: so that of another model is refused.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any, Self

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.vlm.in_words import stored_as
from llavit_lens.vlm.readout import Readout

_SAMPLE = 64
"""Rows of the matrices, and words, that are told apart by."""


@dataclass(frozen=True)
class Fingerprint:
    """By which a readout is known again.

    Attributes:
        shape: tokens x width of the unembedding, and its number format.
        digest: sha256 of the norm's weights, of some rows of both matrices and of the bias, of what
            the model does to logits, and of some words.
    """

    shape: str
    digest: str

    @classmethod
    def of(cls, readout: Readout) -> Fingerprint:
        """That of a readout, or the one that a trace away from its model has kept."""
        if isinstance(readout, AbsentReadout):
            return readout.kept
        unembedding = readout.unembedding
        words, width = unembedding.shape
        some = torch.linspace(0, words - 1, min(words, _SAMPLE), dtype=torch.float64).long()
        tensors = [table[some.to(table.device)] for table in (unembedding, readout.embedding)]
        if readout.unembedding_bias is not None:
            tensors.append(readout.unembedding_bias[some.to(unembedding.device)])
        tensors += [weight for weight in readout.norm.parameters() if not weight.is_meta]
        digest = sha256()
        for tensor in tensors:
            digest.update(
                tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            )
        strings = getattr(readout.tokenizer, "convert_ids_to_tokens", lambda ids: None)
        digest.update(repr((readout.logit_map.in_words(), strings(some.tolist()))).encode())
        return cls(f"{words} tokens x {width}, {stored_as(unembedding)}", digest.hexdigest())


class AbsentReadout(Readout):
    """In the place of a readout, where there is no model: whoever reads with it is told what to do.

    Attributes:
        model: the name of the model.
        kept: which readout it was.
    """

    model: str
    kept: Fingerprint

    def __init__(self, model: str, kept: Fingerprint) -> None:
        vars(self).update(model=model, kept=kept)

    def __repr__(self) -> str:
        return f"AbsentReadout({self.model}, {self.kept.shape})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise ConfigurationError(
            f"this trace came here without its model, {self.model}, so nothing can read its words; "
            "give it the model's parts: trace = trace.with_readout(vlm.readout), with "
            "vlm = ll.load(...)"
        )


class Portable:
    """A trace that leaves its model behind when it is pickled; a dataclass."""

    hidden: Tensor
    readout: Readout
    provenance: dict[str, Any]

    def with_readout(self, readout: Readout) -> Self:
        """The same states, read with these parts: `vlm.readout` of the model that made them.

        Raises:
            ConfigurationError: they are not those of that model.
        """
        model = _model_of(self)
        if not isinstance(readout, Readout) or isinstance(readout, AbsentReadout):
            raise ConfigurationError(
                f"with_readout takes a model's readout, not a {type(readout).__name__}; pass "
                "vlm.readout"
            )
        own, other = Fingerprint.of(self.readout), Fingerprint.of(readout)
        if own.shape != other.shape:
            raise ConfigurationError(
                f"this trace is of {model}, read with {own.shape}; this readout, {other.shape}, is "
                "of another model"
            )
        if own != other:
            raise ConfigurationError(
                f"this readout is not that of {model}, of which this trace is: other weights or "
                "words; take vlm.readout of the model that made the trace, as it was then"
            )
        return replace(self, readout=readout)  # type: ignore[type-var]

    def __getstate__(self) -> dict[str, Any]:
        kept = Fingerprint.of(self.readout)
        return {
            **vars(self),
            "hidden": _alone(self.hidden),
            "readout": AbsentReadout(_model_of(self), kept),
        }

    def __copy__(self) -> Self:
        return replace(self)  # type: ignore[type-var]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """With states of its own, and the model's parts."""
        names = [one.name for one in fields(self)]  # type: ignore[arg-type]
        copies = {name: deepcopy(getattr(self, name), memo) for name in names if name != "readout"}
        return replace(self, **copies)  # type: ignore[type-var]


def _alone(states: Tensor) -> Tensor:
    """States in main memory, in a storage that holds nothing else: pickle writes all of it."""
    states = states.detach().cpu().contiguous()
    return states if states.untyped_storage().nbytes() == states.nbytes else states.clone()


def _model_of(trace: Portable) -> str:
    return printable(str(trace.provenance.get("model")), 60)
