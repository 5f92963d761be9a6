"""Tiny checkpoints in every layout that LLaVA comes in, all of one model of transformers' own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tiny import (
    IMAGE_SIZE,
    PATCHES,
    spread_weights,
    tiny_config_arguments,
    tiny_image,
    tiny_next_processor,
    tiny_processor,
    tiny_tokenizer,
)
from torch import Tensor
from transformers import (
    AutoConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaProcessor,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
)

Weights = dict[str, Tensor]

TOKENS = len(tiny_tokenizer(image_token=False))
"""Tokens without the image token, which is to get the next id."""

LLAVA_TYPES = {"qwen2": "llava_qwen", "llama": "llava", "mistral": "llava_mistral"}
PINPOINTS = [[28, 56], [56, 28], [56, 56]]


def reference(
    family: str = "qwen2",
    *,
    tied: bool = False,
    spare_rows: int = 0,
    next_: bool = False,
    mlp: int | None = None,
    siglip: int | None = None,
) -> Any:
    """transformers' LLaVA (or LLaVA-NeXT) as the loaded model has to be, bit for bit.

    Without spare rows the image token's rows are the mean of all others; with some, the table of
    the source has a row for it already. `siglip` is a number of layers: 3, or the 2 that
    LLaVA-NeXT's code leaves of it.
    """
    torch.manual_seed(0)
    arguments = tiny_config_arguments()
    rows = TOKENS + max(1, spare_rows)
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    arguments["text_config"] = AutoConfig.for_model(
        family,
        **{key: getattr(arguments["text_config"], key) for key in kept},
        num_key_value_heads=2,
        max_position_embeddings=512,
        vocab_size=rows,
        rope_theta=5000.0,
        rms_norm_eps=1e-5,
        tie_word_embeddings=tied,
    )
    if siglip is not None:
        arguments["vision_config"] = _siglip(siglip)
        arguments["vision_feature_layer"] = 1 - siglip  # after the second layer
        arguments["vision_feature_select_strategy"] = "full"
    if mlp is not None:
        arguments["text_config"].intermediate_size = mlp
    arguments["image_token_index"] = TOKENS
    arguments["tie_word_embeddings"] = tied
    if next_:
        config: Any = LlavaNextConfig(**arguments, image_grid_pinpoints=PINPOINTS)
        model: Any = LlavaNextForConditionalGeneration(config).eval()
    else:
        model = LlavaForConditionalGeneration(LlavaConfig(**arguments)).eval()
    spread_weights(model)
    with torch.no_grad():
        for table in (model.get_input_embeddings().weight, model.lm_head.weight):
            table.normal_(0.0, 0.5)
        if not spare_rows:
            for table in (model.get_input_embeddings().weight, model.lm_head.weight):
                table[-1] = table[:-1].double().mean(0)
    return model


def _siglip(layers: int) -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=7,
        vision_use_head=layers == 3,
    )


def save_weights(
    folder: Path, weights: Weights, suffix: str = "safetensors", shards: int = 1
) -> None:
    """Write weights under the names that transformers gives to files."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "model" if suffix == "safetensors" else "pytorch_model"
    save: Callable[[Weights, Path], Any] = torch.save
    if suffix == "safetensors":
        save = lambda part, path: save_file(part, path, metadata={"format": "pt"})  # noqa: E731
    weights = {key: value.detach().clone().contiguous() for key, value in weights.items()}
    if shards == 1:
        save(weights, folder / f"{name}.{suffix}")
        return
    keys = list(weights)
    size = math.ceil(len(keys) / shards)
    weight_map = {}
    for index in range(shards):
        file = f"{name}-{index + 1:05}-of-{shards:05}.{suffix}"
        part = {key: weights[key] for key in keys[index * size : (index + 1) * size]}
        save(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index_file = folder / f"{name}.{suffix}.index.json"
    index_file.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def weights_of(folder: Path) -> Weights:
    """Every tensor of a folder's safetensors files."""
    return {
        key: value
        for file in sorted(folder.glob("*.safetensors"))
        for key, value in load_file(file).items()
    }


def original_names(model: Any, *, tower: bool, rows: int = TOKENS, buffers: bool = True) -> Weights:
    """The model's weights under LLaVA's original names, the tables without what comes later."""
    weights: Weights = {}
    for key, value in model.state_dict().items():
        if "embed_tokens" in key or "lm_head" in key:
            value = value[:rows]
        if key.startswith("model.vision_tower."):
            if tower:
                inner = key.removeprefix("model.vision_tower.")
                weights[f"model.vision_tower.vision_tower.vision_model.{inner}"] = value
            continue
        key = key.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0")
        key = key.replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")
        weights[key.replace("model.language_model.", "model.")] = value
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    if buffers:
        for layer in range(model.config.text_config.num_hidden_layers):
            weights[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.ones(6)
        if tower:
            prefix = "model.vision_tower.vision_tower.vision_model"
            weights[f"{prefix}.embeddings.position_ids"] = torch.arange(PATCHES + 1)[None]
    return weights


def original_config(model: Any, tower: Path, rows: int = TOKENS, **changes: Any) -> dict[str, Any]:
    """config.json as LLaVA's own code writes it."""
    text = model.config.text_config.to_dict()
    family = text.pop("model_type")
    text.pop("layer_types", None)  # newer than LLaVA's code
    theta = text.pop("rope_parameters")["rope_theta"]
    tiles = {
        "image_aspect_ratio": "anyres",
        "mm_patch_merge_type": "spatial_unpad",
        "image_grid_pinpoints": str([(w, h) for h, w in PINPOINTS]),
    }
    is_next = isinstance(model, LlavaNextForConditionalGeneration)
    return {
        **text,
        "rope_theta": theta,
        "vocab_size": rows,
        "model_type": LLAVA_TYPES[family],
        "architectures": ["LlavaForCausalLM"],
        "mm_vision_tower": str(tower),
        "mm_projector_type": "mlp2x_gelu",
        "mm_hidden_size": 32,
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "tune_mm_mlp_adapter": False,
        "tokenizer_model_max_length": 2048,
        "use_mm_proj": True,
        "image_aspect_ratio": "pad",
        **(tiles if is_next else {}),
        **changes,
    }


def write_config(folder: Path, fields: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(fields))


def write_tower(
    folder: Path, model: Any, suffix: str = "safetensors", weights: bool = True
) -> Path:
    """A whole CLIP model, text half and all, whose vision half is the model's tower."""
    if model.config.vision_config.model_type == "siglip_vision_model":
        vision = _siglip(3).to_dict()
        write_config(folder, {"model_type": "siglip", "vision_config": vision, "text_config": {}})
        size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
        SiglipImageProcessorPil(size=size).save_pretrained(folder)
    else:
        vision = model.config.vision_config.to_dict()
        write_config(folder, {"model_type": "clip", "vision_config": vision, "text_config": {}})
        tiny_processor().image_processor.save_pretrained(folder)
    if weights:
        tower = {
            f"vision_model.{key.removeprefix('model.vision_tower.')}": value
            for key, value in model.state_dict().items()
            if key.startswith("model.vision_tower.")
        }
        tower |= {
            "vision_model.embeddings.position_ids": torch.arange(PATCHES + 1)[None],
            "text_model.embeddings.token_embedding.weight": torch.zeros(3, 4),
            "text_projection.weight": torch.zeros(4, 4),
            "visual_projection.weight": torch.zeros(4, 32),
            "logit_scale": torch.zeros(()),
        }
        save_weights(folder, tower, suffix)
    return folder


def write_original(
    folder: Path,
    model: Any,
    *,
    tower: bool = False,
    suffix: str = "bin",
    shards: int = 1,
    rows: int = TOKENS,
    **changes: Any,
) -> Path:
    """A folder of LLaVA's own code; its tower is beside it, or `tower` inside."""
    beside = write_tower(folder.with_name(f"{folder.name}-tower"), model, suffix, not tower)
    write_config(folder, original_config(model, beside, rows, **changes))
    save_weights(folder, original_names(model, tower=tower, rows=rows), suffix, shards)
    tiny_tokenizer(image_token=False).save_pretrained(folder)
    return folder


def write_projector(folder: Path, model: Any, prefix: str = "model.") -> Path:
    """What stage 1 leaves: a projector and a configuration, whose vocabulary is another one's."""
    tower = write_tower(folder.with_name(f"{folder.name}-tower"), model)
    write_config(folder, original_config(model, tower, rows=99, tune_mm_mlp_adapter=True))
    weights = {
        f"{prefix}{key.removeprefix('model.')}": value
        for key, value in original_names(model, tower=False).items()
        if "mm_projector" in key
    }
    torch.save(weights, folder / "mm_projector.bin")
    return folder


def write_base(folder: Path, model: Any, suffix: str = "safetensors", shards: int = 2) -> Path:
    """The language model by itself, as transformers writes it."""
    text = model.config.text_config.to_dict()
    write_config(folder, {**text, "vocab_size": TOKENS})
    weights = {
        key: value
        for key, value in original_names(model, tower=False).items()
        if "mm_projector" not in key
    }
    save_weights(folder, weights, suffix, shards)
    tiny_tokenizer(image_token=False).save_pretrained(folder)
    return folder


def write_hugging_face(folder: Path, model: Any, layout: str, suffix: str, shards: int) -> Path:
    """A llava-hf folder: `old` keys, those of `middle` versions of transformers, or `new` ones."""
    config = model.config
    config.save_pretrained(folder)
    weights: Weights = {}
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if layout != "new":
            key = key.replace("model.vision_tower.", "model.vision_tower.vision_model.")
        if layout == "old":
            key = key.replace("model.language_model.", "model.language_model.model.")
            key = f"language_model.{key}" if key == "lm_head.weight" else key[len("model.") :]
        weights[key] = value
    save_weights(folder, weights, suffix, shards)
    is_next = isinstance(model, LlavaNextForConditionalGeneration)
    processor = tiny_next_processor(PINPOINTS) if is_next else tiny_processor()
    processor.tokenizer = tiny_tokenizer(image_token=False)
    processor.tokenizer.add_tokens(["<image>"], special_tokens=True)
    plain = (LlavaNextProcessor if is_next else LlavaProcessor)(
        image_processor=processor.image_processor,
        tokenizer=processor.tokenizer,
        patch_size=processor.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=processor.chat_template,
    )
    plain.save_pretrained(folder)
    return folder


def inputs_of(processor: Any, model: Any) -> Any:
    """A prompt with a picture that is no square, as the model takes it."""
    inputs = processor(
        images=tiny_image(3, width=50, height=2 * IMAGE_SIZE),
        text="USER: <image>\nWhat is on the left? ASSISTANT:",
        return_tensors="pt",
    )
    return inputs.to(dtype=model.dtype)
