"""Families of models, a file each. Nothing else in `vlm`, or above it, knows one by its name."""

from __future__ import annotations

from dataclasses import replace
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
_WITH_TOWER = {("llava", "pixtral"): PIXTRAL}
"""By the type of the model and that of its vision tower, where the tower decides."""


def family_of(config: Any) -> Family:
    """The family of a model, by the `model_type` of its config, and of the vision tower in it where
    that decides.

    A model of another type has its layout measured.
    """
    kind = getattr(config, "model_type", "")
    return _WITH_TOWER.get((kind, _tower_type(config))) or family_of_type(kind)


def family_of_type(model_type: str) -> Family:
    """The family of a `model_type`, whatever its vision tower."""
    return _FAMILIES.get(model_type, OTHER)


def change_family(model_type: str, **changes: Any) -> Family:
    """From now on, models of this type are read so, with every vision tower; what is left out
    stays as it was. Returns what `family_of_type` gives from now on."""
    _FAMILIES[model_type] = replace(
        family_of_type(model_type), model_types=(model_type,), **changes
    )
    for key, family in _WITH_TOWER.items():
        if key[0] == model_type:
            _WITH_TOWER[key] = replace(family, **changes)
    return _FAMILIES[model_type]


def _tower_type(config: Any) -> str:
    return getattr(getattr(config, "vision_config", None), "model_type", "")


def decoder_of(model: Any) -> Any:
    """The module of the language model inside a model, wherever its family has it."""
    return family_of(getattr(model, "config", None)).decoder(model)
