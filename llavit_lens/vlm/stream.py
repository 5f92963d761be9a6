"""The residual stream of one pass: its states, and the proof that there is one such stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.acting import Acting, acting
from llavit_lens.vlm.decoder import Decoder, state_given, state_made


class Stream:
    """What a pass over samples, or each step of a generation, shows of the residual stream.

    Attributes:
        states: of each layer and the final norm, what it was given: [rows, d_model].
        norm: the final norm, where the decoder or the pass has shown which module it is.
        heads_given, heads_made: what the head was given for the last token of each sample,
            [B, d_model], and what it made of them, [B, size of the head]; None where the model
            does not call its head once.
    """

    def __init__(self, decoder: Decoder, positions: Tensor, samples: Tensor | None = None) -> None:
        self.states: list[Tensor] = []
        self.norm = decoder.norm
        self.heads_given: Tensor | None = None
        self.heads_made: Tensor | None = None
        self._decoder, self._positions = decoder, positions
        self._samples = torch.zeros_like(positions) if samples is None else samples
        self._numbers: list[int] = []
        self._left: Tensor | None = None
        self._changed: dict[int, Tensor] = {}
        self._after: list[_Call] = []
        self._head_calls = 0

    def __repr__(self) -> str:
        return f"Stream({len(self.states)} states of a {type(self._decoder.module).__name__})"

    @property
    def head_made(self) -> Tensor | None:
        """What the head made of the last token of the first sample, [size of the head]."""
        return None if self.heads_made is None else self.heads_made[0]

    def hidden(self, name: str, passes: int = 1, rows: slice = slice(None)) -> Tensor:
        """The states, [layers + 1, passes * rows, d_model], on the device of the last one.

        Args:
            name: of the model, for errors.
            passes: that the model has made.
            rows: which of those that are kept; all by default.

        Raises:
            ConfigurationError: layers or the norm did not run once each, or there is no norm.
        """
        if self.norm is None:
            raise ConfigurationError(
                f"{name}: no module between its last layer and its output embedding puts out what "
                "that one is given, so its final norm is not found"
            )
        layers = self._decoder.n_layers
        if self._numbers != list(range(layers + 1)) * passes:
            often = "one pass" if passes == 1 else f"{passes} passes"
            raise ConfigurationError(
                f"{name}: its {layers} decoder layers and final norm ran {len(self._numbers)} "
                f"times in {often}; the lens needs each to run once"
            )
        states = [state[rows].to(self.states[-1].device) for state in self.states]
        return torch.stack([torch.cat(states[layer :: layers + 1]) for layer in range(layers + 1)])

    def added(self, is_visual: Tensor, name: str, sample: int = 0) -> list[int]:
        """Numbers of the states that are more than what the layer before put out: the model adds
        features of the image there.

        Args:
            is_visual: bool [seq], where visual tokens stand in the prompt.
            name: of the model, for errors.
            sample: which one of the batch; padding stands before its prompt.

        Raises:
            ConfigurationError: the final norm is given something else than what the last layer put
                out, and not for visual tokens alone.
        """
        changed = {n: rows[sample, -len(is_visual) :] for n, rows in self._changed.items()}
        last = changed.get(self._decoder.n_layers)
        if last is not None and bool((last & ~is_visual.to(last.device)).any()):
            raise ConfigurationError(
                f"{name}: its {type(self._decoder.module).__name__} has not one residual stream: "
                "its final norm is not given what its last layer puts out, so the logit lens would "
                "misread it"
            )
        return sorted(number for number, rows in changed.items() if bool(rows.any()))

    def _watch(self, model: Any, actor: Acting) -> None:
        decoder = self._decoder
        for number, layer in enumerate(decoder.layers):
            self._record(actor, number, layer)
            actor.hook(layer, None, self._leave)
        if decoder.norm is not None:
            self._record(actor, decoder.n_layers, decoder.norm)
        else:
            inside = {module for layer in decoder.layers for module in layer.modules()}
            for module in set(model.modules()) - inside:
                actor.hook(module, None, self._see, shared=True)
        # norm and head of a trace may be called in any thread
        actor.hook(decoder.head, None, self._reach_head, before=True, first=True, shared=True)
        actor.hook(decoder.head, None, self._see_head, shared=True)

    def _record(self, actor: Acting, number: int, module: nn.Module) -> None:
        name, is_norm = f"the record of state {number}", module is self._decoder.norm

        def arrive(called: Any, args: Any, kwargs: Any) -> None:
            self._arrive(number, state_given(args, kwargs))

        def keep(called: Any, args: Any, kwargs: Any) -> None:
            self._keep(number, state_given(args, kwargs))

        def keep_result(called: Any, args: Any, result: Tensor) -> None:
            self._keep(number, result)

        # before the hooks of others: what those change is not the model's doing
        actor.hook(module, None, arrive, before=True, first=True, shared=is_norm)
        point: Any = getattr(module, "hook_resid_pre", None)
        if point is not None:
            actor.hook(point, name, keep_result)
        else:
            actor.hook(module, name, keep, before=True, shared=is_norm)

    def _arrive(self, number: int, state: Tensor) -> None:
        if state.ndim != 3:
            raise ConfigurationError(
                f"a {type(self._decoder.module).__name__} passes states of {state.ndim} dimensions "
                "from layer to layer, and the lens reads one residual stream [batch, seq, d_model]"
            )
        if number == 0:  # of a first pass, or of one more
            self._left = None
        if self._left is not None and (changed := _difference(self._left, state)) is not None:
            self._changed[number] = changed

    def _keep(self, number: int, state: Tensor) -> None:
        self._numbers.append(number)
        self.states.append(self._rows(state))

    def _rows(self, state: Tensor) -> Tensor:
        samples, positions = self._samples.to(state.device), self._positions.to(state.device)
        length = state.shape[1]
        return state.flatten(0, 1).index_select(0, samples * length + positions % length)

    def _leave(self, called: Any, args: Any, output: Any) -> None:
        self._left = state_made(output)

    def _see(self, called: nn.Module, args: Any, output: Any) -> None:
        """A module that is in no layer has run."""
        if len(self._numbers) < self._decoder.n_layers or called is self._decoder.head:
            return
        given = args[0] if args else None
        if (
            isinstance(given, Tensor)
            and isinstance(output, Tensor)
            and given.ndim == 3 == output.ndim
        ):
            self._after.append(_Call(called, given, output))

    def _reach_head(self, called: Any, args: Any, kwargs: Any) -> None:
        self._head_calls += 1
        given: Any = args[0] if args else None
        is_one = self._head_calls == 1 and isinstance(given, Tensor) and given.ndim == 3
        self.heads_given = given[:, -1] if is_one else None

    def _see_head(self, called: Any, args: Any, output: Any) -> None:
        is_one = self._head_calls == 1 and isinstance(output, Tensor) and output.ndim == 3
        # a copy: what follows may change it in place
        self.heads_made = output[:, -1].clone() if is_one else None

    def _find_norm(self) -> None:
        """Where the decoder does not show its final norm, it is what made the head's input."""
        last = self.heads_given
        if self.norm is not None or last is None:
            return
        for call in self._after:
            if call.made[:, -1].shape == last.shape and call.made[:, -1].equal(last):
                self.norm = call.module
                self._arrive(self._decoder.n_layers, call.given)
                self._keep(self._decoder.n_layers, call.given)
                return


class _Call(NamedTuple):
    module: nn.Module
    given: Tensor
    made: Tensor


@contextmanager
def record_residual_stream(
    model: Any, decoder: Decoder, positions: Tensor, samples: Tensor | None = None
) -> Iterator[Stream]:
    """Inside, a pass over one sample or a batch, or a generation, fills the yielded `Stream`.

    State l is taken where it is consumed: at the entry of layer l + 1 (after its hook point, where
    it has one), the last at the entry of the final norm. So it holds what a model adds between its
    layers (as DeepStack does), and what earlier hooks change on the output of one layer or the
    input of the next; it is before the final norm by construction; and it does not matter whether a
    layer returns a tensor or a tuple. Only the chosen rows are kept.

    Args:
        model: with its head.
        decoder: inside it.
        positions: of the rows that are kept, those of the last token of each sample at the end;
            negative ones from the end of each pass.
        samples: the sample of the batch that each of these rows is in; None: all are in the first.

    Raises:
        ConfigurationError: in the pass: states that are not [batch, seq, d_model].
    """
    stream = Stream(decoder, positions, samples)
    with torch.no_grad(), acting(model) as actor:
        stream._watch(model, actor)
        yield stream
        stream._find_norm()


def _difference(left: Tensor, state: Tensor) -> Tensor | None:
    """bool [B, seq], which rows are not what the layer before put out; None if all are."""
    if state is left:
        return None
    if state.shape != left.shape:
        return torch.ones(state.shape[:2], dtype=torch.bool, device=state.device)
    changed = (state != left.to(state.device)).any(-1)
    return changed if bool(changed.any()) else None
