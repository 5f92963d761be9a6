"""The hook points of one layer's attention, where it calls transformers' attention interface.

Shape letters: B batch, L new tokens, S cached and new tokens, H query heads, K key/value heads,
E head width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.compat import CACHE
from llavit_lens.model.hook_points import PATTERN_HOOKS, HookPoint, has_hooks
from llavit_lens.vlm.attention_calls import AttentionCall, Result, intercepted
from llavit_lens.vlm.written_out import written_out

KEYS_AND_VALUES = ("hook_rot_k", "hook_v")


def shown(point: HookPoint | None, activation: Tensor) -> Tensor:
    """The activation, or what the hooks at a point return instead; the same tensor if nothing."""
    if point is None or not has_hooks(point):
        return activation
    new: Tensor = point(activation)
    return new


class ShownAttention:
    """Calls the hook points of one layer's attention.

    Keys and values are shown before they are cached, so that later tokens read what a hook made of
    them: the cache that the attention module is given is one that shows them first.
    """

    def __init__(self, attention: nn.Module, points: Mapping[str, HookPoint]) -> None:
        self._attention, self._points = attention, points
        self._cache: Any = None
        self._cached: tuple[Tensor, Tensor] | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Inside, every call is shown."""
        before = self._attention.register_forward_pre_hook(self._before, with_kwargs=True)
        try:
            with intercepted(self._attention, self._attend):
                yield
        finally:
            before.remove()

    def _before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        self._cache, self._cached = kwargs.get(CACHE), None
        if self._cache is None or not any(map(self._in_use, KEYS_AND_VALUES)):
            return None
        return args, kwargs | {CACHE: _ShowingCache(self._cache, self)}

    def update(self, k: Tensor, v: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The cache's own `update` [B, K, L, E] -> [B, K, S, E], with what hooks made of it."""
        self._cached = self._cache.update(*self._keys_and_values(k, v), *args, **kwargs)
        return self._cached

    def _attend(self, call: AttentionCall) -> Result:
        q = self._by_token("hook_rot_q", call.q)
        k, v = call.k, call.v
        if self._cached is None:
            k, v = self._keys_and_values(k, v)
            if self._cache is not None and (k is not call.k or v is not call.v):
                raise ConfigurationError(
                    f"a hook changed keys or values of {type(self._attention).__name__}, which "
                    "takes them from another layer or from a cache of another kind, so later "
                    "tokens would read them unchanged; change them in the layer that makes them, "
                    "or run without a cache (use_cache=False)"
                )
        elif k is not self._cached[0] or v is not self._cached[1]:
            raise ConfigurationError(
                f"{type(self._attention).__name__} does not cache its keys and values as they are, "
                "so hook_rot_k and hook_v cannot be shown; run without a cache (use_cache=False)"
            )
        changed = call.with_(q=q, k=k, v=v)
        if any(map(self._in_use, PATTERN_HOOKS)):
            changed = changed.with_(by=self._written_out)
        z_BLHE, weights_BHLS = changed.run()
        return shown(self._points.get("hook_z"), z_BLHE), weights_BHLS

    def _written_out(self, call: AttentionCall) -> Result:
        scores, pattern = (self._points.get(kind) for kind in PATTERN_HOOKS)
        return written_out(
            call, lambda activation: shown(scores, activation), lambda one: shown(pattern, one)
        )

    def _keys_and_values(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        first, second = KEYS_AND_VALUES
        return self._by_token(first, k), self._by_token(second, v)

    def _by_token(self, kind: str, activation: Tensor) -> Tensor:
        """Shown as [B, L, heads, E]; the same tensor comes back where no hook changes it."""
        if not self._in_use(kind):
            return activation
        by_token = activation.transpose(1, 2)
        new = shown(self._points[kind], by_token)
        return activation if new is by_token else new.transpose(1, 2)

    def _in_use(self, kind: str) -> bool:
        point = self._points.get(kind)
        return point is not None and has_hooks(point)


class _ShowingCache:
    """A cache of which the updates are shown first. All else is the cache's own."""

    def __init__(self, cache: Any, shown_attention: ShownAttention) -> None:
        self._own, self.update = cache, shown_attention.update

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)
