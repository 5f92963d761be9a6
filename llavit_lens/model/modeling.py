"""LLaViT as an ordinary transformers model.

Shape letters: B batch, L new tokens, P cached tokens; T tiles, C patches of a tile, D model width.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, GenerationConfig, LlavaForConditionalGeneration
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.models.llava.modeling_llava import (
    LlavaModel,
    LlavaMultiModalProjector,
    LlavaPreTrainedModel,
)
from transformers.utils.generic import can_return_tuple

from llavit_lens.disk import new_file_mode
from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.plan import plan_attention
from llavit_lens.model.attention.positions import (
    VisualPositions,
    find_visual_positions,
    packed_samples,
    require_image_tokens,
)
from llavit_lens.model.attention.routing import VisualTokens
from llavit_lens.model.compat import CACHE, WholePrompts, one_cache, rename_cache
from llavit_lens.model.configuration import LlavitConfig
from llavit_lens.model.decoders import MaskKeeping, build_decoder
from llavit_lens.model.tiles import check_pinpoints, tile_grid, token_order
from llavit_lens.model.tower_rules import check_tower

# A checkpoint may hold it, though the model does not end rows of tiles.
_NEWLINE = r"^model\.image_newline$"
# A LLaViT checkpoint may hold them, though the model has separate_visual_qkv=False.
_VISUAL_QKV = r"^model\.language_model\.layers\.\d+\.self_attn\.[qkv]+_proj_visual\.(weight|bias)$"

# Arguments for the decoder alone; newer releases of transformers pass them to the tower, too.
_OF_DECODER = ("visual_tokens", "skip_visual_update", "attention_runs")

# Settings, other than `assistant_model`, that make transformers generate with an assistant.
_ASSISTANCE = ("prompt_lookup_num_tokens", "assistant_early_exit")


class LlavitPreTrainedModel(MaskKeeping, LlavaPreTrainedModel):
    """What LLaViT's model classes share: configuration, refusals, key names on disk."""

    config: LlavitConfig
    config_class = LlavitConfig
    # Visual positions depend on the input's values, so a forward pass is not one static graph.
    _can_compile_fullgraph = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LlavitModel) and module.image_newline is not None:
            init.normal_(module.image_newline, std=module.image_newline.numel() ** -0.5)  # LLaVA's

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | os.PathLike[str], **kwargs: Any
    ) -> None:
        """As in transformers, but under native key names unless `save_original_format=True`."""
        folder = Path(save_directory)
        before = _weight_files(folder)
        super().save_pretrained(save_directory, **{"save_original_format": False, **kwargs})
        for file in {*_weight_files(folder).items()} - {*before.items()}:
            file[0].chmod(new_file_mode(folder))  # they were made for their owner alone


def _weight_files(folder: Path) -> dict[Path, tuple[int, int]]:
    """The files of weights in a folder, each with what a new one has of its own."""
    states = {path: path.stat() for path in folder.glob("*.safetensors") if path.is_file()}
    return {path: (state.st_ino, state.st_mtime_ns) for path, state in states.items()}


class LlavitModel(LlavitPreTrainedModel, LlavaModel):
    """Vision tower, projector and decoder, without the language-model head."""

    image_newline: nn.Parameter | None

    def __init__(self, config: LlavitConfig) -> None:
        check_tower(config)
        LlavaPreTrainedModel.__init__(self, config)  # LlavaModel's would build a plain decoder
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.multi_modal_projector = LlavaMultiModalProjector(config)
        self.language_model = build_decoder(config.get_text_config(), config.separate_visual_qkv)
        if config.has_tiles:
            check_pinpoints(config.pinpoints, config.tile_size)
        width = config.get_text_config().hidden_size
        newline = nn.Parameter(torch.empty(width)) if config.has_newline else None
        self.register_parameter("image_newline", newline)
        unwanted = {_VISUAL_QKV: config.separate_visual_qkv, _NEWLINE: config.has_newline}
        self._keys_to_ignore_on_load_unexpected = [k for k, has in unwanted.items() if not has]
        self.post_init()

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: Tensor,
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        image_sizes: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """As LLaVA's; `pooler_output` is one [tokens, D] for each image.

        With Any-Res, `pixel_values` are [images, tiles, 3, height, width] (images of fewer tiles
        filled up) or all tiles in a row, and `image_sizes` [images, 2] are (height, width) in
        pixels, as transformers' LLaVA-NeXT image processor returns them.

        Raises ConfigurationError for pixels that are not as `image_aspect_ratio` wants them.
        """
        settings = {
            "vision_feature_layer": vision_feature_layer,
            "vision_feature_select_strategy": vision_feature_select_strategy,
            "return_dict": True,
            **{name: value for name, value in kwargs.items() if name not in _OF_DECODER},
        }
        if not self.config.has_tiles:
            self._check_whole_images(pixel_values, image_sizes)
            return super().get_image_features(pixel_values, **settings)
        if image_sizes is None:
            raise ConfigurationError("Any-Res needs image_sizes, which its processor returns.")
        if self.config.has_newline and self.image_newline is None:
            raise ConfigurationError(
                "The config was changed to rows of tiles that end with image_newline, but the "
                "model was built without one; reload it with from_pretrained(..., "
                "image_aspect_ratio='anyres', mm_patch_merge_type='spatial_unpad')."
            )
        sizes = torch.as_tensor(image_sizes).tolist()
        pinpoints, tile_size = self.config.pinpoints, self.config.tile_size
        grids = [tile_grid(size, pinpoints, tile_size) for size in sizes]
        counts = [1 + rows * cols for rows, cols in grids]
        outputs = super().get_image_features(_tiles(pixel_values, counts), **settings)
        features_TCD = torch.stack(outputs.pooler_output)
        side = self.config.tile_side
        if features_TCD.shape[1] != side * side:
            raise ConfigurationError(
                f"Any-Res orders the {side} x {side} patches of a tile, but the vision tower gives "
                f"{features_TCD.shape[1]} features of each; "
                "check vision_feature_select_strategy ('default' drops a class token)."
            )
        outputs.pooler_output = [
            self._in_order(features, token_order(size, grid, side, self.config.mm_patch_merge_type))
            for features, size, grid in zip(features_TCD.split(counts), sizes, grids, strict=True)
        ]
        return outputs

    def _check_whole_images(self, pixel_values: Tensor, image_sizes: Tensor | None) -> None:
        """Raise ConfigurationError for tiles, where each image is seen whole."""
        mode = self.config.image_aspect_ratio
        if pixel_values.ndim != 4:
            raise ConfigurationError(
                f"pixel_values of shape {list(pixel_values.shape)} are tiles, but "
                f"image_aspect_ratio={mode!r} sees an image whole; "
                "set it to 'anyres', or use the processor that belongs to the model."
            )
        if image_sizes is not None:
            raise ConfigurationError(
                f"image_sizes say which tiles an image has, but image_aspect_ratio={mode!r} sees "
                "it whole; leave them out, or use the processor that belongs to the model."
            )

    def _in_order(self, features_TCD: Tensor, order: Tensor) -> Tensor:
        """Features of one image's patches -> its tokens [tokens, D], newlines among them."""
        rows_ND = features_TCD.flatten(0, 1)
        if self.image_newline is not None:  # the last row, which is index -1
            rows_ND = torch.cat([rows_ND, self.image_newline[None].to(rows_ND)])
        return rows_ND[order.to(rows_ND.device)]

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        cache: Cache | None = None,
        **kwargs: Any,
    ) -> Any:
        """As LLaVA's; `past_key_values` and `cache` are two names of one argument.

        `mm_token_type_ids` (1 = visual) is [B, L] or, with a cache, [B, P + L]. Without it, visual
        tokens are those of `input_ids` that are the image token.

        Raises ConfigurationError where the switches have no exact meaning: embeddings without
        `mm_token_type_ids`, types that contradict the image tokens of `input_ids`, a config changed
        to other projections than the model was built with, a cache or a padding mask of packed
        samples, or the cases that `plan_attention` and `check_tower` refuse.
        """
        past_key_values = one_cache(past_key_values, cache)
        if pixel_values is not None:
            check_tower(
                self.config,
                kwargs.get("vision_feature_layer"),
                kwargs.get("vision_feature_select_strategy"),
            )
        positions, routing = self._route(
            input_ids, inputs_embeds, mm_token_type_ids, past_key_values, pixel_values is not None
        )
        kwargs |= routing
        if packed_samples(attention_mask, past_key_values, position_ids) is not None:
            if kwargs.get("use_cache"):
                raise ConfigurationError(
                    "position_ids start again within a row, so it holds several samples, and those "
                    "cannot be cached together; pass use_cache=False, or one sample per row."
                )
            # With a cache, or a mask even without padding, transformers would not keep them apart.
            kwargs["use_cache"], attention_mask = False, None
        new = input_ids if input_ids is not None else inputs_embeds
        if new is not None:
            attention = plan_attention(
                self.language_model,
                positions,
                attention_mask,
                past_key_values,
                position_ids,
                new.shape[:2],
            )
            kwargs |= attention
        return super().forward(
            input_ids=input_ids,
            pixel_values=pixel_values,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            **{CACHE: past_key_values},
            **kwargs,
        )

    def _route(
        self,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        mm_token_type_ids: Tensor | None,
        past_key_values: Cache | None,
        has_images: bool,
    ) -> tuple[VisualPositions | None, dict[str, Any]]:
        """The visual tokens that attend to each other, None if none do; and arguments for the
        decoder, none where it computes as plain LLaVA does.

        Raises ConfigurationError as `forward`.
        """
        mode = self.config.visual_attention
        if self.language_model.separate_visual_qkv != self.config.separate_visual_qkv:
            raise ConfigurationError(
                f"config.separate_visual_qkv was changed to {self.config.separate_visual_qkv}, but "
                "the model was built with the other; reload it with from_pretrained(..., "
                f"separate_visual_qkv={self.config.separate_visual_qkv})."
            )
        if not self.config.separate_visual_qkv and mode == "causal":
            return None, {}
        past = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        image_token_id = self.config.image_token_id
        positions = find_visual_positions(
            input_ids, inputs_embeds, mm_token_type_ids, past, image_token_id
        )
        if has_images and mm_token_type_ids is not None and input_ids is not None:
            require_image_tokens(positions.new_BL, input_ids, image_token_id)
        # New text after cached tokens is causal and takes the text projections: plain LLaVA.
        if past > 0 and not positions.new_BL.any():
            return None, {}
        return positions if mode == "bidirectional" else None, {
            "visual_tokens": VisualTokens.from_mask(positions.new_BL),
            "skip_visual_update": mode == "none",
        }


def _tiles(pixel_values: Tensor, counts: list[int]) -> Tensor:
    """All tiles of all images in a row, without those that fill the batch up: [tiles, 3, H, W]."""
    if pixel_values.ndim == 5 and len(pixel_values) == len(counts):
        if pixel_values.shape[1] >= max(counts):
            images = zip(pixel_values, counts, strict=True)
            return torch.cat([tiles[:count] for tiles, count in images])
    elif pixel_values.ndim == 4 and len(pixel_values) == sum(counts):
        return pixel_values
    raise ConfigurationError(
        f"pixel_values of shape {list(pixel_values.shape)} do not hold the {counts} tiles that "
        "image_sizes and image_grid_pinpoints ask for; use the processor that belongs to the model."
    )


class LlavitForConditionalGeneration(  # type: ignore[misc]
    WholePrompts, LlavitPreTrainedModel, LlavaForConditionalGeneration
):
    """LLaViT with its language-model head: loss, logits and generation as in LLaVA."""

    def __init__(self, config: LlavitConfig) -> None:
        LlavaPreTrainedModel.__init__(self, config)
        self.model = LlavitModel(config)
        text_config = config.get_text_config()
        self.lm_head = nn.Linear(text_config.hidden_size, text_config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        image_sizes: Tensor | None = None,
        mm_encoder_outputs: dict[str, Any] | None = None,
        mm_token_type_ids: Tensor | None = None,
        cache: Cache | None = None,
        **kwargs: Any,
    ) -> Any:
        """As LLaVA's, with `mm_token_type_ids` as in `LlavitModel.forward`.

        The whole signature is spelled out because transformers' `generate` and `Trainer` read it.
        """
        return super().forward(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            vision_feature_layer=vision_feature_layer,
            vision_feature_select_strategy=vision_feature_select_strategy,
            labels=labels,
            logits_to_keep=logits_to_keep,
            image_sizes=image_sizes,
            mm_encoder_outputs=mm_encoder_outputs,
            mm_token_type_ids=mm_token_type_ids,
            **{CACHE: one_cache(past_key_values, cache)},
            **kwargs,
        )

    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Any = None,
        synced_gpus: bool | None = None,
        assistant_model: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """As in transformers. Visual tokens are those of the prompt, and never generated ones.

        Raises ConfigurationError for `prefill_chunk_size`: Eq. 8 does not stop at a chunk; and for
        assisted generation, because its steps do not know which tokens are visual.
        """
        kwargs = rename_cache(kwargs)
        settings = generation_config or self.generation_config
        assistant = {"assistant_model": assistant_model} | {
            name: kwargs.get(name, getattr(settings, name, None)) for name in _ASSISTANCE
        }
        assisted = [name for name, value in assistant.items() if value is not None]
        if assisted:
            raise ConfigurationError(
                f"{assisted[0]} asks for assisted generation, where the steps of LLaViT do not "
                "know which tokens are visual; generate without it."
            )
        if kwargs.get("prefill_chunk_size", settings.prefill_chunk_size) is not None:
            raise ConfigurationError(
                "prefill_chunk_size splits the prompt, and visual tokens could not attend to those "
                "of a later chunk (Eq. 8); generate without it."
            )
        prompt_ids = inputs if inputs is not None else kwargs.get("input_ids")
        has_types = kwargs.get("mm_token_type_ids") is not None
        if prompt_ids is not None and kwargs.get("inputs_embeds") is None and not has_types:
            kwargs["mm_token_type_ids"] = (prompt_ids == self.config.image_token_id).long()
        return super().generate(  # type: ignore[misc]
            inputs,
            generation_config,
            logits_processor,
            stopping_criteria,
            prefix_allowed_tokens_fn,
            synced_gpus,
            None,
            *args,
            **kwargs,
        )

    def prepare_inputs_for_generation(  # type: ignore[override]
        self,
        input_ids: Tensor,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        mm_token_type_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As in transformers, but a first step also gets the kinds of the cached tokens."""
        model_inputs = super().prepare_inputs_for_generation(  # type: ignore[misc]
            input_ids,  # type: ignore[arg-type]
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            mm_token_type_ids=mm_token_type_ids,
            **kwargs,
        )
        if is_first_iteration and mm_token_type_ids is not None:
            model_inputs["mm_token_type_ids"] = mm_token_type_ids
        return model_inputs

    @staticmethod
    def create_masks_for_generate(attention_mask: Tensor | None, **kwargs: Any) -> Tensor | None:
        """The padding mask, unchanged: only the forward pass builds masks, for any cache."""
        return attention_mask
