"""Activations of a pass by name, with the short keys of TransformerLens's cache."""

from __future__ import annotations

from operator import index
from typing import Any

from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.hooks import SHORT_NAMES, did_you_mean, full_name


class NotInCacheError(ConfigurationError, KeyError):
    """An activation that a cache does not hold."""

    __str__ = Exception.__str__  # a KeyError alone shows its message in quotes


class ActivationCache(dict[str, Tensor]):
    """Activations by name.

    `cache["pattern", 2]` is short for `cache["blocks.2.attn.hook_pattern"]`; negative layers count
    from the end. TransformerLens's third part is allowed: `cache["pattern", 2, "attn"]`.
    """

    n_layers: int

    def __repr__(self) -> str:
        names = ", ".join(map(repr, list(self)[:2])) + (", …" if len(self) > 2 else "")
        return f"ActivationCache({len(self)} activations: {names})"

    def __getitem__(self, key: str | tuple[str, int] | tuple[str, int, str]) -> Tensor:
        """The activation of a name, or of a short name and a layer.

        Raises:
            NotInCacheError: there is none; it is a KeyError, too.
        """
        name = self._name(key) if isinstance(key, tuple) else key
        if name not in self:
            if name in SHORT_NAMES:
                hint = f"say of which layer: cache[{name!r}, 0]"
            elif len(self) == 0:
                hint = "it is empty"
            else:
                hint = did_you_mean(name, self)
            raise NotInCacheError(f"{name!r} is not in this cache; {hint}")
        return super().__getitem__(name)

    def _name(self, key: tuple[Any, ...]) -> str:
        short, layer, *kind = key if len(key) > 1 else (*key, None)
        try:
            number = range(self.n_layers)[index(layer)]
        except (TypeError, IndexError) as error:
            raise NotInCacheError(
                f"there is no layer {layer!r}; layers are numbered 0 to {self.n_layers - 1}, as in "
                f"cache['resid_post', {self.n_layers - 1}]"
            ) from error
        if kind not in ([], ["attn"]):
            raise NotInCacheError(f"{key!r} is no key of a cache; give a short name and a layer")
        try:
            return full_name(short, number)
        except ConfigurationError as error:
            raise NotInCacheError(str(error)) from error
