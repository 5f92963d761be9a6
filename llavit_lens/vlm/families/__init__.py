"""Families of models, a file each. Nothing else in `vlm`, or above it, knows one by its name."""

from __future__ import annotations

from typing import Any

from llavit_lens.vlm.families.described import DESCRIBED, OTHER
from llavit_lens.vlm.families.family import Family
from llavit_lens.vlm.families.llava import LLAVA, PIXTRAL
from llavit_lens.vlm.families.llava_like import LLAVA_LIKE
from llavit_lens.vlm.families.llavit import LLAVIT

_FAMILIES = {
    kind: family
    for family in (LLAVA, LLAVIT, LLAVA_LIKE, *DESCRIBED)
    for kind in family.model_types
}


def family_of(config: Any) -> Family:
    """The family of a model, by the `model_type` of its config, and of the vision tower in it where
    that decides.

    A model of another type has its layout measured.
    """
    kind = getattr(config, "model_type", "")
    if kind == "llava" and _tower_type(config) == "pixtral":
        return PIXTRAL
    return _FAMILIES.get(kind, OTHER)


def _tower_type(config: Any) -> str:
    return getattr(getattr(config, "vision_config", None), "model_type", "")


def decoder_of(model: Any) -> Any:
    """The module of the language model inside a model, wherever its family has it."""
    return family_of(getattr(model, "config", None)).decoder(model)
