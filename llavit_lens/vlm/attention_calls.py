"""Attention of any decoder, met where its module calls transformers' attention interface.

Such a module looks up by the name in its config which function attends. While something wants to
meet its calls, the module alone, and no other, sees its config under a name of ours. That name is
registered with transformers and belongs to one function, which hands each call to whoever wants it,
and to the implementation that the user chose. The decoder itself sees its own config, so it builds
the masks of that implementation, and the vision tower is as it was.

Shape letters: B batch, L new tokens, S cached and new tokens, H query heads, K key/value heads,
E head width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from inspect import unwrap
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.compilation import compiled_kernel

Result = tuple[Tensor, Tensor | None]
"""Weighted values [B, L, H, E], and weights [B, H, L, S] where the implementation makes any."""


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """One call of the attention interface.

    Attributes:
        attention: the module that attends.
        q: queries [B, H, L, E], rotated.
        k: keys [B, K, S, E], rotated.
        v: values [B, K, S, E]; their width may be another one than that of keys.
        mask: in the form of the implementation, such as bool or float [B, 1, L, S], or None.
        options: all other arguments, such as `scaling` and `softcap`.
    """

    attention: nn.Module
    q: Tensor
    k: Tensor
    v: Tensor
    mask: Any
    options: dict[str, Any]
    by: Callable[[AttentionCall], Result] | None = None
    """What attends in the place of the user's implementation."""
    rest: tuple[Interceptor, ...] = ()
    """Who still wants to meet this call."""

    def with_(self, **changes: Any) -> AttentionCall:
        """The call with other queries, keys, values, another mask, or attending by another."""
        return replace(self, **changes)

    def run(self) -> Result:
        """Attend, by way of all who still want to meet this call."""
        if not self.rest:
            return self.attend()
        return self.rest[0](replace(self, rest=self.rest[1:]))

    def attend(self, implementation: str | None = None) -> Result:
        """Attend by the user's implementation (or `by` what takes its place), or by the one that is
        named. No other function meets this call.

        "eager" is that of the module's own family.
        """
        if self.by is not None and implementation is None:
            return self.by(self)
        name = self.implementation if implementation is None else implementation
        function = _lookup(self.attention, name)
        with compiled_kernel() if name == "flex_attention" else nullcontext():
            result: Result = function(
                self.attention, self.q, self.k, self.v, self.mask, **self.options
            )
        return result

    @property
    def implementation(self) -> str:
        """What the user chose, such as "sdpa"."""
        name: str = _own_config(self.attention)._attn_implementation
        return name


Interceptor = Callable[[AttentionCall], Result]
"""Meets a call: may look at it, change it, go on with `call.run()`, and change what comes of it."""


@contextmanager
def intercepted(attention: nn.Module, interceptor: Interceptor) -> Iterator[None]:
    """Inside, `interceptor` meets every call of the attention interface by this module.

    Those that were set later meet a call first. May be left in any order.

    Args:
        attention: see `interface_caller`.

    Raises:
        ConfigurationError: the module does not call the interface.
    """
    why_not = _why_not(attention)
    if why_not is not None:
        raise ConfigurationError(f"{type(attention).__name__} {why_not}")
    module: Any = attention
    interceptors = _interceptors.setdefault(attention, [])
    if not interceptors:
        module.config = _View(module.config)
    interceptors.insert(0, interceptor)
    try:
        yield
    finally:
        interceptors.remove(interceptor)
        if not interceptors:
            del _interceptors[attention]
            module.config = _own_config(module)


def interface_caller(mixer: nn.Module) -> nn.Module | None:
    """The module in a layer's attention that calls the interface; None if there is not just one."""
    callers = [module for module in mixer.modules() if _why_not(module) is None]
    return callers[0] if len(callers) == 1 else None


def why_not_met(mixer: nn.Module) -> str:
    """Why there is no `interface_caller` in a layer's attention."""
    callers = [module for module in mixer.modules() if _why_not(module) is None]
    if len(callers) > 1:
        return f"{len(callers)} modules in a {type(mixer).__name__} attend"
    reasons = {why for why in map(_why_not, mixer.modules()) if why not in (None, _NO_INTERFACE)}
    return f"{type(mixer).__name__} {' and '.join(sorted(map(str, reasons))) or _NO_INTERFACE}"


def used_weights(call: AttentionCall) -> Iterator[tuple[int, Tensor]]:
    """The weights as the implementation uses them, [B, H, L, at most E] of the keys from each start
    on.

    Kernels such as torch's return none, but they can be made to show them: the result for values
    that are 1 for one key and 0 for all others is the weight of that key. So one more call for
    every E keys, with the same queries, keys, mask and kernel, gives every weight.
    """
    count, width = call.v.shape[2:]
    for start in range(0, count, width):
        some = min(width, count - start)
        one_hot = torch.zeros_like(call.v)
        place = torch.arange(some, device=call.v.device)
        one_hot[:, :, start + place, place] = 1
        z_BLHE, _ = call.with_(v=one_hot).attend()
        yield start, z_BLHE.transpose(1, 2)[..., :some]


class _View:
    """A config, with a name of ours for the attention that it says."""

    def __init__(self, config: Any) -> None:
        self._config = config

    @property
    def _attn_implementation(self) -> str:
        name = _Name(self._config._attn_implementation)
        if name not in ALL_ATTENTION_FUNCTIONS:
            AttentionInterface.register(str(name), _meet)
        return name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of copies that are still empty
            raise AttributeError(name)
        return getattr(self._config, name)


class _Name(str):
    """A name of ours, for the user's implementation of another name.

    Where functions are looked up it is ours. Where it is compared it is equal to the user's as
    well, and that one is part of it: some attention modules do more for "eager" and "sdpa" than for
    others, or look for "flash" in the name.
    """

    users: str

    def __new__(cls, users: str) -> _Name:
        name = super().__new__(cls, f"llavit_lens|{users}")
        name.users = users
        return name

    def __eq__(self, other: object) -> bool:
        return str(self) == other or self.users == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __str__(self) -> str:
        return "".join(self)  # a plain one


def _meet(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
) -> Result:
    """The one attention function of ours."""
    interceptors = _interceptors.get(module)
    if interceptors is None:
        raise ConfigurationError(
            "this model is a copy made while an intervention or hook was open on the original; "
            "copy the model before that."
        )
    return AttentionCall(
        module, query, key, value, attention_mask, kwargs, rest=tuple(interceptors)
    ).run()


def _own_config(attention: Any) -> Any:
    config = attention.config
    return config._config if isinstance(config, _View) else config


_NO_INTERFACE = "does not attend through transformers' attention interface"


def _why_not(attention: nn.Module) -> str | None:
    """Why the calls of a module cannot be met; None if they can."""
    functions = _functions(type(attention))
    if not any(_interfaces(function) for function in functions):
        return _NO_INTERFACE
    if "config" not in attention.__dict__:
        return "does not keep the config by which it looks attention up"
    if any(_looks_name_up(function) for function in functions):
        # where it would not find ours, and do what it does for others
        return "looks up by the name of an attention what else it does"
    return None


def _lookup(attention: nn.Module, name: str) -> Any:
    """The function by which the module attends for a name, its family's own for "eager"."""
    for function in _functions(type(attention)):
        for interface in _interfaces(function):
            eager = [one for one in _globals_of(function) if "eager" in one]
            if name == "eager" and len(eager) != 1:
                break
            default: Any = function.__globals__[eager[0]] if eager else None
            return interface.get_interface(name, default)
    raise ConfigurationError(
        f"{type(attention).__name__} has no attention of its own by the name {name!r}"
    )


def _functions(kind: type) -> list[FunctionType]:
    """All methods of a class, those of a class before those of its bases."""
    names: dict[str, Any] = {}
    for base in kind.__mro__:
        if base is nn.Module:
            break
        for name, value in vars(base).items():
            names.setdefault(name, value)
    methods = [unwrap(value) for value in names.values() if isinstance(value, FunctionType)]
    return [method for method in methods if isinstance(method, FunctionType)]


def _globals_of(function: FunctionType) -> list[str]:
    """Names of a module that a function reads."""
    return [name for name in function.__code__.co_names if name in function.__globals__]


def _interfaces(function: FunctionType) -> list[AttentionInterface]:
    """The attention interfaces that a function reads."""
    values = (function.__globals__[name] for name in _globals_of(function))
    return [value for value in values if isinstance(value, AttentionInterface)]


def _looks_name_up(function: FunctionType) -> bool:
    """Whether a function looks the name of the implementation up in a set of names."""
    if "_attn_implementation" not in function.__code__.co_names:
        return False
    known = ("eager", *AttentionInterface._global_mapping)
    constants = function.__code__.co_consts
    return any(isinstance(one, frozenset) and not one.isdisjoint(known) for one in constants)


_interceptors: WeakKeyDictionary[nn.Module, list[Interceptor]] = WeakKeyDictionary()
