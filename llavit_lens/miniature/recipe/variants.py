"""The six variants of the paper's Tables 1 and 3, in miniature, before any multimodal training."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionModel,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    Qwen2ForCausalLM,
)

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.world.scenes import GRID, PATCH, SIZE
from llavit_lens.model import LlavitConfig, LlavitForConditionalGeneration, LlavitProcessor
from llavit_lens.rows import ROWS, Row
from llavit_lens.training.conversations import IMAGE, token_id
from llavit_lens.vlm.families import decoder_of

MINIATURE_LAYERS = (2, 4, 5)  # of six layers, as the paper's of twenty-four
PENULTIMATE = -2


def variant_named(name: str) -> Row:
    if name not in ROWS:
        raise ConfigurationError(f"no variant {name!r}; there are: {', '.join(ROWS)}")
    return ROWS[name]


def build_variant(
    variant: Row,
    tower: CLIPVisionModel,
    llm: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
) -> LlavitForConditionalGeneration:
    """Join the pretrained parts. Only the projector is new: a function of the seed and its shape.
    Visual QKV start as copies of the text ones (Sec. 3.1)."""
    config = LlavitConfig(
        vision_config=_anonymous(tower.config),
        text_config=_anonymous(llm.config),
        image_token_index=token_id(tokenizer, IMAGE),
        image_seq_length=GRID * GRID,
        vision_feature_layer=list(MINIATURE_LAYERS) if variant.local_and_global else PENULTIMATE,
        vision_feature_select_strategy="default",
        separate_visual_qkv=variant.separate_visual_qkv,
        visual_attention=variant.visual_attention,
        tie_word_embeddings=True,
    )
    model = LlavitForConditionalGeneration(config)
    projector = model.model.multi_modal_projector
    for i, layer in enumerate((projector.linear_1, projector.linear_2)):
        torch.manual_seed(2 * seed + i)
        model._init_weights(layer)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    text_weights = dict(llm.model.state_dict())
    for key, value in llm.model.state_dict().items():
        for name in ("q_proj", "k_proj", "v_proj") if variant.separate_visual_qkv else ():
            if f".{name}." in key:
                text_weights[key.replace(name, f"{name}_visual")] = value
    decoder_of(model).load_state_dict(text_weights)
    model.tie_weights()
    return model


def _anonymous(config: PreTrainedConfig) -> dict[str, Any]:
    """A configuration without the folder that it was loaded from."""
    return {key: value for key, value in config.to_dict().items() if key != "_name_or_path"}


def build_processor(tokenizer: PreTrainedTokenizerBase) -> LlavitProcessor:
    """The processor of every demo model: scenes as they are, other images cropped to a square."""
    return LlavitProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
