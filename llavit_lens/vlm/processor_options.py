"""Arguments for a processor's calls: transformers logs one that it does not know, and goes on."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any

from llavit_lens.errors import ConfigurationError

_PARTS = {"text_kwargs": "tokenizer", "images_kwargs": "image_processor"}
"""Groups of arguments, and the part of a processor that takes them."""


def check_options(processor: Any, options: Mapping[str, Any], name: str) -> None:
    """Refuse an argument that a processor would ignore.

    Nothing is refused where the processor does not say what it takes.

    Args:
        processor: of the model.
        options: arguments of its call, flat, or in groups such as `images_kwargs`.
        name: of the model, for messages.

    Raises:
        ConfigurationError: an argument that it does not know.
    """
    said = getattr(processor, "valid_processor_kwargs", None)
    if said is None:
        return
    groups = {key: set(_fields(kind)) for key, kind in _fields(said).items()}
    for group, part in _PARTS.items():
        own = getattr(getattr(processor, part, None), "valid_kwargs", None)
        groups.setdefault(group, set()).update(_fields(own))
    named = set(signature(processor.__call__).parameters)
    flat = {*groups, *named, "common_kwargs", *(key for keys in groups.values() for key in keys)}
    _refuse([key for key in options if isinstance(key, str) and key not in flat], flat, name)
    for group, keys in groups.items():
        if keys and isinstance(options.get(group), Mapping):
            _refuse([key for key in options[group] if key not in keys], keys, name)


def _fields(kind: Any) -> dict[str, Any]:
    return dict(getattr(kind, "__annotations__", {}))


def _refuse(unknown: list[str], known: set[str], name: str) -> None:
    if unknown:
        near = get_close_matches(str(unknown[0]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "leave it out"
        raise ConfigurationError(
            f"{name}: its processor has no option {unknown[0]!r} and would ignore it; {hint}"
        )
