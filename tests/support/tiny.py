"""Tiny, randomly initialized builders: tokenizer, processor, LLaViT and LLaVA models, inputs.

A forward pass takes milliseconds. Dimensions differ from each other so that mix-ups show.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BatchFeature,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Dinov2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    SiglipVisionConfig,
)

from llavit_lens.model import LlavitConfig, LlavitForConditionalGeneration, LlavitProcessor
from llavit_lens.model.compat import WholePrompts

IMAGE_SIZE, PATCH_SIZE = 28, 7
PATCHES = (IMAGE_SIZE // PATCH_SIZE) ** 2
PINPOINTS = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]
PROMPT = "USER: <image>\nWhat is in the image? ASSISTANT:"
SHORT_PROMPT = "USER: <image>\nWhat? ASSISTANT:"
TWO_IMAGES_PROMPT = "USER: <image>\nWhat? <image>\nWhat is on the left? ASSISTANT:"

TABLE_ROWS: dict[str, dict[str, Any]] = {
    "baseline": {"separate_visual_qkv": False, "visual_attention": "causal"},
    "no_visual_attention": {"separate_visual_qkv": False, "visual_attention": "none"},
    "separate_qkv": {"separate_visual_qkv": True, "visual_attention": "causal"},
    "separate_qkv_bidirectional": {"separate_visual_qkv": True},
    "separate_qkv_local_global": {
        "separate_visual_qkv": True,
        "visual_attention": "causal",
        "vision_feature_layer": [1, 2, -1],
    },
    "llavit": {"separate_visual_qkv": True, "vision_feature_layer": [1, 2, -1]},
}
"""The rows of the paper's Tables 1 and 3 as switches."""

FOUR_TOKENS = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
"""Settings of a short generation."""

WINDOW = 20
"""A sliding window shorter than any prompt with a picture."""

LONGROPE = {
    "rope_type": "longrope",
    "factor": 8.0,
    "short_factor": [1.0, 1.5, 2.5],
    "long_factor": [2.0, 3.0, 7.0],
    "partial_rotary_factor": 0.5,
}

DECODER_FAMILIES: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "qwen2": (Qwen2Config, {}),
    "qwen2-window": (
        Qwen2Config,
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": (Qwen3Config, {"head_dim": 16}),
    "llama": (LlamaConfig, {}),
    "llama-bias": (LlamaConfig, {"attention_bias": True}),
    "mistral": (MistralConfig, {"sliding_window": None, "head_dim": 16}),
    "mistral-window": (MistralConfig, {"sliding_window": WINDOW}),
    "phi3": (Phi3Config, {"rope_parameters": {"partial_rotary_factor": 0.5}}),
    "phi3-longrope": (
        Phi3Config,
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": 60},
    ),
    "phi3-window": (Phi3Config, {"sliding_window": WINDOW}),
}
"""Configuration class and what it is told beyond `tiny_text_config`'s sizes."""

TOWERS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "clip": (CLIPVisionConfig, {"projection_dim": 32}),
    "siglip": (SiglipVisionConfig, {}),
    "dinov2": (Dinov2Config, {"mlp_ratio": 2}),
}
"""Configuration class and what it is told beyond `tiny_vision_config`'s sizes."""

_TEXTS = ["USER: What is in the image? ASSISTANT: a red square on the left of a blue circle."] * 8
_SPECIAL = ["<unk>", "<pad>", "<s>", "</s>", "<image>"]
_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def tiny_tokenizer(image_token: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of a few hundred tokens that pads on the left."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=_SPECIAL if image_token else _SPECIAL[:-1],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"} if image_token else {},
        padding_side="left",
    )


def tiny_processor() -> LlavitProcessor:
    """A processor for 28 x 28 pictures of 4 x 4 patches."""
    return LlavitProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": IMAGE_SIZE},
            crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        ),
        tokenizer=tiny_tokenizer(),
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_CHAT_TEMPLATE,
    )


def tiny_text_config(family: str = "qwen2", **changes: Any) -> PreTrainedConfig:
    """A 3-layer decoder of one of `DECODER_FAMILIES`."""
    tokenizer = tiny_tokenizer()
    config_class, settings = DECODER_FAMILIES[family]
    return config_class(
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "tie_word_embeddings": False,
            **deepcopy(settings),  # configurations complete their rope_parameters in place
            **changes,
        }
    )


def tiny_vision_config(tower: str = "clip", **changes: Any) -> PreTrainedConfig:
    """A 3-layer vision tower of one of `TOWERS`."""
    config_class, settings = TOWERS[tower]
    return config_class(
        **{
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
            **settings,
            **changes,
        }
    )


def tiny_config_arguments(**changes: Any) -> dict[str, Any]:
    """Arguments of LlavaConfig or LlavitConfig: a 3-layer vision tower and a 3-layer Qwen2."""
    tokenizer = tiny_tokenizer()
    return {
        "vision_config": tiny_vision_config(),
        "text_config": tiny_text_config(),
        "image_token_index": tokenizer.convert_tokens_to_ids("<image>"),
        "image_seq_length": PATCHES,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        **changes,
    }


def spread_weights(model: torch.nn.Module, scale: float = 0.3) -> None:
    """Redraw the decoder's attention so wide that heads are far from uniform, biases included."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "language_model" in name and "self_attn" in name:
                parameter.normal_(0.0, scale)


def tiny_llavit(
    *, spread: bool = True, seed: int = 0, **changes: Any
) -> LlavitForConditionalGeneration:
    """A LLaViT in eval mode; with `spread`, text and visual projections are random and differ."""
    torch.manual_seed(seed)
    config = LlavitConfig(**tiny_config_arguments(**changes))
    model = LlavitForConditionalGeneration(config).eval()
    if spread:
        spread_weights(model)
    return model


def tiny_llava(*, seed: int = 0, **changes: Any) -> LlavaForConditionalGeneration:
    """transformers' own LLaVA of the same size, in eval mode."""
    torch.manual_seed(seed)
    config = LlavaConfig(**tiny_config_arguments(**changes))
    model = LlavaForConditionalGeneration(config).eval()
    spread_weights(model)
    return with_whole_prompts(model)


def with_whole_prompts(model: Any) -> Any:
    """transformers' own model, but the images of a prompt stay together in every beam: some of its
    releases mix them up."""
    own = type(model)
    model.__class__ = type(own.__name__, (WholePrompts, own), {"__module__": own.__module__})
    return model


def tiny_llava_next(*, seed: int = 0, **changes: Any) -> LlavaNextForConditionalGeneration:
    """transformers' own LLaVA-NeXT of the same size, in eval mode."""
    torch.manual_seed(seed)
    arguments = tiny_config_arguments(image_grid_pinpoints=PINPOINTS, **changes)
    model = LlavaNextForConditionalGeneration(LlavaNextConfig(**arguments)).eval()
    spread_weights(model)
    return with_whole_prompts(model)


def tiny_tile_processor(merge_type: str, pinpoints: Any = None) -> LlavitProcessor:
    """A processor for tiles of 28 x 28 pixels, at most four besides the base tile."""
    processor = tiny_processor()
    config = LlavitConfig(
        **tiny_config_arguments(
            image_aspect_ratio="anyres",
            mm_patch_merge_type=merge_type,
            image_grid_pinpoints=pinpoints or PINPOINTS,
        )
    )
    processor.set_resolution(config)
    return processor


def tiny_next_processor(pinpoints: Any = None) -> LlavaNextProcessor:
    """transformers' own LLaVA-NeXT processor of the same size."""
    parts = tiny_tile_processor("spatial_unpad", pinpoints)
    return LlavaNextProcessor(
        image_processor=parts.image_processor,
        tokenizer=parts.tokenizer,
        patch_size=parts.patch_size,
        vision_feature_select_strategy=parts.vision_feature_select_strategy,
        num_additional_image_tokens=parts.num_additional_image_tokens,
        chat_template=parts.chat_template,
    )


def tiny_image(seed: int = 0, width: int = 40, height: int = 30) -> Image.Image:
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def tiny_inputs(
    processor: LlavitProcessor,
    prompts: Sequence[str] = (SHORT_PROMPT, TWO_IMAGES_PROMPT),
    first_image: int = 0,
    padding_side: str = "left",
) -> BatchFeature:
    """A padded batch of prompts with as many pictures as they name."""
    images = sum(prompt.count("<image>") for prompt in prompts)
    return processor(
        images=[tiny_image(first_image + seed) for seed in range(images)] or None,
        text=list(prompts),
        padding=True,
        padding_side=padding_side,
        return_tensors="pt",
    )
