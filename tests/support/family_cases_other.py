"""Families whose tokens lie in ways of their own: stitched tiles with newlines, rows of patches,
tiles of any shape, places that the processor gives, code words; and those without a map."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from any_model import SIGLIP
from any_processor import any_tokenizer, part
from family_case import Case, made_of
from family_cases_tiles import GEMMA, GEMMA_NAMES

_IMAGE = {10: "<image>", 11: "<video>"}
_IMAGE_NAME = {"image_token": "<image>"}
_LLAVA_PROMPT = "USER: <image>\nWhat? ASSISTANT:"
_ENDS = {10: "<image>", 13: "<boi>", 14: "<eoi>"}
_ENDS_NAMES = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"}

_NEXT_IMAGES = "llava_next.image_processing_pil_llava_next.LlavaNextImageProcessorPil"
_NEXT_SIZES = [[56, 56], [56, 112], [112, 56], [112, 112], [56, 168], [168, 56]]
_ONEVISION_SIZES = [[56 * rows, 56 * cols] for rows in range(1, 5) for cols in range(1, 5)]
_GRANITE_SIZES = [[112, 112], [112, 224], [224, 112], [224, 224]]

STITCHED = (
    Case(
        "llava_next",
        "llava_next",
        made_of(
            "llava_next.processing_llava_next.LlavaNextProcessor",
            _NEXT_IMAGES,
            _IMAGE,
            attributes=_IMAGE_NAME,
            image={
                "size": {"shortest_edge": 56},
                "crop_size": {"height": 56, "width": 56},
                "image_grid_pinpoints": _NEXT_SIZES,
            },
            patch_size=14,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
        _LLAVA_PROMPT,
        {"image_grid_pinpoints": _NEXT_SIZES},
        kind="stitched tiles",
        several_views=True,
        newlines=True,
    ),
    Case(
        "llava_onevision",
        "llava_onevision",
        made_of(
            "llava_onevision.processing_llava_onevision.LlavaOnevisionProcessor",
            "llava_onevision.image_processing_pil_llava_onevision.LlavaOnevisionImageProcessorPil",
            _IMAGE,
            attributes=_IMAGE_NAME,
            image={
                "size": {"height": 56, "width": 56},
                "image_grid_pinpoints": _ONEVISION_SIZES,
            },
            num_image_tokens=16,
            vision_feature_select_strategy="full",
            vision_aspect_ratio="anyres_max_4",
        ),
        _LLAVA_PROMPT,
        {"image_grid_pinpoints": _ONEVISION_SIZES, "vision_aspect_ratio": "anyres_max_4"},
        kind="stitched tiles",
        several_views=True,
        newlines=True,
    ),
    Case(
        "granite4_vision",
        "granite4_vision",
        made_of(
            "granite4_vision.processing_granite4_vision.Granite4VisionProcessor",
            _NEXT_IMAGES,
            _IMAGE,
            attributes=_IMAGE_NAME,
            image={
                "size": {"height": 112, "width": 112},
                "crop_size": {"height": 112, "width": 112},
                "image_grid_pinpoints": _GRANITE_SIZES,
            },
            patch_size=14,
            vision_feature_select_strategy="full",
            downsample_rate="1/2",
        ),
        _LLAVA_PROMPT,
        {
            "image_grid_pinpoints": _GRANITE_SIZES,
            "vision_config": {**SIGLIP, "image_size": 112, "hidden_size": 64},
            "qformer_config": {
                "model_type": "blip_2_qformer",
                "hidden_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 48,
                "encoder_hidden_size": 32,
                "vocab_size": 1,
            },
            "vision_feature_select_strategy": "full",
            "text_config": {"logits_scaling": 4.0},
        },
        kind="stitched tiles",
        several_views=True,
        newlines=True,
        after_head=True,
        added_later=True,
    ),
)

_PIXTRAL_IMAGES = "pixtral.image_processing_pil_pixtral.PixtralImageProcessorPil"
_PIXTRAL = {10: "[IMG]", 13: "[IMG_BREAK]", 14: "[IMG_END]"}

ROWS = (
    Case(
        "mistral3",
        "mistral3",
        made_of(
            "pixtral.processing_pixtral.PixtralProcessor",
            _PIXTRAL_IMAGES,
            _PIXTRAL,
            image={"size": {"longest_edge": 168}, "patch_size": 14},
            patch_size=14,
            spatial_merge_size=2,
        ),
        "[IMG]What?",
        {"vision_config": {"image_size": 168, "head_dim": 16}, "spatial_merge_size": 2},
        kind="rows",
    ),
    Case(
        "pixtral",
        "llava",
        made_of(
            "pixtral.processing_pixtral.PixtralProcessor",
            _PIXTRAL_IMAGES,
            _PIXTRAL,
            image={"size": {"longest_edge": 112}, "patch_size": 14},
            patch_size=14,
        ),
        "[IMG]What?",
        {
            "vision_config": {"model_type": "pixtral", "image_size": 112, "head_dim": 16},
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
        },
        kind="rows",
    ),
    Case(
        "lighton_ocr",
        "lighton_ocr",
        made_of(
            "lighton_ocr.processing_lighton_ocr.LightOnOcrProcessor",
            _PIXTRAL_IMAGES,
            _PIXTRAL,
            attributes={
                "image_token": "[IMG]",
                "image_break_token": "[IMG_BREAK]",
                "image_end_token": "[IMG_END]",
            },
            image={"size": {"longest_edge": 168}, "patch_size": 14},
            patch_size=14,
            spatial_merge_size=2,
        ),
        "[IMG]What?",
        {"vision_config": {"image_size": 168, "head_dim": 16}, "spatial_merge_size": 2},
        kind="rows",
    ),
)


def _make_minicpm() -> Any:
    names = {
        "image_token": "<im>",
        "video_token": "<vid>",
        "image_start_token": "<image>",
        "image_end_token": "</image>",
        "slice_start_token": "<slice>",
        "slice_end_token": "</slice>",
        "image_id_start_token": "<image_id>",
        "image_id_end_token": "</image_id>",
    }
    return part(
        "minicpmv4_6.processing_minicpmv4_6.MiniCPMV4_6Processor",
        image_processor=part(
            "minicpmv4_6.image_processing_pil_minicpmv4_6.MiniCPMV4_6ImageProcessorPil",
            scale_resolution=112,
            patch_size=14,
            max_slice_nums=6,
        ),
        # asked for these two also where there is no video
        video_processor=SimpleNamespace(slice_mode=False, downsample_mode="16x"),
        tokenizer=any_tokenizer({10: "<im>", 11: "<vid>"}, names),
    )


SHAPED = (
    Case(
        "lfm2_vl",
        "lfm2_vl",
        made_of(
            "lfm2_vl.processing_lfm2_vl.Lfm2VlProcessor",
            "lfm2_vl.image_processing_lfm2_vl.Lfm2VlImageProcessor",
            _IMAGE,
            attributes=_IMAGE_NAME,
            more=["<|image_start|>", "<|image_end|>", "<|img_thumbnail|>"],
            image={
                "tile_size": 64,
                "encoder_patch_size": 16,
                "min_image_tokens": 4,
                "max_image_tokens": 16,
                "min_tiles": 2,
                "max_tiles": 6,
                "downsample_factor": 2,
                "max_num_patches": 64,
            },
        ),
        "<image>What?",
        {
            "vision_config": {"num_patches": 16, "patch_size": 16},
            "text_config": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
            "downsample_factor": 2,
        },
        kind="shaped tiles",
        several_views=True,
        maskable=False,
        needs_torchvision=True,
    ),
    Case(
        "minicpmv4_6",
        "minicpmv4_6",
        _make_minicpm,
        "<im>What?",
        {
            "vision_config": {"patch_size": 14, "image_size": 112, "insert_layer_id": 0},
            "insert_layer_id": 0,
            "image_token_id": 10,
            "video_token_id": 11,
        },
        kind="shaped tiles",
        several_views=True,
        maskable=False,
    ),
)

GIVEN = (
    Case(
        "molmo2",
        "molmo2",
        made_of(
            "molmo2.processing_molmo2.Molmo2Processor",
            "molmo2.image_processing_molmo2.Molmo2ImageProcessor",
            {
                10: "<im_patch>",
                13: "<im_start>",
                14: "<im_end>",
                20: "<low_res_im_start>",
                21: "<frame_start>",
                22: "<frame_end>",
                23: "<im_col>",
                24: "<im_low>",
                25: "<|image|>",
                26: "<|video|>",
            },
            image={
                "size": {"height": 112, "width": 112},
                "max_crops": 6,
                "overlap_margins": [1, 1],
                "patch_size": 14,
                "pooling_size": [2, 2],
            },
        ),
        "<|image|>What?",
        {"vision_config": {"image_size": [112, 112], "num_position_embeddings": 64}},
        kind="given indices",
        several_views=True,
        sees_itself=True,
        needs_torchvision=True,
    ),
    Case(
        "gemma4",
        "gemma4",
        made_of(
            "gemma4.processing_gemma4.Gemma4Processor",
            "gemma4.image_processing_pil_gemma4.Gemma4ImageProcessorPil",
            GEMMA,
            attributes=GEMMA_NAMES,
            image={"patch_size": 14, "max_soft_tokens": 70, "pooling_kernel_size": 2},
            feature_extractor=None,
            video_processor=None,
            image_seq_length=70,
        ),
        "<image_soft_token>what?",
        {
            "vision_config": {"patch_size": 14, "pooling_kernel_size": 2},
            "text_config": {"final_logit_softcapping": 30.0},
        },
        kind="coordinates",
        after_head=True,
    ),
)

CODES = (
    Case(
        "chameleon",
        "chameleon",
        made_of(
            "chameleon.processing_chameleon.ChameleonProcessor",
            "chameleon.image_processing_pil_chameleon.ChameleonImageProcessorPil",
            {10: "<image>", 13: "<racm3:break>", 14: "<eoss>"},
            attributes={
                "image_token": "<image>",
                "boi_token": "<racm3:break>",
                "eoi_token": "<eoss>",
            },
            image={"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}},
            image_seq_length=16,
        ),
        "<image>What?",
        {
            "vq_config": {
                "resolution": 64,
                "num_embeddings": 10,
                "base_channels": 32,
                "embed_dim": 16,
                "latent_channels": 16,
                "channel_multiplier": [1, 1, 1, 1, 1],
                "num_res_blocks": 1,
            }
        },
        kind="codes",
        after_head=True,
    ),
    Case(
        "emu3",
        "emu3",
        made_of(
            "emu3.processing_emu3.Emu3Processor",
            "emu3.image_processing_emu3.Emu3ImageProcessor",
            {**_ENDS, 15: "<wrap>", 16: "<eof>"},
            attributes={
                **_ENDS_NAMES,
                "image_wrapper_token": "<wrap>",
                "eof_token": "<eof>",
            },
            image={"spatial_factor": 8, "min_pixels": 32 * 32, "max_pixels": 64 * 64},
        ),
        "<image>What?",
        {
            "vq_config": {
                "base_channels": 32,
                "channel_multiplier": [1, 1, 1, 1],
                "num_res_blocks": 1,
                "codebook_size": 20,
                "embed_dim": 4,
                "latent_channels": 4,
                "hidden_size": 32,
            }
        },
        kind="codes",
        newlines=True,
    ),
)

NO_MAP = (
    Case(
        "idefics2",
        "idefics2",
        made_of(
            "idefics2.processing_idefics2.Idefics2Processor",
            "idefics2.image_processing_pil_idefics2.Idefics2ImageProcessorPil",
            _IMAGE,
            attributes={
                "image_token": "<image>",
                "image_boundary_token": "<fake_token_around_image>",
            },
            more=["<end_of_utterance>"],
            image={
                "size": {"shortest_edge": 42, "longest_edge": 112},
                "do_image_splitting": False,
            },
            image_seq_len=8,
        ),
        "<image>What?",
        {
            "vision_config": {"image_size": 112},
            "perceiver_config": {
                "resampler_n_latents": 8,
                "resampler_depth": 1,
                "resampler_n_heads": 4,
                "resampler_head_dim": 16,
                "num_key_value_heads": 2,
            },
        },
        kind="no map",
    ),
    Case(
        "aria",
        "aria",
        made_of(
            "aria.processing_aria.AriaProcessor",
            "aria.image_processing_pil_aria.AriaImageProcessorPil",
            _IMAGE,
            attributes=_IMAGE_NAME,
            image={"max_image_size": 980, "min_image_size": 336},
            size_conversion={980: 8},
        ),
        "<image>What?",
        {
            "vision_config": {
                "model_type": "idefics3_vision",
                "image_size": 980,
                "patch_size": 140,
                "hidden_size": 32,
            },
            "projector_patch_to_query_dict": {49: 8},
            "text_config": {"moe_num_experts": 4},
        },
        kind="no map",
        experts=True,
    ),
)
