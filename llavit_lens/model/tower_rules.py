"""Vision towers: what their hidden states hold, and which of them are patches.

In all of the vision towers that are served, hidden state 0 is the input of the first layer, and
hidden state k the output of layer k, counted from 1, before any norm after the last layer.
"""

from __future__ import annotations

from typing import Any

from llavit_lens.errors import ConfigurationError

CLASS_TOKENS = {"clip_vision_model": 1, "dinov2": 1, "siglip_vision_model": 0}
"""How many tokens come before the patches, by `vision_config.model_type`."""


def check_tower(config: Any, layers: Any = None, strategy: str | None = None) -> None:
    """Raise ConfigurationError unless the configured features are those of patches, each in place.

    `layers` and `strategy` stand for the configuration's `vision_feature_layer` and
    `vision_feature_select_strategy` where a call gives others.
    """
    tower = config.vision_config
    if tower.model_type not in CLASS_TOKENS:
        why = ""
        if getattr(tower, "num_register_tokens", 0):
            why = ": LLaVA would take its register tokens for patches"
        raise ConfigurationError(
            f"The vision tower {tower.model_type!r} is not supported{why}; "
            f"use one of: {', '.join(CLASS_TOKENS)}."
        )
    strategy = config.vision_feature_select_strategy if strategy is None else strategy
    if strategy == "default" and CLASS_TOKENS[tower.model_type] == 0:
        raise ConfigurationError(
            "vision_feature_select_strategy='default' drops the first token of an image, but "
            f"{tower.model_type} has no class token and would lose its first patch; use 'full', "
            "in the processor too."
        )
    check_tile_features(config, strategy)
    layers = config.vision_feature_layer if layers is None else layers
    if layers == 0:
        raise ConfigurationError(
            "vision_feature_layer=0 is taken for no layer at all by transformers; write [0]."
        )
    check_layers(config, layers)


def check_layers(config: Any, layers: Any) -> None:
    """Raise ConfigurationError unless the vision tower has these `vision_feature_layer`."""
    fault = layer_fault(config.vision_config, layers)
    if fault:
        raise ConfigurationError(f"vision_feature_layer={layers!r}{fault}.")


def layer_fault(tower: Any, layers: Any) -> str:
    """Which layers a vision tower of config `tower` has, as the end of a message; "" if all
    `layers`, one index or a list of them, are among these."""
    depth = tower.num_hidden_layers
    indices = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    if indices and all(type(index) is int and -depth - 1 <= index <= depth for index in indices):
        return ""
    return f", but the vision tower has layers 0 to {depth}, or -{depth + 1} to -1"


def check_tile_features(config: Any, strategy: str) -> None:
    """Raise ConfigurationError for tiles (Any-Res) with a class token each.

    `config` is LLaViT's or transformers' LLaVA's or LLaVA-NeXT's, `strategy` a
    `vision_feature_select_strategy`.
    """
    tiles = getattr(config, "has_tiles", config.model_type == "llava_next")
    if tiles and strategy == "full" and CLASS_TOKENS.get(config.vision_config.model_type, 0):
        raise ConfigurationError(
            "vision_feature_select_strategy='full' keeps the class token of every tile (Any-Res), "
            "which has no place among the patches; use 'default', in the processor too."
        )


def token_settings(config: Any) -> dict[str, Any]:
    """Settings of a LlavitProcessor: it makes as many visual tokens as the model has features.

    Raises ConfigurationError as `check_tower` does.
    """
    check_tower(config)
    return {
        "patch_size": config.vision_config.patch_size,
        "vision_feature_select_strategy": config.vision_feature_select_strategy,
        "num_additional_image_tokens": CLASS_TOKENS[config.vision_config.model_type],
    }
