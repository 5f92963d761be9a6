"""Hooks on activations by name, and caches of them, with TransformerLens's names and shapes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.decoders import add_hook_points
from llavit_lens.model.hook_points import ATTENTION_HOOKS, BLOCK_HOOKS, PATTERN_HOOKS, HookPoint

Names = str | Sequence[str] | Callable[[str], bool] | None
"""Names of hook points: one, several, shell patterns such as `blocks.*.hook_resid_post`, or a
function that says which; None is all of them."""

Hook = Callable[[Tensor, "NamedHook"], Tensor | None]
"""Is called with an activation and where it is from; what it returns, if anything, takes the
activation's place."""


class NamedHook:
    """Where an activation is from.

    Attributes:
        name: such as `blocks.3.attn.hook_q`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def layer(self) -> int:
        """Index of the decoder layer, from 0."""
        return int(self.name.split(".")[1])


class ActivationCache(dict[str, Tensor]):
    """Activations by name.

    `cache["pattern", 2]` is short for `cache["blocks.2.attn.hook_pattern"]`; negative layers count
    from the end.
    """

    n_layers: int

    def __getitem__(self, key: str | tuple[str, int]) -> Tensor:
        if isinstance(key, tuple):
            short, layer = key
            key = full_name(short, range(self.n_layers)[layer])
        if key not in self:
            raise KeyError(f"{key} is not in this cache; it has {_some(self)}")
        return super().__getitem__(key)


def full_name(short: str, layer: int) -> str:
    """`("q", 3)` -> `blocks.3.attn.hook_q`, `("resid_mid", 3)` -> `blocks.3.hook_resid_mid`.

    Raises:
        ConfigurationError: there is no such hook point in any model.
    """
    name = f"hook_{short.removeprefix('attn.').removeprefix('hook_')}"
    if name in ATTENTION_HOOKS:
        return f"blocks.{layer}.attn.{name}"
    if name in BLOCK_HOOKS:
        return f"blocks.{layer}.{name}"
    raise ConfigurationError(
        f"there is no hook point {short!r}; there are "
        f"{', '.join(hook.removeprefix('hook_') for hook in (*ATTENTION_HOOKS, *BLOCK_HOOKS))}"
    )


def hook_points(model: Any) -> dict[str, HookPoint]:
    """All hook points of a LLaVA-like model by name, about in the order in which a pass meets them.

    Raises:
        ConfigurationError: the model cannot have any (see `add_hook_points`).
    """
    add_hook_points(model)
    first, *rest = BLOCK_HOOKS
    places = [first, *(f"self_attn.{name}" for name in ATTENTION_HOOKS), *rest]
    found: dict[str, HookPoint] = {}
    for index, layer in enumerate(model.model.language_model.layers):
        modules = dict(layer.named_modules())
        for place in places:
            if place in modules:
                found[f"blocks.{index}.{place.replace('self_attn.', 'attn.')}"] = modules[place]
    return found


def select(names: Names, known: dict[str, HookPoint]) -> dict[str, HookPoint]:
    """Those of the hook points that are named.

    Raises:
        ConfigurationError: a name or pattern that fits none of them.
    """
    if names is None:
        return known
    if callable(names):
        return {name: point for name, point in known.items() if names(name)}
    chosen: dict[str, HookPoint] = {}
    for wanted in [names] if isinstance(names, str) else names:
        fitting = {name: point for name, point in known.items() if fnmatchcase(name, wanted)}
        if not fitting:
            near = difflib.get_close_matches(wanted, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {_some(known)}"
            raise ConfigurationError(f"the model has no hook point {wanted!r}; {hint}")
        chosen |= fitting
    return {name: point for name, point in known.items() if name in chosen}


@contextmanager
def hooks(model: Any, fwd_hooks: Sequence[tuple[Names, Hook]]) -> Iterator[None]:
    """Inside, the hooks are called in every forward pass of the model.

    Where scores or patterns are asked for, the decoder attends by "eager" inside, which alone makes
    them.

    Raises:
        ConfigurationError: a name that fits no hook point.
    """
    known = hook_points(model)
    chosen = [(select(names, known), hook) for names, hook in fwd_hooks]
    shown = {name for points, _ in chosen for name in points}
    with attention_of(model, "eager" if any(map(_shows_pattern, shown)) else None):
        handles = [
            point.register_forward_hook(_call(hook, NamedHook(name)))
            for points, hook in chosen
            for name, point in points.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


@contextmanager
def attention_of(model: Any, implementation: str | None) -> Iterator[None]:
    """Inside, the decoder attends by another implementation; None changes nothing."""
    before = model.model.language_model.config._attn_implementation
    if implementation in (None, before):
        yield
        return
    model.set_attn_implementation({"text_config": implementation})
    try:
        yield
    finally:
        model.set_attn_implementation({"text_config": before})


def _call(hook: Hook, where: NamedHook) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Any]:
    def call(module: nn.Module, args: tuple[Any, ...], activation: Tensor) -> Tensor | None:
        new = hook(activation, where)
        if new is not None and new.shape != activation.shape:
            raise ConfigurationError(
                f"the hook at {where.name} returned a tensor of shape {list(new.shape)}; the "
                f"activation's is {list(activation.shape)}"
            )
        return new

    return call


def _shows_pattern(name: str) -> bool:
    return name.rsplit(".", 1)[-1] in PATTERN_HOOKS


def _some(names: Any) -> str:
    kinds = dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name) for name in names)
    return ", ".join(kinds) or "none"
