"""The switches of LLaViT on top of transformers' LLaVA configuration.

Every row of the paper's Tables 1 and 3 is one setting of three switches: `separate_visual_qkv`,
`visual_attention` and LLaVA's own `vision_feature_layer`. How an image becomes pixels and tokens
is set as in LLaVA: `image_aspect_ratio`, `mm_patch_merge_type` and `image_grid_pinpoints`.
"""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import LlavaConfig

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.tiles import MERGE_TYPES, are_pairs, default_pinpoints
from llavit_lens.rows import VISUAL_ATTENTION_MODES

ASPECT_RATIO_MODES = ("crop", "pad", "stretch", "anyres")

_CHOICES = {
    "visual_attention": VISUAL_ATTENTION_MODES,
    "image_aspect_ratio": ASPECT_RATIO_MODES,
    "mm_patch_merge_type": MERGE_TYPES,
}


@strict
class LlavitConfig(LlavaConfig):
    """LLaVA's configuration plus what LLaViT adds.

    separate_visual_qkv: visual tokens have query, key and value projections of their own (Eq. 6).
    visual_attention: what visual tokens attend to. "causal" is LLaVA; "bidirectional" lets all
        visual tokens see each other (Eq. 8); "none" leaves visual tokens out of the attention
        update, while text still attends to them (Eq. 5).
    vision_feature_layer: one vision layer; or a list of layers, and their features are
        concatenated (the paper's local and global features).
    image_aspect_ratio: how an image is fitted to the vision tower's square. "crop" keeps the middle
        (LLaVA's "square"), "pad" adds bars in the color of the image mean, "stretch" distorts;
        "anyres" adds to the stretched image tiles of a larger version of it (LLaVA-NeXT). The
        default is what transformers' LLaVA does; LLaVA-1.5's second stage pads; the paper's
        "resizing to a single image" is any of the three.
    mm_patch_merge_type: the order of the tokens of tiles (see `token_order`); used by "anyres"
        only. "flat" and "spatial" give at most 5 x 576 tokens, the paper's 2880, "spatial_unpad"
        (LLaVA-NeXT) as many as 2928, since it ends rows with the learned `image_newline`. "flat" is
        LLaVA's own default. Newlines stand among the image's tokens, so they count as visual
        tokens in Eq. 5, 6 and 8, as in transformers' `mm_token_type_ids`.
    image_grid_pinpoints: (height, width) of the resolutions that "anyres" chooses from; None is
        LLaVA-NeXT's five in tiles of the vision tower. The order is transformers', not LLaVA's.

    Where the paper says nothing about Any-Res, it is done as in LLaVA-NeXT: the base tile is
    stretched, tiles are padded in black, and a small image gets tiles too.

    Raises ConfigurationError for an unknown choice, a `separate_visual_qkv` that is not a bool or
    pinpoints that are not pairs, also on later assignment.
    """

    model_type = "llavit"

    separate_visual_qkv: bool = True
    visual_attention: str = "bidirectional"
    image_aspect_ratio: str = "crop"
    mm_patch_merge_type: str = "flat"
    image_grid_pinpoints: list | None = None

    @property
    def tile_size(self) -> int:
        """Pixels on each side of what the vision tower sees at once: an image, or a tile."""
        vision: Any = self.vision_config
        return vision.image_size

    @property
    def tile_side(self) -> int:
        """Patches on each side of it."""
        vision: Any = self.vision_config
        return vision.image_size // vision.patch_size

    @property
    def has_tiles(self) -> bool:
        """Whether an image is seen in several tiles (Any-Res)."""
        return self.image_aspect_ratio == "anyres"

    @property
    def has_newline(self) -> bool:
        """Whether rows of patches end with the learned `image_newline`."""
        return self.has_tiles and self.mm_patch_merge_type == "spatial_unpad"

    @property
    def pinpoints(self) -> list[list[int]]:
        """(height, width) of the resolutions that Any-Res chooses from."""
        if self.image_grid_pinpoints is None:
            return default_pinpoints(self.tile_size)
        return [list(pinpoint) for pinpoint in self.image_grid_pinpoints]

    def __setattr__(self, key: str, value: Any) -> None:
        if key in _CHOICES and value not in _CHOICES[key]:
            choices = ", ".join(repr(choice) for choice in _CHOICES[key])
            raise ConfigurationError(f"{key}={value!r} is not one of {choices}.")
        if key == "separate_visual_qkv" and not isinstance(value, bool):
            raise ConfigurationError(f"separate_visual_qkv={value!r} is not True or False.")
        if key == "image_grid_pinpoints" and not (value is None or are_pairs(value)):
            raise ConfigurationError(f"{key}={value!r} is not a list of (height, width) in pixels.")
        super().__setattr__(key, value)
