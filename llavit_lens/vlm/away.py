"""Traces away from their model: as plain data in a file or another process, and back.

A pickled trace has its states, and no part of the model. In the place of its readout is a note that
says which readout it was: so that of another model is refused.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields, replace
from typing import Any, Self

from torch import Tensor

from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.vlm.fingerprint import Fingerprint
from llavit_lens.vlm.readout import Readout


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
        return f"AbsentReadout({self.model}, {self.kept.shape}, {self.kept.dtype})"

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
        own, other = _fingerprint(self.readout), Fingerprint.of(readout)
        if own.shape != other.shape:
            raise ConfigurationError(
                f"this trace is of {model}, with {own.shape}; this readout, {other.shape}, is of "
                "another model"
            )
        if own.dtype != other.dtype:
            raise ConfigurationError(
                f"this readout is loaded as {other.dtype}, the trace of {model} was made with "
                f"{own.dtype}; load the model with dtype={own.dtype!r}"
            )
        if not own.fits(other):
            raise ConfigurationError(
                f"this readout is not that of {model}, of which this trace is: other weights or "
                "words; take vlm.readout of the model that made the trace, as it was then"
            )
        return replace(self, readout=readout)  # type: ignore[type-var]

    def __getstate__(self) -> dict[str, Any]:
        kept = _fingerprint(self.readout)
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


def _fingerprint(readout: Readout) -> Fingerprint:
    """Of a readout, or the one that a trace away from its model has kept."""
    return readout.kept if isinstance(readout, AbsentReadout) else Fingerprint.of(readout)


def _alone(states: Tensor) -> Tensor:
    """States in main memory, in a storage that holds nothing else: pickle writes all of it."""
    states = states.detach().cpu().contiguous()
    return states if states.untyped_storage().nbytes() == states.nbytes else states.clone()


def _model_of(trace: Portable) -> str:
    return printable(str(trace.provenance.get("model")), 60)
