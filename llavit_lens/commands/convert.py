"""What `llavit-lens convert` does."""

from __future__ import annotations

from pathlib import Path

from llavit_lens.model.checkpoints.convert import convert
from llavit_lens.vlm.load import checkpoint_folder


def convert_report(
    source: str,
    out: Path,
    to: str,
    separate_qkv: bool | None,
    visual_attention: str | None,
    vision_feature_layer: int | list[int] | None,
    base: str | None,
    vision_tower: str | None,
) -> None:
    """Convert a checkpoint and print what is new in it, and where it is.

    Args:
        source: as `load` takes it.
        out, to, separate_qkv, visual_attention, vision_feature_layer, base, vision_tower: as
            `convert`.

    Raises:
        LlavitLensError: as `convert`.
    """
    folder = out.resolve()  # now: the current folder may be replaced
    target = convert(
        checkpoint_folder(source),
        out,
        to,
        separate_qkv,
        visual_attention,
        vision_feature_layer,
        base,
        vision_tower,
    )
    for note in target.notes:
        print(note)
    print(f"The model is {folder}")
