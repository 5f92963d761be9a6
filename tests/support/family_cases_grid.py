"""Families whose processor says the grid of each image: `image_grid_thw`, in patches before they
are merged 2 x 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from any_model import rope
from family_case import Case, made_of

_QWEN = {10: "<|image_pad|>", 11: "<|video_pad|>", 13: "<|vision_start|>", 14: "<|vision_end|>"}
_QWEN_NAMES = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
_QWEN_ENDS = {"vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>"}
_QWEN_PROMPT = "<|vision_start|><|image_pad|><|vision_end|>What is in the image?"
_QWEN_IMAGES = "qwen2_vl.image_processing_pil_qwen2_vl.Qwen2VLImageProcessorPil"

_GLM = {
    10: "<|image|>",
    11: "<|video|>",
    13: "<|begin_of_image|>",
    14: "<|end_of_image|>",
    15: "<|begin_of_video|>",
    16: "<|end_of_video|>",
}
_GLM_NAMES = {"image_token": "<|image|>", "video_token": "<|video|>"}
_GLM_PROMPT = "<|begin_of_image|><|image|><|end_of_image|>What is in the image?"


def _pixels(patch: int) -> dict[str, Any]:
    """Of an image processor: an image becomes 4 to 40 tokens of 2 x 2 patches."""
    token = (2 * patch) ** 2
    size = {"shortest_edge": 4 * token, "longest_edge": 40 * token}
    return {"size": size, "patch_size": patch}


def _qwen(
    model_type: str,
    processor: str,
    vision: Mapping[str, Any],
    *,
    patch: int = 14,
    names: Mapping[str, str] | None = None,
    tokens: Mapping[int, str] | None = None,
    images: str = _QWEN_IMAGES,
    image: Mapping[str, Any] | None = None,
    text: Mapping[str, Any] | None = None,
    **expected: Any,
) -> Case:
    make = made_of(
        processor,
        images,
        {**_QWEN, **(tokens or {})},
        attributes={**_QWEN_NAMES, **(names or {})},
        image=_pixels(patch) if image is None else image,
    )
    config = {"vision_config": {"patch_size": patch, **vision}}
    if text is not None:
        config["text_config"] = dict(text)
    return Case(model_type, model_type, make, _QWEN_PROMPT, config, **expected)


def _glm(model_type: str, processor: str, images: str, **config: Any) -> Case:
    make = made_of(processor, images, _GLM, attributes=_GLM_NAMES, image=_pixels(14))
    vision = {"patch_size": 14, "image_size": 112, "out_hidden_size": 64, "intermediate_size": 80}
    return Case(model_type, model_type, make, _GLM_PROMPT, {"vision_config": vision, **config})


_QWEN3_PROCESSOR = "qwen3_vl.processing_qwen3_vl.Qwen3VLProcessor"
_POSITIONS = {"num_position_embeddings": 64}
_DEEPSTACK = {**_POSITIONS, "deepstack_visual_indexes": [0, 1]}
_WINDOWS = {"window_size": 56, "fullatt_block_indexes": [1]}
_QUARTER = {"rope_parameters": rope([1, 1, 0], partial_rotary_factor=0.25, mrope_interleaved=True)}
_GLM46 = (
    "glm46v.processing_glm46v.Glm46VProcessor",
    "glm46v.image_processing_pil_glm46v.Glm46VImageProcessorPil",
)

GRIDS = (
    _qwen(
        "qwen2_vl",
        "qwen2_vl.processing_qwen2_vl.Qwen2VLProcessor",
        {"hidden_size": 64, "embed_dim": 32},
    ),
    _qwen("qwen2_5_vl", "qwen2_5_vl.processing_qwen2_5_vl.Qwen2_5_VLProcessor", _WINDOWS),
    _qwen("qwen3_vl", _QWEN3_PROCESSOR, _DEEPSTACK, patch=16, added_later=True),
    _qwen("qwen3_vl_moe", _QWEN3_PROCESSOR, _DEEPSTACK, patch=16, experts=True, added_later=True),
    _qwen("qwen3_5", _QWEN3_PROCESSOR, _POSITIONS, patch=16, text=_QUARTER, maskable=False),
    _qwen(
        "qwen3_5_moe",
        _QWEN3_PROCESSOR,
        _POSITIONS,
        patch=16,
        text=_QUARTER,
        maskable=False,
        experts=True,
    ),
    _qwen("cosmos3_omni", _QWEN3_PROCESSOR, _DEEPSTACK, patch=16, added_later=True),
    _glm(
        "glm4v",
        "glm4v.processing_glm4v.Glm4vProcessor",
        "glm4v.image_processing_pil_glm4v.Glm4vImageProcessorPil",
    ),
    _glm("glm46v", *_GLM46),
    _glm("glm_ocr", *_GLM46, text_config={"rope_parameters": rope([2, 3, 3])}),
    _qwen(
        "ernie4_5_vl_moe",
        "ernie4_5_vl_moe.processing_ernie4_5_vl_moe.Ernie4_5_VLMoeProcessor",
        {},
        tokens={15: "<vs>", 16: "<ve>"},
        names={
            "image_start_token": "<|vision_start|>",
            "image_end_token": "<|vision_end|>",
            "video_start_token": "<vs>",
            "video_end_token": "<ve>",
        },
        images="ernie4_5_vl_moe.image_processing_pil_ernie4_5_vl_moe."
        "Ernie4_5_VLMoeImageProcessorPil",
        text={"rope_parameters": rope([3, 3, 2]), "moe_intermediate_size": [24, 24]},
        experts=True,
    ),
    _qwen(
        "paddleocr_vl",
        "paddleocr_vl.processing_paddleocr_vl.PaddleOCRVLProcessor",
        {"image_size": 56, "num_key_value_heads": 2},
        images="paddleocr_vl.image_processing_pil_paddleocr_vl.PaddleOCRVLImageProcessorPil",
    ),
    _qwen(
        "video_llama_3",
        "video_llama_3.processing_video_llama_3.VideoLlama3Processor",
        {},
        images="video_llama_3.image_processing_pil_video_llama_3.VideoLlama3ImageProcessorPil",
        image={**_pixels(14), "merge_size": 2},
    ),
    _qwen(
        "exaone4_5",
        "exaone4_5.processing_exaone4_5.Exaone4_5_Processor",
        _WINDOWS,
        names=_QWEN_ENDS,
    ),
    _qwen(
        "hyperclovax_vision_v2",
        "hyperclovax_vision_v2.processing_hyperclovax_vision_v2.HyperCLOVAXVisionV2Processor",
        _WINDOWS,
        names=_QWEN_ENDS,
        text={"logits_scaling": 2.0},
        after_head=True,
    ),
    _qwen(
        "lfm3_vl",
        "lfm3_vl.processing_lfm3_vl.Lfm3VlProcessor",
        {},
        patch=16,
        names=_QWEN_ENDS,
        maskable=False,
    ),
    Case(
        "kimi_k25",
        "kimi_k25",
        made_of(
            "kimi_k25.processing_kimi_k25.Kimi_K25Processor",
            "kimi_k25.image_processing_kimi_k25.Kimi_K25ImageProcessor",
            {10: "<|media_pad|>", 11: "<vid>"},
            attributes={"image_token": "<|media_pad|>", "video_token": "<vid>"},
            image={"size": {"max_height": 112, "max_width": 112}, "max_patches": 64},
        ),
        "<|media_pad|>What?",
        {
            "vision_config": {"patch_size": 14, "pos_emb_height": 8, "pos_emb_width": 8},
            "projection_hidden_size": 32,
        },
        needs_torchvision=True,
    ),
)
