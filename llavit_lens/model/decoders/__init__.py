"""The decoders LLaViT is built on, one file per family."""

from __future__ import annotations

from llavit_lens.model.decoders.adopt import add_hook_points, check_hook_points, rebuilds
from llavit_lens.model.decoders.base import MaskKeeping, VisualDecoder
from llavit_lens.model.decoders.registry import DECODERS, build_decoder

__all__ = [
    "DECODERS",
    "MaskKeeping",
    "VisualDecoder",
    "add_hook_points",
    "build_decoder",
    "check_hook_points",
    "rebuilds",
]
