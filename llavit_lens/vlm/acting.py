"""Hooks that act in every pass of a model, and the proof of it at the end of each pass.

A hook can be bypassed in silence: a layer is skipped or replaced, a `forward` is patched, compiled
code runs in the place of Python. So all of our hooks are set here, and a pass in which one of them
did not run ends with an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.modules import module as of_torch

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.compilation import uncompiled
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.turns import Owner, owned, turn

Needed = Callable[[], bool]
"""Whether something has to act in the pass that ends."""

_REASONS = (
    "a module was replaced, skipped or given another forward after the hook was set, or compiled "
    "code ran in its place. Undo that, or set the hook after it."
)


def always() -> bool:
    """Has to act in every pass."""
    return True


class Acting:
    """What one intervention, hook or recorder does in every pass.

    Attributes:
        passes: changes whenever a pass has ended in which all acted that had to.
        calls_users: whether it calls functions that users wrote.
    """

    def __init__(self, model: Any, owner: Owner, stack: ExitStack) -> None:
        self.passes = 0
        self.calls_users = False
        self._owner, self._stack = owner, stack
        self._decoder: Any = decoder_of(model)
        self._expected: dict[str, Needed] = {}
        self._acted: set[str | None] = set()
        self._has_begun = self._has_branches = False
        # each of them may be what a user calls: the model, one compiled around it, parts of it
        chain = (model, getattr(model, "_orig_mod", None), getattr(model, "model", None))
        for module in dict.fromkeys((*chain, self._decoder)):
            if isinstance(module, nn.Module):
                name = "a hook on the decoder" if module is self._decoder else None
                self.hook(module, name, self._begin, before=True)
                self.hook(module, None, self._end)

    def expect(self, name: str, needed: Needed = always) -> None:
        """A pass is an error in which `acted(name)` was not called, if it is needed."""
        self._expected[name] = needed

    def acted(self, name: str | None) -> None:
        """Something that is expected has acted in this pass."""
        self._acted.add(name)

    def visual_rows(self) -> bool:
        """Whether attention knows which tokens of this pass are visual. In steps of a generation
        it does not, and nothing goes through the branch of visual tokens."""
        return self._has_branches

    def hook(
        self,
        module: nn.Module,
        name: str | None,
        function: Callable[[Any, Any, Any], Any],
        *,
        before: bool = False,
        first: bool = False,
        shared: bool = False,
        needed: Needed = always,
    ) -> None:
        """Call a function in every call of a module, which has to take place in every pass.

        Args:
            module: where.
            name: of the hook, for the error if it is not called; None: it need not be called.
            function: is given module, arguments, and the result, or, `before`, named arguments.
            before: call it before the module's own forward.
            first: call it before hooks that were set earlier.
            shared: other threads may call the module outside of passes; the hook leaves that alone.
            needed: called at the end of a pass: whether the hook has to act in it.
        """
        if name is not None:
            self.expect(name, needed)

        def call(called: Any, args: Any, third: Any) -> Any:
            if shared and not self._owner.is_here():
                return None
            self._owner.check_here()
            if called is not module:
                raise ConfigurationError(
                    "this model is a copy made while an intervention or hook was open on the "
                    "original; copy the model before that."
                )
            result = function(called, args, third)
            self.acted(name)
            return result

        handle = (
            module.register_forward_pre_hook(call, prepend=first, with_kwargs=True)
            if before
            else module.register_forward_hook(call, prepend=first)
        )
        self._stack.callback(handle.remove)

    def _begin(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """A pass begins, or goes on from the model to its parts."""
        self._acted.clear()
        self._has_begun = True
        if module is not self._decoder:
            return
        self._has_branches = kwargs.get("visual_tokens") is not None
        recomputes = module.training and getattr(module, "gradient_checkpointing", False)
        if recomputes and torch.is_grad_enabled():
            raise ConfigurationError(
                "gradient checkpointing runs layers again in the backward pass, when interventions "
                "may be others; call model.gradient_checkpointing_disable() first."
            )

    def _end(self, module: Any, args: Any, result: Any) -> None:
        if not self._has_begun:  # opened in the middle of a pass
            return
        missing = [
            name for name, needed in self._expected.items() if name not in self._acted and needed()
        ]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise ConfigurationError(f"{missing[0]}{more} did not act in this pass: {_REASONS}")
        self.passes += 1


@contextmanager
def acting(model: Any) -> Iterator[Acting]:
    """Inside, what is set on the yielded object acts in every pass, which runs uncompiled.

    Raises:
        ConfigurationError: something is open on the model in another thread. In a pass: another
            thread runs it, or something did not act.
    """
    with ExitStack() as stack:
        owner = stack.enter_context(owned(model))
        stack.enter_context(uncompiled())
        actor = Acting(model, owner, stack)
        all_open = _open.setdefault(actor._decoder, [])
        all_open.append(actor)
        stack.callback(all_open.remove, actor)
        yield actor


@contextmanager
def one_pass(model: Any) -> Iterator[None]:
    """Inside, it is the model's turn, and it runs at least once.

    Raises:
        ConfigurationError: it ran, and something that is open on it did not notice; as `turn`.
    """
    with turn(model):
        all_open = _open.get(decoder_of(model), [])
        before = [(actor, actor.passes) for actor in all_open]
        yield
        if any(actor in all_open and actor.passes == passes for actor, passes in before):
            raise ConfigurationError(
                f"an intervention or hook on this model did not act in this pass: {_REASONS}"
            )


def calls_users(model: Any) -> bool:
    """Whether functions that users wrote are called in passes: our hooks, PyTorch's, those that it
    calls for all modules, or a `forward` that was set on one module. They may know tokens by their
    places in a prompt that is alone in its batch."""
    if any(actor.calls_users for actor in _open.get(decoder_of(model), [])):
        return True
    functions = [*of_torch._global_forward_pre_hooks.values()]
    functions += of_torch._global_forward_hooks.values()
    for module in model.modules():
        functions += module._forward_pre_hooks.values()
        functions += module._forward_hooks.values()
        if "forward" in vars(module):
            functions.append(vars(module)["forward"])
    return any(not _home_of(function).startswith(_LIBRARIES) for function in functions)


def _home_of(function: Any) -> str:
    """The module that a function was written in, also where it bears the name of one it wraps."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)
    written_in = getattr(function, "__globals__", None) or {}
    return str(written_in.get("__name__", getattr(function, "__module__", "")))


_LIBRARIES = ("llavit_lens.", "transformers.", "accelerate.", "peft.")
"""Whose own hooks act on batches as on one sample."""
_open: WeakKeyDictionary[nn.Module, list[Acting]] = WeakKeyDictionary()
