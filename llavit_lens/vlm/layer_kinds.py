"""One layer of each kind, met in a pass over three tokens: what a decoder's layers do, found out
before a prompt is read.

Layers that are built of the same classes do the same, so one of each kind is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.turns import turn

Found = TypeVar("Found")

N_TOKENS = 3


def kind_of(layer: nn.Module) -> Hashable:
    """Equal for layers that are built of the same classes."""
    return tuple((name, type(module)) for name, module in layer.named_modules())


def once_for_layers(find: Callable[[Decoder], Found]) -> Callable[[Decoder], Found]:
    """`find`, which looks again only where the layers hold other modules than the last time."""
    known: WeakKeyDictionary[nn.Module, tuple[list[nn.Module], Found]] = WeakKeyDictionary()

    @wraps(find)
    def found(decoder: Decoder) -> Found:
        modules = [module for layer in decoder.layers for module in layer.modules()]
        kept = known.get(decoder.module)
        if kept is None or kept[0] != modules:
            kept = known[decoder.module] = modules, find(decoder)
        return kept[1]

    return found


@torch.no_grad()
def visit_kinds(
    decoder: Decoder, visit: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Found]
) -> dict[Hashable, Found]:
    """What `visit` finds in a layer of each kind, by kind.

    It is given the layer and the arguments that the layer is called with, and may call
    `layer.forward`. No hook that is set on the decoder is called, and no other thread runs it
    meanwhile. Kinds that cannot be run (on the meta device, say) are left out.

    Raises:
        ConfigurationError: an intervention or hook is open in another thread.
    """
    weight = getattr(decoder.embedding, "weight", None)
    if weight is None or weight.is_meta:
        return {}
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, N_TOKENS, weight.shape[-1], generator=generator, device="cpu")
    ids = torch.arange(1, N_TOKENS + 1, device=weight.device)[None]
    kinds = {kind_of(layer) for layer in decoder.layers}
    found: dict[Hashable, Found] = {}

    def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kind = kind_of(layer)
        if kind not in found:
            found[kind] = visit(layer, args, kwargs)
        if set(found) == kinds:
            raise _AllFound

    with turn(decoder.module), _without_hooks(decoder.module):
        handles = [
            layer.register_forward_pre_hook(before, with_kwargs=True) for layer in decoder.layers
        ]
        try:
            # some decoders look up more than embeddings by the ids, others take no ids
            for inputs in ({"inputs_embeds": states.to(weight)}, {"input_ids": ids}):
                try:
                    decoder.module(**inputs, use_cache=False)
                except _AllFound:
                    break
                except Exception:  # whatever a decoder says to inputs of this kind
                    continue
        finally:
            for handle in handles:
                handle.remove()
    return found


class _AllFound(Exception):
    """Nothing is left to run for."""


@contextmanager
def _without_hooks(module: nn.Module) -> Iterator[None]:
    """Inside, no hook of the module or its parts is called: this is no pass of the model."""
    kept = [
        (part, name, part.__dict__[name])
        for part in module.modules()
        for name in ("_forward_hooks", "_forward_pre_hooks")
    ]
    try:
        for part, name, hooks in kept:
            part.__dict__[name] = type(hooks)()
        yield
    finally:
        for part, name, hooks in kept:
            part.__dict__[name] = hooks
