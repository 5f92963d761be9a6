"""Hooks on activations by name, with TransformerLens's names and shapes."""

from __future__ import annotations

import difflib
import inspect
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.decoders import DECODERS, add_hook_points, check_hook_points, rebuilds
from llavit_lens.model.hook_points import (
    ATTENTION_HOOKS,
    BLOCK_HOOKS,
    PATTERN_HOOKS,
    VISUAL_HOOKS,
    HookPoint,
)
from llavit_lens.vlm.acting import Acting, acting, always
from llavit_lens.vlm.attention_choice import attention_by
from llavit_lens.vlm.decoder import Decoder, refuse_peft
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.layer_points import open_points, point_names, why_missing
from llavit_lens.vlm.layers import in_ranges

Names = str | Sequence[str] | Callable[[str], bool] | None
"""Names of hook points: one, several, shell patterns such as `blocks.*.hook_resid_post`, short
names such as `resid_post` for one kind of them at all layers, or a function that says which; None
is all of them."""

SHORT_NAMES = tuple(name.removeprefix("hook_") for name in (*ATTENTION_HOOKS, *BLOCK_HOOKS))
"""Kinds of hook points, such as `q` and `resid_post`."""

Hook = Callable[[Tensor, "NamedHook"], Tensor | None]
"""Is called with an activation and its name; what it returns, if anything, replaces the
activation."""


@dataclass(frozen=True)
class NamedHook:
    """Where an activation is from.

    Attributes:
        name: such as `blocks.3.attn.hook_q`.
    """

    name: str

    @property
    def kind(self) -> str:
        """Such as `hook_q`."""
        return self.name.rsplit(".", 1)[-1]

    def layer(self) -> int:
        """Index of the decoder layer, from 0."""
        return int(self.name.split(".")[1])


def full_name(short: str, layer: int) -> str:
    """`("q", 3)` -> `blocks.3.attn.hook_q`, `("resid_mid", 3)` -> `blocks.3.hook_resid_mid`.

    Raises:
        ConfigurationError: there is no such hook point in any model.
    """
    name = _point_name(short)
    if name in ATTENTION_HOOKS:
        return f"blocks.{layer}.attn.{name}"
    if name in BLOCK_HOOKS:
        return f"blocks.{layer}.{name}"
    raise ConfigurationError(
        f"there is no hook point {short!r}; {did_you_mean(short, SHORT_NAMES)}"
    )


def _point_name(short: str) -> str:
    """`q`, `hook_q` and `attn.hook_q` -> `hook_q`."""
    return f"hook_{str(short).removeprefix('attn.').removeprefix('hook_')}"


def did_you_mean(wanted: object, names: Iterable[str], also: Iterable[str] = ()) -> str:
    """A hint for a name that does not exist: the names, or others in `also`, that are like it; if
    none is, the kinds of names that exist."""
    existing = list(names)
    near = difflib.get_close_matches(str(wanted), [*also, *existing], n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    kinds = dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name) for name in existing)
    return f"there are {', '.join(kinds) or 'none'}"


def hook_names(model: Any) -> list[str]:
    """Names of all hook points that a model has or would be given, about in the order in which a
    pass meets them. The model stays as it is.

    All models have the residual stream and what layers add to it; `attn` is there where attention
    goes through transformers' interface; and where this package rebuilds the decoder, there are
    points in between.

    Raises:
        ConfigurationError: the model cannot have any.
    """
    refuse_peft(model)
    if not rebuilds(model):
        return point_names(_decoder(model))
    check_hook_points(model)
    return [hook.name for hook, _ in _places(model)]


def hook_points(model: Any) -> dict[str, HookPoint]:
    """The hook points of a model of which the decoder is rebuilt here, by name, as in `hook_names`;
    they are added where they are not there yet. They are modules of the model from then on.

    Raises:
        ConfigurationError: the model cannot have any (see `add_hook_points`).
    """
    refuse_peft(model)
    if not rebuilds(model):
        raise ConfigurationError(
            f"the hook points of {type(model).__name__} are no modules of it: they are there for "
            "vlm.hooks, vlm.run_with_cache and interventions, which need no add_hook_points, and "
            "vlm.hook_names lists them. Only decoders that are rebuilt here get modules "
            f"({', '.join(DECODERS)}); elsewhere hook the model's own"
        )
    add_hook_points(model)
    points: dict[str, HookPoint] = {}
    for hook, module in _places(model):
        point = getattr(module, hook.kind, None)
        if not isinstance(point, nn.Module):
            raise ConfigurationError(
                f"decoder layer {hook.layer()} has no {hook.kind}: a {type(module).__name__} has "
                "taken the place of a module that has; load the model without it to get hook "
                "points."
            )
        points[hook.name] = cast(HookPoint, point)
    return points


@contextmanager
def used_points(model: Any, names: Sequence[str]) -> Iterator[dict[str, HookPoint]]:
    """Inside, passes of any model call its hook points of these full names, and hooks may be set on
    them.

    Raises:
        ConfigurationError: as `hook_names`.
    """
    if rebuilds(model):
        points = hook_points(model)
        yield {name: points[name] for name in names}
    else:
        with open_points(_decoder(model), list(names)) as opened:
            yield opened


def points_named(model: Any, names: Names) -> list[str]:
    """Those of a model's hook points that are named, in their own order.

    Raises:
        ConfigurationError: a name, pattern or function that fits none of them; it says why.
    """
    return select(names, hook_names(model), missing_points(model))


def missing_points(model: Any) -> dict[str, str]:
    """Of hook points that other models, or other layers of this one, have: why they are not there,
    by name."""
    if rebuilds(model):
        return {}
    decoder = _decoder(model)
    reasons, existing = why_missing(decoder), set(point_names(decoder))
    for layer in range(decoder.n_layers):
        for short in SHORT_NAMES:
            name = full_name(short, layer)
            if name not in existing:
                reasons.setdefault(name, f"only decoders rebuilt here do: {', '.join(DECODERS)}")
    return reasons


def _decoder(model: Any) -> Decoder:
    return Decoder.of(model, decoder_of(model))


def _places(model: Any) -> Iterator[tuple[NamedHook, nn.Module]]:
    """Each hook point, and the module that has it."""
    first, *rest = BLOCK_HOOKS
    for index, layer in enumerate(decoder_of(model).layers):
        attention = layer.self_attn
        has_branches = getattr(attention, "separate_visual_qkv", False)
        yield NamedHook(f"blocks.{index}.{first}"), layer
        for name in ATTENTION_HOOKS:
            if has_branches or name not in VISUAL_HOOKS:
                yield NamedHook(f"blocks.{index}.attn.{name}"), attention
        for name in rest:
            yield NamedHook(f"blocks.{index}.{name}"), layer


def select(
    names: Names, names_of_model: Sequence[str], missing: Mapping[str, str] | None = None
) -> list[str]:
    """Those of the hook points that are named, in their own order.

    Args:
        missing: see `missing_points`: for the error.

    Raises:
        ConfigurationError: a name, pattern or function that fits none of them.
    """
    if names is None:
        return list(names_of_model)
    if callable(names):
        selection = [name for name in names_of_model if names(name)]
        if not selection:
            raise ConfigurationError(
                "the function given as names of hook points chooses none of them; it is "
                f"called with full names, and {did_you_mean('', names_of_model)}"
            )
        return selection
    if not isinstance(names, str | Iterable):
        raise ConfigurationError(
            f"{names!r} is no name of hook points; give one such as 'blocks.3.attn.hook_z' or "
            "'resid_post', a list of them, or a function"
        )
    fitting: set[str] = set()
    for wanted in [names] if isinstance(names, str) else names:
        more = {name for name in names_of_model if _fits(name, wanted)}
        if not more:
            reasons = {n: why for n, why in (missing or {}).items() if _fits(n, wanted)}
            hint = did_you_mean(wanted, names_of_model, SHORT_NAMES)
            if reasons:
                hint = f"{_in_words(reasons)}; {did_you_mean('', names_of_model)}"
            raise ConfigurationError(f"the model has no hook point {wanted!r}; {hint}")
        fitting |= more
    return [name for name in names_of_model if name in fitting]


def _in_words(reasons: Mapping[str, str]) -> str:
    """Why there are no hook points, layer by layer: "decoder layers 0-2 do not have it: …"."""
    layers: dict[str, list[int]] = {}
    for name, why in reasons.items():
        layers.setdefault(why, []).append(NamedHook(name).layer())
    return ", and ".join(
        f"decoder layers {in_ranges(sorted(set(numbers)))} do not have it: {why}"
        for why, numbers in layers.items()
    )


def _fits(name: str, wanted: object) -> bool:
    """Whether a full name fits another full name, a pattern or a short name."""
    if not isinstance(wanted, str):
        return False
    return fnmatchcase(name, wanted) or NamedHook(name).kind == _point_name(wanted)


@contextmanager
def hooks(model: Any, fwd_hooks: Sequence[tuple[Names, Hook]]) -> Iterator[None]:
    """Inside, the hooks are called in every forward pass of the model.

    If a hook is on scores or patterns, the decoder attends by "eager" inside: no other attention
    makes them.

    Raises:
        ConfigurationError: a name that fits no hook point; no list of pairs of names and a
            function of two arguments; hooks or interventions are open in another thread. In a pass:
            a hook returned what cannot take the activation's place, or did not run.
    """
    calls = [
        (NamedHook(name), function)
        for names, function in _pairs(fwd_hooks)
        for name in points_named(model, names)
    ]
    with ExitStack() as stack:
        actor = stack.enter_context(acting(model))
        actor.calls_users = True
        if any(hook.kind in PATTERN_HOOKS for hook, _ in calls):
            stack.enter_context(attention_by(model, "eager"))
        points = stack.enter_context(used_points(model, [hook.name for hook, _ in calls]))
        for hook, function in calls:
            set_hook(actor, hook, points[hook.name], _call(function, hook))
        yield


def set_hook(
    actor: Acting, hook: NamedHook, point: HookPoint, function: Callable[..., Any]
) -> None:
    """Set a hook at a hook point; a pass that skips it is an error."""
    needed = actor.visual_rows if hook.kind in VISUAL_HOOKS else always
    actor.hook(point, f"the hook at {hook.name}", function, needed=needed)


def _pairs(fwd_hooks: Any) -> list[tuple[Names, Hook]]:
    """The hooks, once they are known to be pairs of names and a function of two arguments."""
    pairs = list(fwd_hooks) if isinstance(fwd_hooks, list | tuple) else [fwd_hooks]
    for pair in pairs:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and callable(pair[1])):
            raise ConfigurationError(
                "hooks are a list of pairs of names and a function, such as "
                f"[('blocks.3.attn.hook_z', edit)]; there is {reprlib.repr(pair)} instead of a pair"
            )
        try:
            inspect.signature(pair[1]).bind(None, None)
        except TypeError as error:
            raise ConfigurationError(
                f"the hook at {reprlib.repr(pair[0])} must take two arguments, "
                "the activation and where it is from: def edit(activation, hook)"
            ) from error
        except ValueError:  # some functions written in C do not say what they take
            pass
    return pairs


def _call(hook: Hook, where: NamedHook) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Any]:
    def call(module: nn.Module, args: tuple[Any, ...], activation: Tensor) -> Tensor | None:
        new = hook(activation, where)
        if new is not None and not isinstance(new, Tensor):
            raise ConfigurationError(
                f"the hook at {where.name} returned a {type(new).__name__}; return a tensor of "
                f"shape {list(activation.shape)}, or None to leave the activation as it is"
            )
        if new is not None and new.shape != activation.shape:
            raise ConfigurationError(
                f"the hook at {where.name} returned a tensor of shape {list(new.shape)}; the "
                f"activation's is {list(activation.shape)}"
            )
        return new

    return call
