"""What a decoder layer adds to the residual stream, and which of its modules puts that out.

A layer adds what attention says and what the MLP says, each by itself or both at once. Some layers
norm what they add, so the module that puts it out is the norm and not the MLP. A pass over three
tokens tells: the stream after a branch is a sum of the stream before it and of that module's
output, each times a number (1, but where a layer scales what it adds, as Granite does).

Shape letters: B batch, L tokens, D model width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.layer_kinds import kind_of, once_for_layers, visit_kinds
from llavit_lens.vlm.mixers import mixers, states_of


class Branches(NamedTuple):
    """The modules of one decoder layer that put out what it adds; None where none was found.

    The first tensor that the module returns is added to the stream, as [B, L, D] or as rows, once
    or times a fixed number. What mixes tokens is there even where that does not hold of it.
    """

    attn: nn.Module | None
    mlp: nn.Module | None


@once_for_layers
def branches(decoder: Decoder) -> tuple[Branches, ...]:
    """Of every decoder layer, in order. The first call for a decoder runs three tokens."""
    mixer_of: dict[nn.Module, str] = {}
    for mixer in reversed(mixers(decoder)):  # of several in a layer the first counts
        layer = decoder.layers[mixer.layer]
        if mixer.name and (mixer.takes_mask or layer not in mixer_of):
            mixer_of[layer] = mixer.name

    def visit(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Names:
        return _names(layer, mixer_of.get(layer), args, kwargs)

    found = visit_kinds(decoder, visit)
    every = []
    for layer in decoder.layers:
        unproven = _Names(mixer_of.get(layer), None)
        names = found.get(kind_of(layer), unproven)
        every.append(
            Branches(*(None if name is None else layer.get_submodule(name) for name in names))
        )
    return tuple(every)


class _Names(NamedTuple):
    """Names of the two modules in a layer."""

    attn: str | None
    mlp: str | None


@dataclass(frozen=True, eq=False)
class _Call:
    """What a part of a layer read and put out, as float64 [L, D]; None for any other shape."""

    name: str
    read: Tensor | None
    put_out: Tensor | None


def _names(
    layer: nn.Module, mixer: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Names:
    """By running one layer."""
    states = states_of(args, kwargs)
    calls: list[_Call] = []

    def rows(value: Any) -> Tensor | None:
        while isinstance(value, tuple | list) and value:
            value = value[0]
        is_state = isinstance(value, Tensor) and value.shape[-1:] == states.shape[-1:]
        if not is_state or value.numel() != states.numel():
            return None
        copied: Tensor = value.detach().double().reshape(-1, value.shape[-1])
        return copied.clone()

    def keep(name: str) -> Any:
        def after(module: nn.Module, args: Any, kwargs: dict[str, Any], result: Any) -> None:
            calls.append(_Call(name, rows((*args, *kwargs.values())), rows(result)))

        return after

    before, precision = rows(states), 8 * torch.finfo(states.dtype).eps
    parts = {name: child for name, child in layer.named_children()}
    if mixer is not None:
        parts[mixer] = layer.get_submodule(mixer)
    with ExitStack() as stack:
        for name, part in parts.items():
            handle = part.register_forward_hook(keep(name), with_kwargs=True)
            stack.callback(handle.remove)
        after = rows(layer.forward(*args, **kwargs))
    if before is None or after is None:
        return _Names(mixer, None)
    return _Layer(before, after, calls, precision).names(mixer)


class _Layer:
    """The stream before and after one layer, and what its parts did in between."""

    def __init__(self, before: Tensor, after: Tensor, calls: list[_Call], precision: float) -> None:
        self._before, self._after, self._precision = before, after, precision
        self._calls = calls
        times = Counter(call.name for call in calls)  # dropout may be one module for both branches
        self._adding = [call for call in calls if call.put_out is not None and times[call.name] < 2]

    def names(self, mixer: str | None) -> _Names:
        chain = self._from(mixer)
        others = [call for call in self._adding if call not in chain]
        for attn in reversed(chain):
            for middle in self._streams_after(attn):
                if self._is_sum(middle, self._before, attn):
                    return _Names(attn.name, self._added_last(middle, self._later(attn, others)))
        for attn in reversed(chain):  # both at once
            for mlp in others:
                if self._is_sum(self._after, self._before, attn, mlp):
                    return _Names(attn.name, mlp.name)
        return _Names(mixer, None)

    def _from(self, mixer: str | None) -> list[_Call]:
        """The mixer, and what reads its output, one after the other."""
        chain = [call for call in self._adding if call.name == mixer]
        for call in self._adding:
            if chain and call not in chain and _same(call.read, chain[-1].put_out):
                chain.append(call)
        return chain

    def _added_last(self, stream: Tensor, calls: Sequence[_Call]) -> str | None:
        """The first of these parts of which the output is added to the stream."""
        for call in calls:
            for after in self._streams_after(call):
                if self._is_sum(after, stream, call):
                    return call.name
        return None

    def _later(self, call: _Call, others: Sequence[_Call]) -> list[_Call]:
        later = self._calls[self._calls.index(call) + 1 :]
        return [other for other in others if other in later]

    def _streams_after(self, call: _Call) -> list[Tensor]:
        """What may be the stream after a part has put something out."""
        read = [later.read for later in self._later(call, self._calls)]
        return [state for state in (*read, self._after) if state is not None]

    def _is_sum(self, total: Tensor, stream: Tensor, *added: _Call) -> bool:
        """Whether this is the stream and some outputs, each times a number that is not zero."""
        outputs = [call.put_out for call in added if call.put_out is not None]
        parts = torch.stack([stream, *outputs]).flatten(1)
        sizes = parts.norm(dim=1)
        if not bool(sizes.all()) or not bool(parts.isfinite().all()):
            return False
        target = total.flatten()
        weights = torch.linalg.lstsq((parts / sizes[:, None]).T, target[:, None]).solution[:, 0]
        rest = (target - weights @ (parts / sizes[:, None])).norm()
        allowed = self._precision * target.norm()
        return bool(rest <= allowed) and bool((weights.abs() > allowed).all())


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is not None and other is not None and torch.equal(one, other)
