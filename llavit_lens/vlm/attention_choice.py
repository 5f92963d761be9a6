"""What the decoder attends by: its user's choice, unless something open needs another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.families import decoder_of


class _Choice:
    """Of one decoder, while anything is open that needs some implementation.

    Attributes:
        users: the implementation that the user chose.
        ours: the one that was set last, in view of all that is open.
        needs: of everything that is open, the implementations that it can do with.
    """

    def __init__(self, implementation: str) -> None:
        self.users = self.ours = implementation
        self.needs: list[tuple[str, ...]] = []

    def fitting(self) -> list[str]:
        """Those that are good for everything that is open."""
        first, *others = self.needs
        return [kind for kind in first if all(kind in need for need in others)]

    def update(self, model: Any) -> None:
        """Set what everything that is open can do with; the user's, where it is among it."""
        current = implementation_of(model)
        if current != self.ours:  # the user has chosen another one since
            self.users = current
        fitting = self.fitting() if self.needs else [self.users]
        self.ours = self.users if self.users in fitting else fitting[0]
        if self.ours != current:
            model.set_attn_implementation(of_decoder(model.config, self.ours))


def implementation_of(model: Any) -> str:
    """What the decoder attends by, such as "sdpa"."""
    return decoder_of(model).config._attn_implementation


def of_decoder(config: Any, implementation: str) -> dict[str, Any]:
    """An implementation such as "sdpa" for the decoder alone, as transformers takes it for a model
    of this config: vision and audio towers may not have it."""
    decoder = config.get_text_config(decoder=True)
    for key in config.sub_configs:
        part = getattr(config, key, None)
        if part is decoder:
            return {key: implementation}
        if part is not None and part.get_text_config(decoder=True) is decoder:
            return {key: of_decoder(part, implementation)}
    return {"": implementation}  # the whole config is the decoder's


@contextmanager
def attention_by(model: Any, *kinds: str) -> Iterator[None]:
    """Inside, the decoder attends by one of these implementations: by its own if that is one of
    them, else by the first that everything else that is open can do with, too.

    Whatever the order in which several are left, the last one gives back the user's choice: the one
    from before, or what `model.set_attn_implementation` has set since. Every caller accepts
    "eager".
    """
    decoder = decoder_of(model)
    choice = _choices.setdefault(decoder, _Choice(implementation_of(model)))
    choice.needs.append(kinds)
    try:
        choice.update(model)
        yield
    finally:
        choice.needs.remove(kinds)
        choice.update(model)
        if not choice.needs:
            _choices.pop(decoder, None)


def check_attention(model: Any) -> None:
    """Raise ConfigurationError if the implementation was changed to one that does not fit."""
    choice = _choices.get(decoder_of(model))
    current = implementation_of(model)
    if choice is not None and current not in choice.fitting():
        raise ConfigurationError(
            f"attention was set to {current!r} while an intervention was open that needs "
            f"{' or '.join(map(repr, choice.fitting()))}; set it before, or leave that first."
        )


_choices: WeakKeyDictionary[nn.Module, _Choice] = WeakKeyDictionary()
