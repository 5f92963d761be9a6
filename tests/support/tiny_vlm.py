"""A tiny model and its processor as one VLM: the two families that the lens is tested on, models
with tiles, and models with one kind of attention among visual tokens."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import torch
from tiny import (
    PINPOINTS,
    tiny_config_arguments,
    tiny_llava,
    tiny_llava_next,
    tiny_llavit,
    tiny_next_processor,
    tiny_processor,
    tiny_tile_processor,
)
from transformers import LlavaProcessor

from llavit_lens.vlm.vlm import VLM

FAMILIES = ("llava", "llavit")
TILED = ("llava_next", "flat", "spatial", "spatial_unpad")
"""transformers' LLaVA-NeXT, and LLaViT with each order of tiles."""
LAYERS: int = tiny_config_arguments()["text_config"].num_hidden_layers
WIDTH: int = tiny_config_arguments()["text_config"].hidden_size


def plain_processor() -> LlavaProcessor:
    """transformers' own LLaVA processor, which returns no `mm_token_type_ids`."""
    parts = tiny_processor()
    return LlavaProcessor(
        image_processor=parts.image_processor,
        tokenizer=parts.tokenizer,
        patch_size=parts.patch_size,
        vision_feature_select_strategy=parts.vision_feature_select_strategy,
        num_additional_image_tokens=parts.num_additional_image_tokens,
        chat_template=parts.chat_template,
    )


def config_of(processor: Any) -> SimpleNamespace:
    """What a layout reads of the config of the model that a processor belongs to."""
    return SimpleNamespace(image_token_id=processor.image_token_id)


def tiny_vlm(family: str) -> VLM:
    """`llava` is transformers' own; `llavit` has every switch on.

    Unembedding and norm are spread wide: with the usual initialization all words would be about
    equally likely at every layer, and a missing or doubled norm would hardly show.
    """
    if family == "llava":
        model, processor = tiny_llava(), plain_processor()
    else:
        model, processor = tiny_llavit(vision_feature_layer=[1, 2, -1]), tiny_processor()
    torch.manual_seed(7)
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 0.5)
        model.model.language_model.norm.weight.uniform_(0.2, 3.0)
    return VLM(model, processor, name=f"tiny-{family}")


def tiled_vlm(kind: str, **changes: Any) -> VLM:
    """One of `TILED`; LLaViT has every switch on."""
    if kind == "llava_next":
        return VLM(tiny_llava_next(**changes), tiny_next_processor(), name="tiny-llava-next")
    model = tiny_llavit(
        image_aspect_ratio="anyres",
        mm_patch_merge_type=kind,
        image_grid_pinpoints=PINPOINTS,
        **changes,
    )
    return VLM(model, tiny_tile_processor(kind), name=f"tiny-{kind}")


def trained_as(variant: str, implementation: str = "sdpa", **changes: Any) -> VLM:
    """A model whose visual tokens attend to each other in one way.

    `llava` is transformers' own, which is causal. All others are LLaViT, with projections for
    visual tokens, or without them if the name begins with `shared`.
    """
    if variant == "llava":
        model, processor = tiny_llava(**changes), plain_processor()
    else:
        model = tiny_llavit(
            separate_visual_qkv="shared" not in variant,
            visual_attention=variant.removeprefix("shared "),
            **changes,
        )
        processor = tiny_processor()
    model.set_attn_implementation({"text_config": implementation})
    return VLM(model, processor, f"tiny-{variant}")


def configured(vlm: VLM, visual_attention: str) -> VLM:
    """LLaViT with the weights and the attention implementation of `vlm`."""
    config = vlm.model.config
    model = tiny_llavit(
        seed=1,
        separate_visual_qkv=getattr(config, "separate_visual_qkv", False),
        visual_attention=visual_attention,
        text_config=deepcopy(config.text_config),
    )
    model.load_state_dict(vlm.model.state_dict())
    model.set_attn_implementation({"text_config": config.text_config._attn_implementation})
    return VLM(model, tiny_processor(), f"tiny-{visual_attention}")
