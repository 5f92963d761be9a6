"""Whether a model and a processor belong together, tried on one small image before any real one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaNextProcessor, LlavaProcessor

from llavit_lens.errors import CheckpointError, ConfigurationError, LlavitLensError, one_line
from llavit_lens.model.chat import chat_prompt
from llavit_lens.model.llava_processors import check_tile_agreement, makes_tiles, merge_type_of
from llavit_lens.model.tiles import are_pairs, tile_grid, token_order
from llavit_lens.model.tower_rules import CLASS_TOKENS, check_layers, check_tile_features

_MOST_TIMES_THE_TOWER = 64
"""An image may be resized to at most this many times the size of the vision tower's square."""
_MOST_TIMES_THE_CROP = 2
"""Published processors resize to at most 1.15 times the size of the crop."""
_LARGEST_PIXEL = 20.0
"""Towers expect about -3 to 3; 255 means that the image was never rescaled."""


def check_agreement(config: Any, processor: Any, name: str) -> None:
    """Look at the settings, let the processor prepare one image, and compare what comes out with
    what the model takes.

    Args:
        config: of a LLaVA, LLaVA-NeXT or LLaViT.
        processor: what should belong to it.
        name: of the checkpoint, for messages.

    Raises:
        CheckpointError: they do not belong together, or the processor does not work.
        ConfigurationError: the vision tower has no such layers, or tiles would keep class tokens.
    """
    check_image_token(config, processor, name)
    _check_prompt(config, processor, name)
    try:
        check_layers(config, config.vision_feature_layer)
        check_tile_features(config, config.vision_feature_select_strategy)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error
    _check_settings(config, processor, name)
    check_tile_agreement(config, processor, name)
    image = half_black_half_white(config.vision_config.image_size)
    pixels, tokens, expected = _try_image(config, processor, name, image)
    _check_pixels(config, pixels, name)
    if expected is not None and tokens != expected:
        raise CheckpointError(
            f"{name}: model and processor do not belong together: of one image the model makes "
            f"{expected} visual tokens (patch_size={config.vision_config.patch_size}, "
            f"vision_feature_select_strategy={config.vision_feature_select_strategy!r}), and the "
            f"processor expects {tokens} (patch_size={processor.patch_size}, "
            f"vision_feature_select_strategy={processor.vision_feature_select_strategy!r}, "
            f"num_additional_image_tokens={processor.num_additional_image_tokens})"
        )


def check_image_token(config: Any, processor: Any, name: str) -> None:
    """Raise CheckpointError unless model and processor have the same id for visual tokens."""
    ids = [getattr(part, "image_token_id", None) for part in (config, processor)]
    if type(ids[0]) is not int or ids[0] != ids[1]:
        raise CheckpointError(
            f"{name}: model and processor do not belong together: their image tokens are "
            f"{ids[0]} and {ids[1]}"
        )


def _check_prompt(config: Any, processor: Any, name: str) -> None:
    """Raise CheckpointError unless it is a LLaVA's processor that writes one image as one token."""
    if not isinstance(processor, (LlavaProcessor, LlavaNextProcessor)):
        raise CheckpointError(
            f"{name}: a {config.model_type} model needs a processor of LLaVA, and this is a "
            f"{type(processor).__name__}; put the published processor_config.json beside it"
        )
    chat_prompt(processor, "What?", name)


def _try_image(
    config: Any, processor: Any, name: str, image: Image.Image
) -> tuple[Tensor, int, int | None]:
    """Pixel values of an image, the tokens that the processor makes of it, and those that the
    model does (None for a tower that is not known here)."""
    with an_image_is_tried(name):
        inputs = processor(images=[image], text=[processor.image_token], return_tensors="pt")
        tokens = int((inputs["input_ids"] == processor.image_token_id).sum())
        pixels = inputs["pixel_values"]
        return pixels, tokens, _features(config, processor, pixels, image)


@contextmanager
def an_image_is_tried(name: str) -> Iterator[None]:
    """Inside, a processor prepares an image; whatever it raises becomes one line.

    Raises:
        CheckpointError: it fails.
    """
    try:
        # torch's default device may be another; the pixel values are looked at
        with torch.device("cpu"), np.errstate(all="ignore"):
            yield
    except LlavitLensError:
        raise
    except Exception as error:  # its parts may raise anything over settings that make no sense
        raise CheckpointError(
            f"{name}: its processor fails on an image ({type(error).__name__}: "
            f"{one_line(error)}); compare its processor_config.json or preprocessor_config.json "
            "with the published checkpoint's"
        ) from error


def _check_settings(config: Any, processor: Any, name: str) -> None:
    """Refuse settings with which the processor would fill the memory, before it is tried."""
    side, images = config.vision_config.image_size, processor.image_processor
    for key in ("size", "crop_size", "pad_size", "image_grid_pinpoints"):
        edges = _edges(getattr(images, key, None))
        if any(not _is_edge(edge, _MOST_TIMES_THE_TOWER * side) for edge in edges):
            raise CheckpointError(
                f"{name}: its processor's {key}={getattr(images, key)} does not fit a vision "
                f"tower of {side} pixels"
            )
    size = _named(getattr(images, "size", None))
    edge = size.get("shortest_edge") if isinstance(size, Mapping) else None
    resizes = getattr(images, "do_resize", False) and not makes_tiles(images)
    if resizes and edge is not None and not side <= edge <= _MOST_TIMES_THE_CROP * side:
        raise CheckpointError(
            f"{name}: its processor resizes images to {edge} pixels on the shorter side, of which "
            f"the vision tower sees {side}: it would see black edges, or little of the image; is "
            "'size' missing or misspelled in processor_config.json or preprocessor_config.json?"
        )
    if makes_tiles(images) and not are_pairs(images.image_grid_pinpoints):
        raise CheckpointError(
            f"{name}: its processor's image_grid_pinpoints={images.image_grid_pinpoints!r} is no "
            "list of (height, width) in pixels"
        )
    patch = processor.patch_size
    if type(patch) is not int or patch < 1:
        raise CheckpointError(
            f"{name}: its processor's patch_size={patch!r} is no number of pixels"
        )


def _edges(size: Any) -> list[Any]:
    """The numbers in a size, in all forms that transformers has had for it."""
    if isinstance(size, (list, tuple)):
        return [edge for part in size for edge in _edges(part)]
    named = _named(size)
    edges = list(named.values()) if isinstance(named, Mapping) else [named]
    return [edge for edge in edges if edge is not None]


def _named(size: Any) -> Any:
    """A size as a dictionary, where it has named edges."""
    return asdict(size) if is_dataclass(size) and not isinstance(size, type) else size


def _is_edge(value: Any, most: int) -> bool:
    return isinstance(value, (int, float)) and 0 < value <= most


def half_black_half_white(side: int) -> Image.Image:
    """Neither square nor of the tower's size, so that a missing step shows."""
    image = Image.new("RGB", (2 * side + 2, side + 1))
    image.paste("white", (side, 0, *image.size))
    return image


def _features(config: Any, processor: Any, pixels: Tensor, image: Image.Image) -> int | None:
    """Visual tokens that the model makes of `pixels`; None for a tower that is not known here."""
    tower = config.vision_config
    if tower.model_type not in CLASS_TOKENS:
        return None
    height, width = (edge // tower.patch_size for edge in pixels.shape[-2:])
    if not makes_tiles(processor.image_processor):
        dropped = config.vision_feature_select_strategy == "default"
        return height * width + CLASS_TOKENS[tower.model_type] - dropped
    size = image.size[::-1]
    grid = tile_grid(size, processor.image_processor.image_grid_pinpoints, pixels.shape[-1])
    return len(token_order(size, grid, height, merge_type_of(processor) or "flat"))


def _check_pixels(config: Any, pixels: Tensor, name: str) -> None:
    """Raise CheckpointError unless these are an image that a vision tower of `config` can see."""
    tower = config.vision_config
    sides = tuple(pixels.shape[-2:])
    fixed = tower.model_type in ("clip_vision_model", "siglip_vision_model")
    if fixed and sides != (tower.image_size, tower.image_size):
        raise CheckpointError(
            f"{name}: model and processor do not belong together: the vision tower sees "
            f"{tower.image_size} x {tower.image_size} pixels, and the processor makes "
            f"{sides[0]} x {sides[1]}"
        )
    check_pixel_values(pixels.movedim(-3, 0).flatten(1), name)


def check_pixel_values(pixels: Tensor, name: str) -> None:
    """Raise CheckpointError unless pixels can be those that a vision tower takes.

    Args:
        pixels: [..., pixels], of an image that is half black and half white: none of its rows may
            be of one value.
    """
    values = pixels.float()
    reason = None
    if not torch.isfinite(values).all():
        reason = "infinite or no numbers"
    elif (values.amax(-1) == values.amin(-1)).any():
        reason = "the same for black and white"
    elif values.abs().max() > _LARGEST_PIXEL:
        reason = f"as large as {values.abs().max():.0f}"
    if reason:
        raise CheckpointError(
            f"{name}: its processor makes pixel values that are {reason}; compare do_rescale, "
            "rescale_factor, do_normalize, image_mean and image_std with the published checkpoint's"
        )
