"""Families of models, a file each. Nothing else in `vlm`, or above it, knows one by its name."""

from __future__ import annotations

from typing import Any

from llavit_lens.vlm.families.described import DESCRIBED, OTHER
from llavit_lens.vlm.families.family import Family
from llavit_lens.vlm.families.llava import LLAVA, LLAVA_NEXT, PIXTRAL
from llavit_lens.vlm.families.llava_like import LLAVA_LIKE
from llavit_lens.vlm.families.llavit import LLAVIT

_FAMILIES = {
    kind: family
    for family in (LLAVA, LLAVA_NEXT, LLAVIT, LLAVA_LIKE, *DESCRIBED)
    for kind in family.model_types
}


def family_of(config: Any) -> Family:
    """The family of a model, by the `model_type` of its config, and of the vision tower in it where
    that decides.

    A model of another type has its layout measured.
    """
    kind = getattr(config, "model_type", "")
    family = family_of_type(kind)
    return PIXTRAL if family is LLAVA and _tower_type(config) == "pixtral" else family


def family_of_type(model_type: str) -> Family:
    """The family of a `model_type`, whatever its vision tower."""
    return _FAMILIES.get(model_type, OTHER)


def add_family(family: Family) -> None:
    """From now on, its model types are of this family."""
    _FAMILIES.update(dict.fromkeys(family.model_types, family))


def _tower_type(config: Any) -> str:
    return getattr(getattr(config, "vision_config", None), "model_type", "")


def decoder_of(model: Any) -> Any:
    """The module of the language model inside a model, wherever its family has it."""
    return family_of(getattr(model, "config", None)).decoder(model)
