"""A tiny random model of any type that transformers knows, from its configuration class alone.

Fields of a configuration are made small by their names, in the type that their annotation asks
for. What a type needs besides is in `_NEEDS`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from llavit_lens.vlm.families.refused import emu3_drops_images

VOCABULARY = 400
WIDTH, LAYERS, HEADS = 64, 4, 4
LARGEST = 100e6
"""Parameters: a model with more has fields that are not made small here, and is not built."""

IDS = {
    "image": 10,
    "video": 11,
    "audio": 12,
    **dict.fromkeys(("vision_start", "image_start", "boi"), 13),
    **dict.fromkeys(("vision_end", "image_end", "eoi"), 14),
    "video_start": 15,
    "video_end": 16,
    "boa": 17,
    "eoa": 18,
    "image_row_separator": 19,
}
"""Ids of placeholders in every tiny tokenizer, by what a configuration calls them."""

_HIDDEN, _HEAD = 80, WIDTH // HEADS

_TEXT = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    **dict.fromkeys(("hidden_size", "d_model", "word_embed_proj_dim", "conv_dim"), WIDTH),
    **dict.fromkeys(("num_hidden_layers", "num_layers"), LAYERS),
    **dict.fromkeys(("decoder_layers", "num_decoder_layers"), LAYERS),
    "encoder_layers": 2,
    **dict.fromkeys(("num_attention_heads", "num_heads"), HEADS),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), HEADS),
    **dict.fromkeys(("num_key_value_heads", "num_global_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "global_head_dim", "d_kv"), _HEAD),
    **dict.fromkeys(("intermediate_size", "intermediate_size_mlp", "block_ff_dim"), _HIDDEN),
    **dict.fromkeys(("d_ff", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim"), _HIDDEN),
    # mixtures of experts
    **dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "top_k_experts"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 24),
    "expert_intermediate_size": 24,
    **dict.fromkeys(("n_shared_experts", "moe_num_shared_experts", "first_k_dense_replace"), 1),
    **dict.fromkeys(("n_group", "topk_group"), 1),
    # compressed attention
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "qk_head_dim": 24,
    "v_head_dim": 16,
    # layers that mix tokens without attention
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    **dict.fromkeys(("mamba_num_heads", "mamba_n_heads"), 4),
    **dict.fromkeys(("mamba_head_dim", "mamba_d_head"), 16),
    **dict.fromkeys(("ssm_state_size", "mamba_d_state"), 8),
    "n_groups": 1,
    # Gemma 3n and 4
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size_per_layer_input": 16,
    "num_kv_shared_layers": 0,
    "laurel_rank": 8,
    "altup_num_inputs": 2,
}
_VISION = {
    "image_size": 56,
    "patch_size": 14,
    **dict.fromkeys(("hidden_size", "embed_dim", "out_channels", "dim"), WIDTH // 2),
    **dict.fromkeys(("num_hidden_layers", "depth", "num_layers", "transformer_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "num_key_value_heads"), 2),
    "attention_heads": 2,
    **dict.fromkeys(("head_dim", "global_head_dim"), WIDTH // 4),
    **dict.fromkeys(("intermediate_size", "mlp_dim", "ffn_dim"), _HIDDEN),
    "mlp_ratio": 2,
    **dict.fromkeys(("out_hidden_size", "output_dim", "projection_dim"), WIDTH),
    **dict.fromkeys(("vision_output_dim", "projector_input_dim", "projector_output_dim"), WIDTH),
    "num_global_layers": 1,
    "max_num_tiles": 4,
    "default_output_length": 20,
}


def rope(sections: list[int] | None = None, **more: Any) -> dict[str, Any]:
    """`rope_parameters`; `sections`: of a rotation by three axes."""
    parted = {"mrope_section": sections} if sections else {}
    return {"rope_type": "default", "rope_theta": 10000.0, **parted, **more}


SIGLIP = {"model_type": "siglip_vision_model"}
_THREE_AXES = {"text_config": {"rope_parameters": rope([2, 3, 3])}}
_ALL_ROTATED = {"text_config": {"rope_parameters": rope([2, 3, 3], partial_rotary_factor=1.0)}}
_COMPRESSED = {"num_key_value_heads": 4, "head_dim": 8, "qk_rope_head_dim": 8}
_AS_MANY_KEYS = {"text_config": {"num_key_value_heads": 4}}
_QFORMER = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "encoder_hidden_size": WIDTH,
    "vocab_size": 1,
}
_SAM = {
    "hidden_size": 32,
    "output_channels": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "mlp_dim": 48,
    "image_size": 64,
    "window_size": 2,
    "global_attn_indexes": [0],
    "downsample_channels": [48, WIDTH],
}
_SMALL_ENCODER = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
_NEEDS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        (
            *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "cosmos3_omni", "cosmos3_edge"),
            *("ernie4_5_vl_moe", "paddleocr_vl", "glm4v", "glm46v", "glm_ocr"),
        ),
        _THREE_AXES,
    ),
    **dict.fromkeys(("glm4v_moe", "glmga"), _ALL_ROTATED),
    **{key: {"text_config": _COMPRESSED} for key in ("kimi_k25", "mistral_large4")},
    "mistral4": _COMPRESSED,
    "glm5_next": _AS_MANY_KEYS,
    **{key: {"vision_config": SIGLIP} for key in ("fast_vlm", "gemma3n")},
    "step3p7": {"text_config": {"sliding_window": 16}},
    "hunyuan_vl": {"text_config": {"rope_parameters": rope([2, 2, 2, 2])}},
    "unlimited_ocr": {"vision_config": {"sam_config": _SAM, "encoder_config": _SMALL_ENCODER}},
    "ovis2": {"hidden_size": WIDTH},
    "granite4_vision": {
        "qformer_config": _QFORMER,
        "deepstack_layer_map": [[0, 0], [1, 2]],
        "spatial_target_layers": [1, 3],
        "downsample_rate": "1/2",
        "vision_config": {**SIGLIP, "hidden_size": WIDTH},
        "image_grid_pinpoints": [[56, 56], [56, 112], [112, 56], [112, 112]],
    },
    "deepseek_ocr2": {
        "vision_config": {
            "sam_config": _SAM,
            "encoder_config": {**_SMALL_ENCODER, "num_key_value_heads": 2, "vocab_size": 10},
        },
        "text_config": {"mlp_layer_types": ["dense", *["sparse"] * 3]},
    },
    "muse_spark": {
        "text_config": {"moe_hidden_size": 32},
        "audio_config": {
            "num_hidden_layers": 1,
            "patch_sizes": [4],
            "hidden_sizes": [16],
            "depths": [1],
            "out_hidden_size": WIDTH,
        },
        "out_hidden_size": 2 * WIDTH,
        "projector_hidden_size": 48,
    },
    "dots3_note": {
        **_AS_MANY_KEYS,
        "vision_config": {
            "mlp_layer_types": ["dense", "dense"],
            "per_layer_config": {},
            "adapter_in_dim": WIDTH // 2,
            "adapter_out_dim": WIDTH,
        },
        "audio_config": {"adapter_input_size": WIDTH // 2, "adapter_out_dim": WIDTH},
    },
    "inkling_mm_model": {
        "text_config": {
            "swa_num_attention_heads": HEADS,
            "swa_num_key_value_heads": 2,
            "swa_head_dim": _HEAD,
        },
        "vision_config": {"text_hidden_size": WIDTH, "num_hidden_layers": 2, "patch_size": 4},
        "audio_config": {"text_hidden_size": WIDTH},
    },
    "nemotron_h_omni": {
        "text_config": {"model_type": "nemotron_h"},
        "vision_config": {"model_type": "radio", "video_temporal_patch_size": 2},
        "audio_config": None,
    },
    **{
        key: {
            "text_config": {"rope_parameters": rope([2, 3, 3])},
            "audio_config": {
                "d_model": 32,
                "encoder_layers": 1,
                "encoder_attention_heads": 2,
                "encoder_ffn_dim": 48,
                "output_dim": WIDTH,
            },
            "vision_start_token_id": IDS["vision_start"],
        }
        for key in ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")
    },
    "inkling2": {"vision_config": {"text_hidden_size": WIDTH}},
    "molmo2": {
        "adapter_config": {
            "vision_feature_layer": [0, 1],
            "text_hidden_size": WIDTH,
            "hidden_size": 32,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "intermediate_size": 48,
        },
        "image_patch_id": IDS["image"],
        "image_start_token_id": IDS["image_start"],
        "image_end_token_id": IDS["image_end"],
        "low_res_image_start_token_id": 20,
        "frame_start_token_id": 21,
        "frame_end_token_id": 22,
        "text_config": {"additional_vocab_size": 16},
    },
    "cohere_compass": {
        "text_config": {
            "rope_parameters": {
                "full_attention": rope([2, 3, 3]),
                "sliding_attention": rope([2, 3, 3]),
            },
            "sliding_window": 16,
        }
    },
    "chameleon": {
        "vocabulary_map": {"<image>": 10, **{f"IMGIMG{chr(65 + i)}Z": 20 + i for i in range(10)}}
    },
    "emu3": {
        "vocabulary_map": {
            "<image>": IDS["image"],
            "<|extra_200|>": IDS["image_row_separator"],
            **{f"<|visual token {i:06d}|>": 20 + i for i in range(20)},
        }
    },
}


_NOTHING = 1e-6


class TooLarge(Exception):
    """A type whose configuration has sizes that are not known here."""


def require_type(model_type: str) -> None:
    """Skip the test where the installed transformers has no such model."""
    if model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        pytest.skip(f"the installed transformers has no {model_type}")
    if model_type == "emu3" and emu3_drops_images():
        pytest.skip("Emu3's images are dropped in the installed transformers")


@torch.no_grad()
def require_text_pass(model: Any) -> None:
    """Skip the test where transformers itself fails on text alone, as Llama 4 does in 5.24."""
    try:
        model(input_ids=torch.tensor([[40, 41, 42]]), use_cache=False)
    except AttributeError as error:
        pytest.skip(f"transformers itself fails on text alone: {error}")


def tiny_config(model_type: str, **changes: Any) -> Any:
    """The configuration of a tiny model.

    Args:
        changes: fields of it; those of a part as a dict under the part's name.
    """
    config_class = CONFIG_MAPPING[model_type]
    changes = merged(_NEEDS.get(model_type, {}), changes)
    parts: dict[str, Any] = {}
    for name, part_class in dict(getattr(config_class, "sub_configs", None) or {}).items():
        of_part = dict(changes.pop(name, None) or {})
        part_class = _part_class(config_class, name, part_class, of_part)
        if part_class is not None:
            sizes = _TEXT if _reads_text(name) else _VISION
            parts[name] = {
                "model_type": part_class.model_type,
                **_small(part_class, sizes, of_part),
            }
    whole = dict(_TEXT)
    if any(_reads_text(name) for name in parts):
        whole = {key: _TEXT[key] for key in ("vocab_size", "tie_word_embeddings")}
    return config_class(**{**_small(config_class, whole, {}), **parts, **changes})


def tiny_model(model_type: str, attn: str | None = None, seed: int = 0, **changes: Any) -> Any:
    """A tiny random model, in float32 on the CPU. Its weights are those of transformers' own
    initialization: see `spread`.

    Args:
        attn: attention implementation of its decoder.
        changes: as in `tiny_config`.

    Raises:
        TooLarge: more than 100 million parameters.
    """
    config = tiny_config(model_type, **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            empty = AutoModelForImageTextToText.from_config(config)
        size = sum(parameter.numel() for parameter in empty.parameters())
        if size > LARGEST:
            raise TooLarge(f"{model_type}: {size / 1e6:.0f} million parameters")
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config).eval()
    if attn is not None:
        set_attention(model, attn)
    return model


def set_attention(model: Any, attn: str) -> None:
    """Choose the decoder's attention. That of vision and audio towers, which may lack it, stays."""
    config = model.config
    text = config.get_text_config(decoder=True)
    name = next((key for key in config.sub_configs if getattr(config, key, None) is text), None)
    model.set_attn_implementation(attn if name is None else {name: attn})


@torch.no_grad()
def spread(model: Any, seed: int = 7) -> None:
    """Redraw weights, in place, so that mistakes show.

    Some parts start at zero (Gemma 3's projector), at next to nothing (GOT-OCR2's) or unset, and
    images would change nothing: they are drawn. Norms are uneven, and the head wide: a missing or
    doubled norm shows in words.
    """
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if not parameter.isfinite().all() or (
            parameter.ndim >= 2 and parameter.abs().max() < _NOTHING
        ):
            parameter.normal_(0, 0.1)
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if "norm" in type(module).__name__.lower() and weight is not None and weight.ndim == 1:
            weight.uniform_(0.2, 3.0)
    head = model.get_output_embeddings()
    if head is not None and hasattr(head, "weight"):
        head.weight.normal_(0, 0.5)


def merged(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Both, where `changes` goes first. Parts are merged too, but no `rope_parameters`."""
    both = dict(fields)
    for key, value in changes.items():
        parts = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if parts and key != "rope_parameters" else value
    return both


def _reads_text(part: str) -> bool:
    return any(word in part for word in ("text", "language", "decoder", "thinker"))


def _part_class(config_class: Any, name: str, declared: Any, changes: Mapping[str, Any]) -> Any:
    """The class of a configuration's part; None where there is no such part by default."""
    if declared is not None and declared.__name__ != "AutoConfig":
        return declared
    if "model_type" in changes:
        return CONFIG_MAPPING[changes["model_type"]]
    part = getattr(config_class(), name, None)
    return None if part is None else type(part)


def _small(config_class: Any, sizes: Mapping[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The fields of `sizes` that the class has, and the ids of placeholders that it names."""
    aliases = set(getattr(config_class, "attribute_map", {}))
    fields = set().union(*(vars(base).get("__annotations__", {}) for base in config_class.__mro__))
    values = {key: sizes[key] for key in sizes if key in fields}
    for field in fields - set(values):
        role = field.removesuffix("_token_id").removesuffix("_token_index")
        if role != field and role in IDS:
            values[field] = IDS[role]
    own = {
        key: _typed(config_class, key, value)
        for key, value in values.items()
        if key not in aliases and key not in changes
    }
    return {**own, **changes}


def _typed(config_class: Any, field: str, value: Any) -> Any:
    """A number in the type that the class takes for a field: a float, or a list of its length."""
    if type(value) is not int:
        return value
    hints = (vars(base).get("__annotations__", {}).get(field) for base in config_class.__mro__)
    hint = next(
        (getattr(h, "__name__", h) if isinstance(h, type) else str(h) for h in hints if h), ""
    )
    if "int" in hint.replace("list[int]", "").replace("tuple[int", ""):
        return value
    if "float" in hint:
        return float(value)
    if "list[int]" in hint or "tuple[int" in hint:
        default = getattr(config_class, field, None)
        return [value] * (len(default) if isinstance(default, (list, tuple)) else 2)
    return value
