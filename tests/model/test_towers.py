"""Vision towers: each feature is that of its patch, at the layer that is configured."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
import torch
from tiny import (
    PROMPT,
    SHORT_PROMPT,
    TOWERS,
    TWO_IMAGES_PROMPT,
    tiny_config_arguments,
    tiny_image,
    tiny_inputs,
    tiny_llava,
    tiny_llavit,
    tiny_processor,
    tiny_vision_config,
)
from torch import Tensor
from transformers import CLIPImageProcessorPil, Dinov2WithRegistersConfig

from llavit_lens.errors import ConfigurationError
from llavit_lens.model import LlavitConfig, LlavitForConditionalGeneration, LlavitProcessor
from llavit_lens.model.tower_rules import token_settings

STRATEGY = {"clip": "default", "siglip": "full", "dinov2": "default"}


def tower_arguments(tower: str, **changes: Any) -> dict[str, Any]:
    return {
        "vision_config": tiny_vision_config(tower),
        "vision_feature_select_strategy": STRATEGY[tower],
        **changes,
    }


def processor_for(config: LlavitConfig, size: int | None = None) -> LlavitProcessor:
    parts = tiny_processor()
    size = config.vision_config.image_size if size is None else size
    return LlavitProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": size}, crop_size={"height": size, "width": size}
        ),
        tokenizer=parts.tokenizer,
        chat_template=parts.chat_template,
        **token_settings(config),
    )


def layer_outputs(tower: Any, pixels: Tensor) -> list[Tensor]:
    """Patches [B, patches, width] before layer 1 and after each layer, run one by one."""
    hidden = tower.embeddings(pixels)
    if hasattr(tower, "pre_layrnorm"):  # CLIP
        hidden = tower.pre_layrnorm(hidden)
    layers = tower.encoder.layers if hasattr(tower.encoder, "layers") else tower.encoder.layer
    outputs = [hidden]
    for layer in layers:
        takes_mask = "attention_mask" in signature(layer.forward).parameters
        outputs.append(layer(outputs[-1], **({"attention_mask": None} if takes_mask else {})))
    has_class_token = "cls_token" in dir(tower.embeddings) or "class_embedding" in dir(
        tower.embeddings
    )
    return [hidden[:, int(has_class_token) :] for hidden in outputs]


def projected(model: LlavitForConditionalGeneration, pixels: Tensor) -> Tensor:
    """What reaches the projector [B, patches, layers * width]."""
    seen: list[Tensor] = []
    hook = model.model.multi_modal_projector.register_forward_pre_hook(
        lambda _, arguments: seen.append(arguments[0])
    )
    model.get_image_features(pixels)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("layers", [[0], 1, 3, -1, -2, -4, [1, 2, -1], [3, 0], [-2]], ids=str)
@pytest.mark.parametrize("tower", TOWERS)
@torch.no_grad()
def test_features_are_those_of_the_layers_asked_for(tower: str, layers: Any) -> None:
    """A negative index counts from the last layer's output, which no norm has touched."""
    model = tiny_llavit(**tower_arguments(tower, vision_feature_layer=layers))
    pixels = torch.randn(2, 3, 28, 28)
    outputs = layer_outputs(model.model.vision_tower, pixels)
    chosen = [layers] if isinstance(layers, int) else layers
    expected = torch.cat([outputs[index] for index in chosen], dim=-1)
    assert expected.shape == (2, 16, 32 * len(chosen))
    assert (projected(model, pixels) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("tower", TOWERS)
@torch.no_grad()
def test_each_feature_is_that_of_its_patch(tower: str) -> None:
    """Before the first layer a feature depends on its own patch and no other."""
    model = tiny_llavit(**tower_arguments(tower, vision_feature_layer=[0]))
    pixels = torch.randn(1, 3, 28, 28)
    before = projected(model, pixels)[0]
    for patch in range(16):
        row, col = divmod(patch, 4)
        changed = pixels.clone()
        changed[:, :, row * 7 : row * 7 + 7, col * 7 : col * 7 + 7] += 1.0
        moved = (projected(model, changed)[0] != before).any(-1)
        assert moved.nonzero().flatten().tolist() == [patch]


@pytest.mark.parametrize("layers", [-2, [1, 2, -1]], ids=str)
@pytest.mark.parametrize("tower", TOWERS)
@torch.no_grad()
def test_processor_and_model_fit_and_equal_llava(tower: str, layers: Any) -> None:
    """As many visual tokens as features, and with all switches off transformers' own LLaVA."""
    arguments = tower_arguments(tower, vision_feature_layer=layers)
    model = tiny_llavit(**arguments, separate_visual_qkv=False, visual_attention="causal")
    llava = tiny_llava(**arguments)
    model.load_state_dict(llava.state_dict())
    inputs = tiny_inputs(processor_for(model.config), (SHORT_PROMPT, TWO_IMAGES_PROMPT))
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == 3 * 16
    expected = llava(**inputs).logits
    assert (model(**inputs).logits - expected).abs().max() == 0.0
    switched = tiny_llavit(**arguments)
    assert switched(**inputs).logits.isfinite().all()


@pytest.mark.parametrize("tower", TOWERS)
@torch.no_grad()
def test_pictures_that_patches_do_not_fill(tower: str) -> None:
    """As SigLIP at 384 pixels with patches of 14: what is left over at the edge is not seen."""
    vision = tiny_vision_config(tower, image_size=33)
    model = tiny_llavit(**tower_arguments(tower, vision_config=vision))
    inputs = processor_for(model.config)(images=tiny_image(), text=PROMPT, return_tensors="pt")
    assert inputs["pixel_values"].shape[-2:] == (33, 33)
    assert inputs["mm_token_type_ids"].sum() == 16
    assert model(**inputs).logits.isfinite().all()


@torch.no_grad()
def test_a_class_token_can_be_kept() -> None:
    model = tiny_llavit(vision_feature_select_strategy="full")
    inputs = processor_for(model.config)(images=tiny_image(), text=PROMPT, return_tensors="pt")
    assert inputs["mm_token_type_ids"].sum() == 17
    assert model(**inputs).logits.isfinite().all()


def test_no_patch_is_dropped_for_a_class_token() -> None:
    arguments = tower_arguments("siglip", vision_feature_select_strategy="default")
    with pytest.raises(ConfigurationError, match="would lose its first patch; use 'full'"):
        tiny_llavit(**arguments)
    with pytest.raises(ConfigurationError, match="would lose its first patch"):
        token_settings(LlavitConfig(**tiny_config_arguments(**arguments)))
    model = tiny_llavit(**tower_arguments("siglip"))
    inputs = processor_for(model.config)(images=tiny_image(), text=PROMPT, return_tensors="pt")
    with pytest.raises(ConfigurationError, match="would lose its first patch"):
        model(**inputs, vision_feature_select_strategy="default")


def test_register_tokens_are_not_patches() -> None:
    vision = Dinov2WithRegistersConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=4, image_size=28, patch_size=7
    )
    with pytest.raises(ConfigurationError, match="take its register tokens for patches; use one"):
        tiny_llavit(vision_config=vision)


@pytest.mark.parametrize("layers", [4, -5, [1, 9], []], ids=str)
def test_layers_that_the_tower_has_not_are_refused(layers: Any) -> None:
    message = r"the vision tower has layers 0 to 3, or -4 to -1"
    with pytest.raises(ConfigurationError, match=message):
        tiny_llavit(vision_feature_layer=layers)


def test_layer_0_must_be_a_list() -> None:
    """transformers would fail on it with a message about None."""
    with pytest.raises(ConfigurationError, match=r"write \[0\]"):
        tiny_llavit(vision_feature_layer=0)
