"""Hook points of decoders of any family, by hooks on the modules that they have.

The residual stream and what is added to it are shown by hooks on layers and on the modules that put
out what a layer adds (`branches`). Queries, keys, values, scores, pattern and results are shown
where attention calls transformers' attention interface (`attention_calls`). Nothing is set on a
model before a hook needs it.

Decoders that this package rebuilds (`model/decoders`) have more hook points, inside their layers.

Shape letters: B batch, L new tokens, S cached and new tokens, D model width, H query heads,
K key/value heads, E head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from llavit_lens.model.hook_points import PATTERN_HOOKS, ROTATED_HOOKS, HookPoint
from llavit_lens.vlm.attention_calls import interface_caller, why_not_met
from llavit_lens.vlm.branches import branches
from llavit_lens.vlm.decoder import Decoder, state_given, state_made
from llavit_lens.vlm.mixers import Mixer, mixers
from llavit_lens.vlm.shown_attention import ShownAttention, shown

LAYER_POINTS = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
"""[B, L, D], of every decoder layer that has such a part."""

ATTENTION_POINTS = (*ROTATED_HOOKS, "hook_v", *PATTERN_HOOKS, "hook_z")
"""Of every decoder layer that attends through transformers' attention interface."""


class _Parts(NamedTuple):
    """One decoder layer."""

    layer: nn.Module
    attention: nn.Module | None
    why_no_attention: str
    attn: nn.Module | None
    mlp: nn.Module | None


def point_names(decoder: Decoder) -> list[str]:
    """Names of all hook points, about in the order in which a pass meets them."""
    return [name for index, parts in enumerate(_parts(decoder)) for name in _names_of(index, parts)]


def why_missing(decoder: Decoder) -> dict[str, str]:
    """Of hook points that some or all layers lack: why, by name."""
    reasons = {}
    for index, parts in enumerate(_parts(decoder)):
        if parts.attention is None:
            for point in ATTENTION_POINTS:
                reasons[f"blocks.{index}.attn.{point}"] = parts.why_no_attention
        if parts.attn is None:
            reasons[f"blocks.{index}.hook_attn_out"] = "nothing in it mixes tokens"
        if parts.mlp is None:
            reasons[f"blocks.{index}.hook_mlp_out"] = "no module puts out what its MLP adds"
    return reasons


@contextmanager
def open_points(decoder: Decoder, names: list[str]) -> Iterator[dict[str, HookPoint]]:
    """Inside, passes call the hook points of these names, for hooks that are set on them.

    All who open them share them: hooks are called in the order in which they were set.
    """
    points = _open.setdefault(decoder.module, _Points(decoder))
    points.users += 1
    try:
        yield {name: points.needed(name) for name in names}
    finally:
        points.users -= 1
        if not points.users:
            points.close()
            _open.pop(decoder.module, None)


class _Points:
    """Hook points of one decoder, while anything uses them."""

    def __init__(self, decoder: Decoder) -> None:
        self.users = 0
        self._parts = _parts(decoder)
        self._points: list[dict[str, HookPoint]] = [{} for _ in self._parts]
        self._hooks = ExitStack()

    def needed(self, name: str) -> HookPoint:
        """The hook point, which is called from now on."""
        index, kind = int(name.split(".")[1]), name.rsplit(".", 1)[-1]
        parts, points = self._parts[index], self._points[index]
        if kind in points:
            return points[kind]
        is_first = points.keys().isdisjoint(ATTENTION_POINTS)
        point = points[kind] = HookPoint()
        if kind == "hook_resid_pre":
            self._before(parts.layer, point)
        elif kind == "hook_resid_post":
            self._after(parts.layer, parts.layer, point)
        elif kind == "hook_attn_out" and parts.attn is not None:
            self._after(parts.layer, parts.attn, point)
        elif kind == "hook_mlp_out" and parts.mlp is not None:
            self._after(parts.layer, parts.mlp, point)
        elif is_first and parts.attention is not None:
            self._hooks.enter_context(ShownAttention(parts.attention, points).open())
        return point

    def close(self) -> None:
        """Take everything off the model."""
        self._hooks.close()

    def _before(self, module: nn.Module, point: HookPoint) -> None:
        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            state = state_given(args, kwargs)
            new = shown(point, state)
            if new is state:
                return None
            return ((new, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": new})

        self._keep(module.register_forward_pre_hook(before, with_kwargs=True))

    def _after(self, layer: nn.Module, module: nn.Module, point: HookPoint) -> None:
        shape: list[int] = []

        def begin(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            shape[:] = state_given(args, kwargs).shape

        def after(module: nn.Module, args: Any, result: Any) -> Any:
            state = state_made(result)
            # some layers put tokens of all samples in rows
            given = state.view(shape) if list(state.shape) != shape else state
            new = shown(point, given)
            if new is given:
                return None
            new = new.reshape(state.shape)
            return new if isinstance(result, Tensor) else (new, *result[1:])

        self._keep(layer.register_forward_pre_hook(begin, with_kwargs=True))
        self._keep(module.register_forward_hook(after))

    def _keep(self, handle: Any) -> None:
        self._hooks.callback(handle.remove)


def _parts(decoder: Decoder) -> list[_Parts]:
    by_layer: dict[int, list[Mixer]] = {}
    for mixer in mixers(decoder):
        by_layer.setdefault(mixer.layer, []).append(mixer)
    return [
        _Parts(layer, *_attention(by_layer.get(index, [])), *added)
        for index, (layer, added) in enumerate(zip(decoder.layers, branches(decoder), strict=True))
    ]


def _attention(of_layer: list[Mixer]) -> tuple[nn.Module | None, str]:
    """The module that calls the attention interface, or why there is none."""
    attending = [mixer.module for mixer in of_layer if mixer.takes_mask]
    callers = [interface_caller(module) for module in attending]
    found = [caller for caller in callers if caller is not None]
    if len(found) == 1:
        return found[0], ""
    if attending:
        return None, " and ".join(dict.fromkeys(map(why_not_met, attending)))
    kinds = " and ".join(dict.fromkeys(mixer.kind for mixer in of_layer))
    return None, f"{kinds or 'nothing in it'} mixes tokens, without a pattern"


def _names_of(index: int, parts: _Parts) -> Iterator[str]:
    yield f"blocks.{index}.hook_resid_pre"
    if parts.attention is not None:
        for point in ATTENTION_POINTS:
            yield f"blocks.{index}.attn.{point}"
    if parts.attn is not None:
        yield f"blocks.{index}.hook_attn_out"
    if parts.mlp is not None:
        yield f"blocks.{index}.hook_mlp_out"
    yield f"blocks.{index}.hook_resid_post"


_open: WeakKeyDictionary[nn.Module, _Points] = WeakKeyDictionary()
