"""What differs between the releases of transformers that are allowed.

Each piece can go as soon as the oldest allowed release no longer needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, cast

import torch
from transformers import ProcessorMixin
from transformers.cache_utils import Cache

# Not from transformers itself: its older releases (before 5.18) ask for torchvision first.
from transformers.models.auto.image_processing_auto import AutoImageProcessor as AutoImageProcessor
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention

from llavit_lens.errors import ConfigurationError

# transformers renamed it (5.24): in the models, their layers, attention, masks and outputs alike.
_NEW, _OLD = "cache", "past_key_values"

CACHE = _NEW if _NEW in signature(Qwen2Attention.forward).parameters else _OLD
"""The argument by which the models and layers of the installed transformers take a cache."""


def one_cache(past_key_values: Cache | None, cache: Cache | None) -> Cache | None:
    """The one of the two that is not None; they are two names of one argument.

    Raises:
        ConfigurationError: both were.
    """
    if past_key_values is not None and cache is not None:
        raise ConfigurationError(f"{_OLD} and {_NEW} are two names of one argument; pass one.")
    return past_key_values if cache is None else cache


def cache_of(arguments: Mapping[str, Any]) -> Cache | None:
    """The cache among the arguments of a model, by either name.

    Raises:
        ConfigurationError: as `one_cache`.
    """
    return one_cache(arguments.get(_OLD), arguments.get(_NEW))


def take_cache(arguments: dict[str, Any]) -> Cache | None:
    """As `cache_of`, for what a layer passes on to its attention; taken out of the arguments."""
    cache = arguments.pop(CACHE, None)
    # In older releases "cache" is something else here, for attention functions alone.
    return arguments.pop(_OLD, None) if cache is None else cache


def rename_cache(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a model, with the cache, if there is one, by the name that is installed.

    Raises:
        ConfigurationError: as `one_cache`.
    """
    cache = cache_of(arguments)
    rest = {name: value for name, value in arguments.items() if name not in (_OLD, _NEW)}
    return rest if cache is None else rest | {CACHE: cache}


class WholePrompts:
    """Beams of prompts with several images, mixed in before a model of the LLaVA family.

    A beam search repeats every prompt, but older releases (before 5.20) repeat every image by
    itself: the beams of a prompt with images 1 and 2 would see 1 and 1, or 2 and 2.
    """

    def _supports_mm_encoder_outputs(self) -> bool:
        """No: 5.18 and 5.19 encode images before they repeat prompts, and mix up the features, too.
        So it is done here for every release."""
        return False

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, input_ids: Any = None, **model_kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        model, expanded = cast(Any, self), {}
        pixels = model_kwargs.get("pixel_values")
        if expand_size > 1 and pixels is not None and input_ids is not None:
            names = [n for n in ("pixel_values", "image_sizes") if model_kwargs.get(n) is not None]
            images = {name: model_kwargs.pop(name) for name in names}
            features = model.get_image_features(**images).pooler_output
            ends = torch.tensor([len(feature) for feature in features]).cumsum(0)
            ids_BL = input_ids == model.config.image_token_id
            # Prompts follow each other, so an image belongs to the prompt of its last token.
            prompt_of = torch.searchsorted(ids_BL.sum(1).cumsum(0).cpu(), ends)
            order = [
                index
                for prompt in range(len(ids_BL))
                for index in (prompt_of == prompt).nonzero().flatten().tolist() * expand_size
            ]
            expanded = {name: torch.as_tensor(images[name])[order] for name in names}
        input_ids, model_kwargs = super()._expand_inputs_for_generation(  # type: ignore[misc]
            expand_size=expand_size, input_ids=input_ids, **model_kwargs
        )
        return input_ids, model_kwargs | expanded


def return_token_types(processor_class: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """A class decorator: the processor returns `mm_token_type_ids` by default.

    Newer releases (5.23) read that off the class's `return_mm_token_type_ids`.
    """
    if not hasattr(ProcessorMixin, "return_mm_token_type_ids"):
        valid: Any = processor_class.valid_processor_kwargs
        text = {**valid._defaults.get("text_kwargs", {}), "return_mm_token_type_ids": True}
        defaults = {**valid._defaults, "text_kwargs": text}
        processor_class.valid_processor_kwargs = type(valid)(
            f"{processor_class.__name__}Kwargs", (valid,), {"_defaults": defaults}
        )
    return processor_class
