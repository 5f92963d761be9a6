"""Families of models, a file each. Nothing else in `vlm`, or above it, knows one by its name."""

from __future__ import annotations

from typing import Any

from llavit_lens.vlm.families.family import Family
from llavit_lens.vlm.families.llava import LLAVA
from llavit_lens.vlm.families.llava_like import LLAVA_LIKE
from llavit_lens.vlm.families.llavit import LLAVIT

_FAMILIES = {kind: family for family in (LLAVA, LLAVIT) for kind in family.model_types}


def family_of(config: Any) -> Family:
    """The family of a model, by the `model_type` of its config.

    A model of another type is taken for one of the LLaVA kind, until its processor shows that it
    is none.
    """
    return _FAMILIES.get(getattr(config, "model_type", ""), LLAVA_LIKE)


def decoder_of(model: Any) -> Any:
    """The module of the language model inside a model, wherever its family has it."""
    return family_of(getattr(model, "config", None)).decoder(model)
