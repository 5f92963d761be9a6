"""Images and text into the inputs of LLaViT: pixels, placeholders, and which tokens are visual.

Pixels are made by transformers' own image processors: CLIP's (crop, stretch), LLaVA's (pad) and
LLaVA-NeXT's (Any-Res).
"""

from __future__ import annotations

from typing import Any

from transformers import (
    CLIPImageProcessorPil,
    LlavaImageProcessorPil,
    LlavaNextImageProcessorPil,
    LlavaProcessor,
)

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.compat import return_token_types
from llavit_lens.model.configuration import LlavitConfig
from llavit_lens.model.llava_processors import makes_tiles
from llavit_lens.model.tiles import check_pinpoints, tile_grid, token_order

# How a vision tower expects its pixels, for any part of an image.
_PIXEL_SETTINGS = (
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "resample",
)


def image_processor_for(config: LlavitConfig, like: Any = None) -> Any:
    """The image processor that `config.image_aspect_ratio` asks for.

    Args:
        config: of the model; its vision tower's `image_size` is the size of an image or tile.
        like: an image processor; its settings of pixel values (mean, deviation, resampling) are
            kept. Default: CLIP's.

    Raises:
        ConfigurationError: the pinpoints of Any-Res are no multiples of the tile size.
    """
    if config.has_tiles:
        check_pinpoints(config.pinpoints, config.tile_size)
    return build_image_processor(
        config.image_aspect_ratio, config.tile_size, config.pinpoints, like
    )


def build_image_processor(
    aspect_ratio: str, size: int, pinpoints: list[list[int]], like: Any = None
) -> Any:
    """The image processor of an `image_aspect_ratio`.

    Args:
        aspect_ratio: as in LlavitConfig.
        size: pixels on each side of an image or tile.
        pinpoints: (height, width) of the resolutions of "anyres".
        like: as in `image_processor_for`.
    """
    settings = {key: getattr(like, key) for key in _PIXEL_SETTINGS if hasattr(like, key)}
    square = {"height": size, "width": size}
    if aspect_ratio == "stretch":
        return CLIPImageProcessorPil(size=square, do_center_crop=False, **settings)
    settings |= {"size": {"shortest_edge": size}, "crop_size": square}
    if aspect_ratio == "crop":
        return CLIPImageProcessorPil(**settings)
    if aspect_ratio == "pad":
        return LlavaImageProcessorPil(do_pad=True, **settings)
    return LlavaNextImageProcessorPil(image_grid_pinpoints=pinpoints, **settings)


@return_token_types
class LlavitProcessor(LlavaProcessor):
    """LlavaProcessor that knows tiles and returns `mm_token_type_ids` (1 = visual) by default.

    With LLaVA-NeXT's image processor (Any-Res) it returns `image_sizes` [images, 2] too, the
    images' (height, width), which the model needs; `mm_patch_merge_type` has to be the model's.
    """

    return_mm_token_type_ids = True

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        patch_size: int | None = None,
        vision_feature_select_strategy: str | None = None,
        chat_template: str | None = None,
        image_token: str = "<image>",
        num_additional_image_tokens: int = 0,
        mm_patch_merge_type: str = "flat",
        **kwargs: Any,
    ) -> None:
        # The whole signature is spelled out because transformers reads it to save and load.
        self.mm_patch_merge_type = mm_patch_merge_type
        super().__init__(
            image_processor,
            tokenizer,
            patch_size=patch_size,
            vision_feature_select_strategy=vision_feature_select_strategy,
            chat_template=chat_template,
            image_token=image_token,
            num_additional_image_tokens=num_additional_image_tokens,
            **kwargs,
        )

    def set_resolution(self, config: LlavitConfig) -> None:
        """Prepare images as `config` says, with pixel values as they are.

        Raises:
            ConfigurationError: as `image_processor_for`.
        """
        self.image_processor = image_processor_for(config, self.image_processor)
        self.mm_patch_merge_type = config.mm_patch_merge_type

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs: Any) -> str:
        """As many image tokens as the model makes of this image.

        Raises:
            ConfigurationError: tiles with a class token, which has no place among their patches.
        """
        if not makes_tiles(self.image_processor):
            return super().replace_image_token(image_inputs, image_idx, **kwargs)
        tile_size = image_inputs["pixel_values"][image_idx].shape[-1]
        image_size = [int(edge) for edge in image_inputs["image_sizes"][image_idx]]
        return self.image_token * self._tiled_tokens(image_size, tile_size)

    def _tiled_tokens(self, image_size: list[int], tile_size: int) -> int:
        """Number of tokens of an image of (height, width)."""
        dropped = 1 if self.vision_feature_select_strategy == "default" else 0
        if self.num_additional_image_tokens != dropped:
            raise ConfigurationError(
                "Any-Res takes the patches of a tile alone: set "
                "vision_feature_select_strategy='default' and num_additional_image_tokens=1 for a "
                "vision tower with a class token, 'full' and 0 for one without."
            )
        assert self.patch_size is not None
        side = tile_size // self.patch_size
        grid = tile_grid(image_size, self.image_processor.image_grid_pinpoints, tile_size)
        return len(token_order(image_size, grid, side, self.mm_patch_merge_type))

    def _get_num_multimodal_tokens(self, image_sizes: Any = None, **kwargs: Any) -> Any:
        data = super()._get_num_multimodal_tokens(image_sizes, **kwargs)
        if image_sizes is not None and makes_tiles(self.image_processor):
            tile_size = self.image_processor.crop_size["height"]
            data.num_image_tokens = [self._tiled_tokens(list(s), tile_size) for s in image_sizes]
        return data
