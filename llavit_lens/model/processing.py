"""Pictures and text into what LLaViT takes: pixels, placeholders, and which tokens are visual.

Pixels are made by transformers' own image processors: CLIP's (crop, stretch), LLaVA's (pad) and
LLaVA-NeXT's (Any-Res).
"""

from __future__ import annotations

from typing import Any

from transformers import (
    CLIPImageProcessorPil,
    LlavaImageProcessorPil,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaProcessor,
)

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.model.compat import return_token_types
from llavit_lens.model.configuration import LlavitConfig
from llavit_lens.model.tiles import check_pinpoints, tile_grid, token_order
from llavit_lens.model.tower_rules import CLASS_TOKENS

# What a vision tower expects of its pixels, whatever part of a picture they show.
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
        config: of the model; its vision tower's `image_size` is the size of a picture or tile.
        like: an image processor whose pixel values (mean, deviation, resampling) to keep; default:
            CLIP's.

    Raises:
        ConfigurationError: the pinpoints of Any-Res are not made of tiles.
    """
    size = config.tile_size
    settings = {key: getattr(like, key) for key in _PIXEL_SETTINGS if hasattr(like, key)}
    square = {"height": size, "width": size}
    if config.image_aspect_ratio == "stretch":
        return CLIPImageProcessorPil(size=square, do_center_crop=False, **settings)
    settings |= {"size": {"shortest_edge": size}, "crop_size": square}
    if config.image_aspect_ratio == "crop":
        return CLIPImageProcessorPil(**settings)
    if config.image_aspect_ratio == "pad":
        return LlavaImageProcessorPil(do_pad=True, **settings)
    check_pinpoints(config.pinpoints, size)
    return LlavaNextImageProcessorPil(image_grid_pinpoints=config.pinpoints, **settings)


def makes_tiles(image_processor: Any) -> bool:
    """Whether it is LLaVA-NeXT's image processor, in either of transformers' versions."""
    return type(image_processor).__name__.removesuffix("Pil") == "LlavaNextImageProcessor"


def complete_processor(processor: Any, config: Any) -> None:
    """Tell a LLaVA processor, in place, what those that transformers saved before 4.45 do not say.

    Args:
        processor: of any kind; one that is not LLaVA's, or says it all, stays as it is.
        config: of the model that it belongs to.
    """
    if not isinstance(processor, (LlavaProcessor, LlavaNextProcessor)):
        return
    vision = config.vision_config
    if processor.patch_size is None:
        processor.patch_size = vision.patch_size
    if not processor.num_additional_image_tokens:  # 0 is also what transformers takes for nothing
        processor.num_additional_image_tokens = CLASS_TOKENS.get(vision.model_type, 0)
    if processor.vision_feature_select_strategy is None:
        processor.vision_feature_select_strategy = config.vision_feature_select_strategy


def forget_origin(tokenizer: Any) -> None:
    """Drop what transformers notes of how it found a tokenizer: it would be saved with it."""
    for key in ("is_local", "local_files_only"):
        getattr(tokenizer, "init_kwargs", {}).pop(key, None)


def merge_type_of(processor: Any) -> str | None:
    """The order in which a processor expects the tokens of tiles; None if that is not known."""
    if isinstance(processor, LlavaNextProcessor):
        return "spatial_unpad"  # the only one it has
    return getattr(processor, "mm_patch_merge_type", None)


def resolution_of(processor: Any) -> dict[str, Any]:
    """The fields of LlavitConfig that say how a processor of the LLaVA family takes pictures.

    `image_processor_for` is the way back.
    """
    image_processor = processor.image_processor
    if makes_tiles(image_processor):
        return {
            "image_aspect_ratio": "anyres",
            "mm_patch_merge_type": merge_type_of(processor),
            "image_grid_pinpoints": [list(p) for p in image_processor.image_grid_pinpoints],
        }
    if getattr(image_processor, "do_pad", False):
        return {"image_aspect_ratio": "pad"}
    cropped = getattr(image_processor, "do_center_crop", False)
    return {"image_aspect_ratio": "crop" if cropped else "stretch"}


def check_tiles(config: Any, processor: Any, name: str) -> None:
    """Model and processor must cut and order tiles alike: some mix-ups change no token count.

    Args:
        config: of a LLaVA, LLaVA-NeXT or LLaViT; others are not looked at.
        processor: what should belong to it.
        name: of the checkpoint, for messages.

    Raises:
        CheckpointError: they do not.
    """
    if isinstance(config, LlavitConfig):
        tiles, pinpoints = config.has_tiles, config.pinpoints
        merge_type = config.mm_patch_merge_type
    elif config.model_type == "llava_next":
        tiles, pinpoints, merge_type = True, config.image_grid_pinpoints, "spatial_unpad"
    else:
        return
    wanted = {
        "image_aspect_ratio": "anyres",
        "mm_patch_merge_type": merge_type,
        "image_grid_pinpoints": [list(pinpoint) for pinpoint in pinpoints],
    }
    made = resolution_of(processor)
    if made != wanted if tiles else made["image_aspect_ratio"] == "anyres":
        raise CheckpointError(
            f"{name}: model and processor do not belong together: the model wants "
            f"{wanted if tiles else 'no tiles'}, and the processor makes {made}"
        )


@return_token_types
class LlavitProcessor(LlavaProcessor):
    """LlavaProcessor that knows tiles and returns `mm_token_type_ids` (1 = visual) by default.

    With LLaVA-NeXT's image processor (Any-Res) it returns `image_sizes` [images, 2] too, the
    pictures' (height, width), which the model needs; `mm_patch_merge_type` has to be the model's.
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
        """Take pictures as `config` says, with pixel values as they are.

        Raises:
            ConfigurationError: as `image_processor_for`.
        """
        self.image_processor = image_processor_for(config, self.image_processor)
        self.mm_patch_merge_type = config.mm_patch_merge_type

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs: Any) -> str:
        """As many image tokens as the model makes of this picture.

        Raises:
            ConfigurationError: tiles with a class token, which has no place among their patches.
        """
        if not makes_tiles(self.image_processor):
            return super().replace_image_token(image_inputs, image_idx, **kwargs)
        tile_size = image_inputs["pixel_values"][image_idx].shape[-1]
        image_size = [int(edge) for edge in image_inputs["image_sizes"][image_idx]]
        return self.image_token * self._tiled_tokens(image_size, tile_size)

    def _tiled_tokens(self, image_size: list[int], tile_size: int) -> int:
        """Tokens of a picture of (height, width)."""
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
