"""The rows of the paper's Tables 1 and 3, and the switches of LLaViT that each one turns on.

PyTorch is not imported, so that commands know the names before anything slow is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

VisualAttentionMode = Literal["causal", "bidirectional", "none"]
"""What visual tokens attend to: earlier tokens, as text does; also all visual tokens (Eq. 8); or
nothing, since they skip the attention update (Eq. 5)."""

VISUAL_ATTENTION_MODES: tuple[VisualAttentionMode, ...] = get_args(VisualAttentionMode)

LOCAL_AND_GLOBAL = (5, 15, 23)
"""The paper's layers of CLIP ViT-L, which has 24; the output of layer 23 is LLaVA's -2."""


@dataclass(frozen=True)
class Row:
    """One row of the tables.

    Attributes:
        name: as options and files spell it.
        label: as tables print it.
        title: as figures call it where it stands alone.
        separate_visual_qkv, visual_attention: of `LlavitConfig`.
        local_and_global: whether the projector reads several vision layers, not the last but one.
    """

    name: str
    label: str
    title: str
    separate_visual_qkv: bool = False
    visual_attention: VisualAttentionMode = "causal"
    local_and_global: bool = False


ROWS = {
    row.name: row
    for row in (
        Row("baseline", "baseline", "Baseline"),
        Row(
            "no_visual_attention", "no visual attn.", "No visual attention",
            visual_attention="none",
        ),
        Row("separate_qkv", "separate QKV", "Separate QKV", True),
        Row(
            "separate_qkv_bidirectional", "  + bidirectional", "Separate QKV + bidirectional",
            True, "bidirectional",
        ),
        Row(
            "separate_qkv_local_global", "  + local/global", "Separate QKV + local and global",
            True, "causal", True,
        ),
        Row("llavit", "llavit", "LLaViT", True, "bidirectional", True),
    )
}  # fmt: skip
"""By name, in the paper's order."""
