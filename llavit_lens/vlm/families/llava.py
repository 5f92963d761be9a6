"""LLaVA (its layout is `one_grid`) and LLaVA-NeXT (its layout is `stitched`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from llavit_lens.model import LlavitConfig
from llavit_lens.model.agreement import check_agreement
from llavit_lens.vlm.families.family import check_template
from llavit_lens.vlm.families.llava_like import LLAVA_LIKE
from llavit_lens.vlm.families.rows import rows_of_patches

_LLAVIT_SWITCHES = frozenset(LlavitConfig.__annotations__)


def _advise_conversion(switches: Sequence[str], name: str) -> str:
    """What to do about switches that only LLaViT has."""
    if not _LLAVIT_SWITCHES.issuperset(switches):
        return ""
    return f", but LLaViT has; run `llavit-lens convert {name} OUT` first and load OUT"


LLAVA = replace(
    LLAVA_LIKE,
    model_types=("llava",),
    validate=check_agreement,
    advise=_advise_conversion,
)

LLAVA_NEXT = replace(LLAVA, model_types=("llava_next",), kind="stitched tiles")

PIXTRAL = replace(
    LLAVA,
    model_types=(),
    layout=rows_of_patches,
    validate=check_template,
    kind="rows",
    plain_prompt="{image}{question}",
)
"""A model of type llava with a Pixtral tower, whose patches stand in rows."""
