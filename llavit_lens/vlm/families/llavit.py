"""LLaViT: LLaVA or LLaVA-NeXT, with switches for visual tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.model import LlavitProcessor
from llavit_lens.model.agreement import check_agreement
from llavit_lens.rows import VisualAttentionMode
from llavit_lens.vlm.families.llava_like import LLAVA_LIKE, follow_strategy

_TILING = ("mm_patch_merge_type", "image_grid_pinpoints")
_RESOLUTION = ("image_aspect_ratio", *_TILING)


def _visual_attention(config: Any) -> VisualAttentionMode:
    mode: VisualAttentionMode = config.visual_attention
    return mode


def _follow(processor: Any, config: Any, changed: Sequence[str], name: str) -> None:
    """Make the processor prepare images at another resolution, or count tokens otherwise."""
    idle = [key for key in _TILING if key in changed]
    if idle and not config.has_tiles:
        raise ConfigurationError(
            f"{name}: {', '.join(idle)} would change nothing without tiles; set "
            "image_aspect_ratio='anyres' too"
        )
    resolution = [key for key in _RESOLUTION if key in changed]
    if resolution and not isinstance(processor, LlavitProcessor):
        raise ConfigurationError(
            f"{name}: has a {type(processor).__name__}, which takes images in one way only; leave "
            f"out {', '.join(resolution)}, or save a LlavitProcessor beside the model"
        )
    if resolution:
        processor.set_resolution(config)
    follow_strategy(processor, config, changed, name)


LLAVIT = replace(
    LLAVA_LIKE,
    model_types=("llavit",),
    validate=check_agreement,
    visual_attention=_visual_attention,
    follow=_follow,
)
