"""What mixes tokens in each decoder layer, proven by a pass over three tokens.

Attention is told by its signature, and by no name: its `forward` takes `attention_mask`, and it
knows its own layer. Convolutions and recurrences have the same signature in some families, and no
mask over pairs of tokens reaches them. So the layer runs with masks by which each token sees itself
alone, once as it is and once with its first token changed: whatever then still puts out other later
tokens mixes tokens without a mask.

Shape letters: L tokens, D model width.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.layer_kinds import N_TOKENS, kind_of, once_for_layers, visit_kinds

MASK = "attention_mask"
"""The argument by which attention takes its mask, in all of transformers."""

_KINDS_WITHOUT_MASK = {
    "Conv": "a convolution",
    "Delta": "a gated delta net",
    "Lightning": "linear attention",
    "Linear": "linear attention",
    "Mamba": "a state space model",
    "Recurrent": "a recurrence",
    "SSM": "a state space model",
}
"""Parts of class names of mixers that take no mask, and what such a mixer is. Names decide nothing
where a pass can tell."""


@dataclass(frozen=True, eq=False)
class Mixer:
    """A module that mixes tokens.

    Attributes:
        layer: index of its decoder layer.
        name: in the layer, such as "self_attn"; "" where the layer mixes in its own `forward`.
        module: the module.
        takes_mask: whether a mask over pairs of tokens reaches all that it mixes.
    """

    layer: int
    name: str
    module: nn.Module
    takes_mask: bool

    @property
    def kind(self) -> str:
        """What it is, in words, such as "a convolution"."""
        if self.takes_mask:
            return "attention"
        parts = class_name_parts(self.module)
        known = [what for part, what in _KINDS_WITHOUT_MASK.items() if part in parts]
        return known[0] if known and self.name else f"a {type(self.module).__name__}"


@once_for_layers
def mixers(decoder: Decoder) -> tuple[Mixer, ...]:
    """What mixes tokens in each layer, in the order of layers.

    The first call for a decoder runs one layer of each kind on three tokens; no hook that is set on
    them is called. Where they cannot run (on the meta device), signatures and names decide.
    """

    def visit(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, bool]:
        return _Probe(layer, decoder.config).run(args, kwargs)

    proven = visit_kinds(decoder, visit)
    found = []
    for index, layer in enumerate(decoder.layers):
        takes_mask = proven.get(kind_of(layer))
        if takes_mask is None:
            takes_mask = _by_names(layer)
        for name, takes in takes_mask.items():
            found.append(Mixer(index, name, layer.get_submodule(name), takes))
    return tuple(found)


def attention_of(decoder: Decoder) -> tuple[Mixer, ...]:
    """The mixers that take a mask."""
    return tuple(mixer for mixer in mixers(decoder) if mixer.takes_mask)


def mask_of(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The mask among the arguments of an attention module, None if there is none."""
    if MASK in kwargs:
        return kwargs[MASK]
    place = _place_of_mask(module)
    return args[place] if place is not None and place < len(args) else None


def with_mask(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], mask: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of an attention module with another mask."""
    place = _place_of_mask(module)
    if MASK in kwargs or place is None or place >= len(args):
        return args, kwargs | {MASK: mask}
    return (*args[:place], mask, *args[place + 1 :]), kwargs


def states_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """[B, L, D], what a layer or an attention module reads.

    Raises:
        ConfigurationError: there are no such states among the arguments.
    """
    states = args[0] if args else kwargs.get("hidden_states")
    if not isinstance(states, Tensor):
        raise ConfigurationError("a decoder layer is not given the states of tokens")
    return states


def class_name_parts(module: nn.Module) -> list[str]:
    """The words of a class name: `Qwen3NextGatedDeltaNet` -> Qwen3, Next, Gated, Delta, Net. So
    "Compass" is no "SSM"."""
    return re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z][a-z0-9]*", type(module).__name__)


class _Probe:
    """One layer, run with each token on its own."""

    def __init__(self, layer: nn.Module, config: Any) -> None:
        self._layer, self._additive = layer, config._attn_implementation == "eager"
        self._candidates = _with_signature(layer)
        self._watched = self._candidates | {
            name: child
            for name, child in layer.named_children()
            if not any(one == name or one.startswith(f"{name}.") for one in self._candidates)
        }

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, bool]:
        """The mixers by name, and whether a mask reaches them."""
        states = states_of(args, kwargs)
        changed = states.clone()
        changed[:, 0] = -changed[:, 0]
        alone = list(self._candidates)
        try:
            first = self._outcome(args, kwargs, states, alone)
        except Exception:  # what takes no such mask may say so in any way
            alone = [name for name in alone if self._runs(args, kwargs, states, name)]
            first = self._outcome(args, kwargs, states, alone)
        second = self._outcome(args, kwargs, changed, alone)
        guilty = {
            name
            for name in first
            if name
            and name in second
            and not _differ(first[name].read, second[name].read)
            and _differ(first[name].put_out, second[name].put_out)
        }
        if not guilty and _differ(first[""].put_out, second[""].put_out):
            guilty = {""}
        takes_mask = {name: name not in guilty and name in alone for name in self._candidates}
        return takes_mask | {name: False for name in sorted(guilty - set(takes_mask))}

    def _runs(self, args: Any, kwargs: Any, states: Tensor, name: str) -> bool:
        """Whether one module can run with a mask by which each token sees itself alone."""
        try:
            self._outcome(args, kwargs, states, [name])
        except Exception:  # as above
            return False
        return True

    def _outcome(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], states: Tensor, alone: list[str]
    ) -> dict[str, _Outcome]:
        """What each module reads and puts out; "" is the layer."""
        seen: dict[str, _Outcome] = {}

        def keep(name: str) -> Callable[..., None]:
            def after(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
                seen[name] = _Outcome(_tensor(args, kwargs), _tensor((result,), {}))

            return after

        def isolate(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
            read = _tensor(args, kwargs)
            assert read is not None
            return with_mask(module, args, kwargs, self._alone(mask_of(module, args, kwargs), read))

        args, kwargs = (
            ((states, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": states})
        )
        with ExitStack() as stack:
            for name, module in self._watched.items():
                if name in alone:
                    handle = module.register_forward_pre_hook(isolate, with_kwargs=True)
                    stack.callback(handle.remove)
                handle = module.register_forward_hook(keep(name), with_kwargs=True)
                stack.callback(handle.remove)
            result = self._layer.forward(*args, **kwargs)  # its own hooks have asked for this
        return seen | {"": _Outcome(states, _tensor((result,), {}))}

    def _alone(self, given: Any, states: Tensor) -> Tensor:
        """[1, 1, L, L], each token sees itself alone, in the form of the given mask."""
        length = states.shape[-2]
        only_self = torch.eye(length, dtype=torch.bool, device=states.device)[None, None]
        is_float = isinstance(given, Tensor) and given.is_floating_point()
        if not is_float and not (given is None and self._additive):
            return only_self
        dtype = given.dtype if is_float else states.dtype
        closed = torch.zeros(only_self.shape, dtype=dtype, device=states.device)
        return closed.masked_fill(~only_self, torch.finfo(dtype).min)


@dataclass(frozen=True)
class _Outcome:
    """What a module reads and what it puts out; None where that is not states of tokens."""

    read: Tensor | None
    put_out: Tensor | None


def _tensor(args: Any, kwargs: dict[str, Any]) -> Tensor | None:
    """The first tensor, looked for in tuples too: states of tokens come first everywhere."""
    for value in (*args, *kwargs.values()):
        while isinstance(value, tuple | list) and value:
            value = value[0]
        if isinstance(value, Tensor):
            return value
    return None


def _differ(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether later tokens differ by more than rounding."""
    if one is None or other is None or one.shape != other.shape or not one.is_floating_point():
        return False
    # states of tokens are [1, L, ...], or [L, ...] where a batch is flattened
    axis = 1 if one.ndim > 2 else 0
    if one.ndim < 2 or one.shape[axis] != N_TOKENS:
        return False
    later, of_other = (states.narrow(axis, 1, N_TOKENS - 1).float() for states in (one, other))
    rounding = torch.finfo(one.dtype).eps ** 0.5 * later.abs().max()
    return bool((later - of_other).abs().max() > rounding)


def _with_signature(layer: nn.Module) -> dict[str, nn.Module]:
    """The outermost modules that take a mask by their signature, and know their layer."""
    found: dict[str, nn.Module] = {}
    for name, module in layer.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if name and not inside and hasattr(module, "layer_idx") and _takes(module, MASK):
            found[name] = module
    return found


def _by_names(layer: nn.Module) -> dict[str, bool]:
    """The last resort: mixers by their signatures, and by whole words of their class names."""
    found = {
        name: not set(class_name_parts(module)) & _KINDS_WITHOUT_MASK.keys()
        for name, module in _with_signature(layer).items()
    }
    for name, child in layer.named_children():
        parts = set(class_name_parts(child))
        is_plain_linear = type(child).__module__.startswith("torch.") and "Conv" not in parts
        if name not in found and parts & _KINDS_WITHOUT_MASK.keys() and not is_plain_linear:
            found[name] = False
    return found


def _takes(module: nn.Module, argument: str) -> bool:
    """Whether `forward` takes an argument of this name."""
    return argument in _arguments(module)


def _place_of_mask(module: nn.Module) -> int | None:
    """Which positional argument the mask is; None: it can be given by name alone."""
    names = _arguments(module)
    return names.index(MASK) if MASK in names else None


def _arguments(module: nn.Module) -> list[str]:
    # accelerate puts another `forward` on the instance
    forward = getattr(module, "_old_forward", module.forward)
    return list(signature(forward).parameters)
