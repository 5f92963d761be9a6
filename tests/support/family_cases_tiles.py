"""Families that cut an image into tiles of one size, and see the whole image as one more; or that
see it in one piece."""

from __future__ import annotations

from typing import Any

from any_processor import calling, with_image_settings
from family_case import Case, made_of

_CLIP = "clip.image_processing_pil_clip.CLIPImageProcessorPil"
_LLAVA = "llava.processing_llava.LlavaProcessor"
_LLAVA_PROMPT = "USER: <image>\nWhat? ASSISTANT:"
_IMAGE = {10: "<image>", 11: "<video>"}
_IMAGE_NAME = {"image_token": "<image>"}
_ENDS = {10: "<image>", 13: "<boi>", 14: "<eoi>"}
_ENDS_NAMES = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"}

_CROPPED = made_of(
    _LLAVA,
    _CLIP,
    _IMAGE,
    attributes=_IMAGE_NAME,
    image={"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}},
    patch_size=14,
    vision_feature_select_strategy="default",
    num_additional_image_tokens=1,
)

ONE_PIECE = (
    Case("llava", "llava", _CROPPED, _LLAVA_PROMPT, {"image_seq_length": 16}),
    Case(
        "vipllava",
        "vipllava",
        _CROPPED,
        _LLAVA_PROMPT,
        {"image_seq_length": 16, "vision_feature_layers": [-1, -2]},
    ),
    Case(
        "paligemma",
        "paligemma",
        made_of(
            "paligemma.processing_paligemma.PaliGemmaProcessor",
            "siglip.image_processing_pil_siglip.SiglipImageProcessorPil",
            _IMAGE,
            attributes=_IMAGE_NAME,
            image={"size": {"height": 56, "width": 56}, "image_seq_length": 16},
        ),
        "<image>what?",
        {"vision_config": {"image_size": 56, "projection_dim": 64}, "projection_dim": 64},
        sees_itself=True,
    ),
    Case(
        "janus",
        "janus",
        made_of(
            "janus.processing_janus.JanusProcessor",
            "janus.image_processing_pil_janus.JanusImageProcessorPil",
            _ENDS,
            attributes=_ENDS_NAMES,
            image={"size": {"height": 56, "width": 56}, "min_size": 14},
            num_image_tokens=16,
        ),
        "<image>What?",
        {
            "vision_config": {"image_size": 56, "patch_size": 14, "num_image_tokens": 16},
            "vq_config": {  # draws images, and is not used here
                "base_channels": 32,
                "channel_multiplier": [1, 1],
                "num_res_blocks": 1,
                "num_embeddings": 10,
                "embed_dim": 8,
                "latent_channels": 32,
                "projection_dim": 64,
                "image_token_embed_dim": 64,
            },
        },
    ),
    Case(
        "deepseek_vl",
        "deepseek_vl",
        made_of(
            "deepseek_vl.processing_deepseek_vl.DeepseekVLProcessor",
            "deepseek_vl.image_processing_pil_deepseek_vl.DeepseekVLImageProcessorPil",
            _IMAGE,
            attributes=_IMAGE_NAME,
            image={"size": {"height": 56, "width": 56}, "min_size": 14},
            num_image_tokens=16,
        ),
        "<image>What?",
        {"vision_config": {"image_size": 56, "patch_size": 14}, "num_image_tokens": 16},
    ),
    Case(
        "deepseek_vl_hybrid",
        "deepseek_vl_hybrid",
        made_of(
            "deepseek_vl_hybrid.processing_deepseek_vl_hybrid.DeepseekVLHybridProcessor",
            "deepseek_vl_hybrid.image_processing_pil_deepseek_vl_hybrid."
            "DeepseekVLHybridImageProcessorPil",
            _IMAGE,
            attributes=_IMAGE_NAME,
            image={
                "size": {"height": 56, "width": 56},
                "high_res_size": {"height": 128, "width": 128},
                "min_size": 14,
            },
            num_image_tokens=16,
        ),
        "<image>What?",
        {
            "vision_config": {"image_size": 56, "patch_size": 14},
            "high_res_vision_config": {
                "image_size": 128,
                "patch_size": 16,
                "window_size": 4,
                "global_attn_indexes": [1],
            },
            "num_image_tokens": 16,
        },
    ),
)

GEMMA = {
    10: "<image_soft_token>",
    12: "<audio_soft_token>",
    13: "<start_of_image>",
    14: "<end_of_image>",
    17: "<boa>",
    18: "<eoa>",
}
GEMMA_NAMES = {
    "image_token": "<image_soft_token>",
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "audio_token": "<audio_soft_token>",
    "boa_token": "<boa>",
    "eoa_token": "<eoa>",
}
_make_gemma3 = made_of(
    "gemma3.processing_gemma3.Gemma3Processor",
    "gemma3.image_processing_pil_gemma3.Gemma3ImageProcessorPil",
    GEMMA,
    attributes=GEMMA_NAMES,
    image={"size": {"height": 112, "width": 112}},
    image_seq_length=16,
)
_GEMMA3 = {"vision_config": {"image_size": 112}, "mm_tokens_per_image": 16}


def _make_gemma3_pan() -> Any:
    return with_image_settings(
        _make_gemma3(),
        do_pan_and_scan=True,
        pan_and_scan_min_crop_size=16,
        pan_and_scan_max_num_crops=4,
        pan_and_scan_min_ratio_to_activate=1.2,
    )


_GOT = "got_ocr2.image_processing_pil_got_ocr2.GotOcr2ImageProcessorPil"
_SIX_TILES = {"size": {"height": 56, "width": 56}, "crop_to_patches": True, "max_patches": 6}
_INTERN = {10: "<IMG_CONTEXT>", 11: "<video>", 13: "<img>", 14: "</img>"}
_INTERN_NAMES = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
_INTERN_CONFIG = {
    "vision_config": {"image_size": [56, 56], "patch_size": [14, 14]},
    "image_seq_length": 4,
    "downsample_ratio": 0.5,
}
_make_got_ocr2 = made_of(
    "got_ocr2.processing_got_ocr2.GotOcr2Processor",
    _GOT,
    {10: "<imgpad>", 13: "<img>", 14: "</img>"},
    attributes={"image_token": "<imgpad>"},
    more=["<|im_start|>", "<|im_end|>"],
    image={"size": {"height": 256, "width": 256}},
)
_TAGS = [f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)]
_IDEFICS3_IMAGE = {
    "size": {"longest_edge": 4 * 56},
    "max_image_size": {"longest_edge": 56},
}
_IDEFICS3_CONFIG = {"vision_config": {"image_size": 56}, "scale_factor": 2}

TILES = (
    Case(
        "gemma3",
        "gemma3",
        _make_gemma3,
        "<start_of_image>what?",
        _GEMMA3,
        sees_itself=True,
    ),
    Case(
        "gemma3_pan",
        "gemma3",
        _make_gemma3_pan,
        "<start_of_image>what?",
        _GEMMA3,
        kind="tiles",
        several_views=True,
        sees_itself=True,
    ),
    Case(
        "internvl",
        "internvl",
        made_of(
            "internvl.processing_internvl.InternVLProcessor",
            _GOT,
            _INTERN,
            attributes=_INTERN_NAMES,
            image={**_SIX_TILES, "min_patches": 1},
            image_seq_length=4,
        ),
        "<IMG_CONTEXT>\nWhat?",
        _INTERN_CONFIG,
        kind="tiles",
        several_views=True,
    ),
    Case(
        "qianfan_ocr",
        "qianfan_ocr",
        made_of(
            "qianfan_ocr.processing_qianfan_ocr.QianfanOCRProcessor",
            _GOT,
            _INTERN,
            attributes={**_INTERN_NAMES, "image_token": "<image>"},
            image={**_SIX_TILES, "min_patches": 1},
            image_seq_length=4,
        ),
        "<image>\nWhat?",
        _INTERN_CONFIG,
        kind="tiles",
        several_views=True,
    ),
    Case(
        "got_ocr2",
        "got_ocr2",
        lambda: calling(_make_got_ocr2(), num_image_tokens=16),
        "<img><imgpad></img>What?",
        {
            "image_seq_length": 16,
            "vision_config": {
                "image_size": 256,
                "patch_size": 16,
                "window_size": 4,
                "global_attn_indexes": [1],
                "output_channels": 256,
            },
        },
        kind="tiles",
    ),
    Case(
        "aya_vision",
        "aya_vision",
        made_of(
            "aya_vision.processing_aya_vision.AyaVisionProcessor",
            _GOT,
            {10: "<|IMG_PATCH|>", 13: "<|START_OF_IMG|>", 14: "<|END_OF_IMG|>"},
            attributes={"image_token": "<|IMG_PATCH|>"},
            more=["<|IMG_LINE_BREAK|>", "TILE", "TILE_GLOBAL", "<image>"],
            image={**_SIX_TILES, "min_patches": 1},
            patch_size=14,
            img_size=56,
            downsample_factor=2,
        ),
        "<image>What?",
        {"vision_config": {"image_size": 56}, "downsample_factor": 2},
        kind="tiles",
        several_views=True,
    ),
    Case(
        "cohere2_vision",
        "cohere2_vision",
        made_of(
            "cohere2_vision.processing_cohere2_vision.Cohere2VisionProcessor",
            "cohere2_vision.image_processing_cohere2_vision.Cohere2VisionImageProcessor",
            _ENDS,
            attributes={**_ENDS_NAMES, "img_line_break_token": "<brk>"},
            image={"size": {"height": 56, "width": 56}, "max_patches": 6, "patch_size": 2},
        ),
        "<image>What?",
        {
            "vision_config": {"image_size": 56, "patch_size": 14},
            "downsample_factor": 2,
            "alignment_intermediate_size": 80,
        },
        kind="tiles",
        several_views=True,
        needs_torchvision=True,
    ),
    Case(
        "ovis2",
        "ovis2",
        made_of(
            "ovis2.processing_ovis2.Ovis2Processor",
            "ovis2.image_processing_pil_ovis2.Ovis2ImageProcessorPil",
            {
                10: "<IMG_ATOM>",
                20: "<IMG_START>",
                21: "<IMG_GRID>",
                22: "<IMG_COL>",
                23: "<IMG_ROW>",
                24: "<IMG_END>",
            },
            more=["<image>"],
            image=_SIX_TILES,
            image_seq_length=4,
        ),
        "<image>What?",
        {
            "vision_config": {
                "image_size": 56,
                "patch_size": 14,
                "hidden_stride": 2,
                "vocab_size": 60,
                "num_visual_indicator_tokens": 5,
                "hidden_size": 32,
            },
            "visual_indicator_token_ids": [20, 21, 22, 23, 24],
            "image_token_id": 10,
            "hidden_size": 64,
        },
        kind="tiles",
        several_views=True,
    ),
    Case(
        "idefics3",
        "idefics3",
        made_of(
            "idefics3.processing_idefics3.Idefics3Processor",
            "idefics3.image_processing_pil_idefics3.Idefics3ImageProcessorPil",
            _IMAGE,
            more=["<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *_TAGS],
            image=_IDEFICS3_IMAGE,
            image_seq_len=4,
        ),
        "<image>What?",
        _IDEFICS3_CONFIG,
        kind="tiles",
        several_views=True,
    ),
    Case(
        "smolvlm",
        "smolvlm",
        made_of(
            "smolvlm.processing_smolvlm.SmolVLMProcessor",
            "smolvlm.image_processing_pil_smolvlm.SmolVLMImageProcessorPil",
            _IMAGE,
            attributes={
                "image_token": "<image>",
                "fake_image_token": "<fake_token_around_image>",
                "global_image_token": "<global-img>",
            },
            more=["<end_of_utterance>", *_TAGS],
            image=_IDEFICS3_IMAGE,
            image_seq_len=4,
            video_processor=None,
        ),
        "<image>What?",
        _IDEFICS3_CONFIG,
        kind="tiles",
        several_views=True,
    ),
    Case(
        "llama4",
        "llama4",
        made_of(
            "llama4.processing_llama4.Llama4Processor",
            "llama4.image_processing_llama4.Llama4ImageProcessor",
            {
                10: "<|patch|>",
                13: "<|image_start|>",
                14: "<|image_end|>",
                20: "<|image|>",
                21: "<|tile_x_separator|>",
                22: "<|tile_y_separator|>",
            },
            image={"size": {"height": 56, "width": 56}, "max_patches": 6},
            patch_size=14,
            pixel_shuffle_ratio=0.5,
        ),
        "<|image|>What?",
        {
            "vision_config": {
                "image_size": 56,
                "patch_size": 14,
                "pixel_shuffle_ratio": 0.5,
                "projector_input_dim": 64,
                "projector_output_dim": 64,
                "vision_output_dim": 64,
                "hidden_size": 32,
                "intermediate_size": 128,
            }
        },
        kind="tiles",
        several_views=True,
        experts=True,
        needs_torchvision=True,
    ),
)
