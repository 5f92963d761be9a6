"""A VLM of a model that is in memory: whatever was done to it since it was loaded stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from llavit_lens.errors import ConfigurationError, LlavitLensError, one_line
from llavit_lens.model.checkpoints.hub import local_folder
from llavit_lens.model.checkpoints.processors import read_processor
from llavit_lens.vlm.decoder import Decoder, refuse_peft
from llavit_lens.vlm.families import decoder_of, family_of
from llavit_lens.vlm.trace import what
from llavit_lens.vlm.vlm import VLM

_HOW = "as in ll.load(model, processor=AutoProcessor.from_pretrained('owner/name'))"


def loaded_already(model: Any, processor: Any, others: Sequence[str] = ()) -> VLM:
    """A model ready to trace, as it is.

    Args:
        model: of transformers; in PEFT's wrapper or not: the adapter in it acts.
        processor: what belongs to it: a processor, a folder or a Hub name; None for the one where
            the model came from.
        others: further arguments that were given with it.

    Raises:
        ConfigurationError: one of them is something else, arguments were given that only loading
            could follow, it is not known where the model came from, or the model has no decoder
            and head to read.
        CheckpointError: they do not belong together.
    """
    if not isinstance(model, nn.Module):
        raise ConfigurationError(
            f"{what(model)} is no model; give a name, a folder, or a model that transformers "
            "loaded, as in ll.load('owner/name') or ll.load(model, processor=processor)"
        )
    if others:
        raise ConfigurationError(
            f"{type(model).__name__}: {', '.join(others)} cannot be changed in a model that is "
            "loaded already; give it to from_pretrained when you load it, or give ll.load its name"
        )
    inside: Any = _without_wrapper(model)
    config = getattr(inside, "config", None)
    if not hasattr(config, "get_text_config"):
        raise ConfigurationError(
            f"{type(model).__name__} has no config of transformers; give a model that "
            "AutoModelForImageTextToText.from_pretrained returns"
        )
    came_from = str(getattr(config, "name_or_path", "") or getattr(inside, "name_or_path", ""))
    if processor is None:
        processor = _processor_of(type(inside).__name__, came_from)
    else:
        processor = own_processor(processor)
    family_of(config).complete_processor(processor, config)
    vlm = VLM(inside, processor, came_from or type(inside).__name__)
    Decoder.of(inside, decoder_of(inside))
    return vlm


def own_processor(given: Any) -> Any:
    """A processor that is given, or that of a folder or a Hub name.

    Raises:
        ConfigurationError: it is none.
        CheckpointError: it cannot be loaded.
    """
    if isinstance(given, str | Path):
        return read_processor(str(given), local_folder(given, "a processor", weights=False))
    if not (hasattr(given, "image_processor") and hasattr(given, "tokenizer")):
        raise ConfigurationError(
            f"{what(given)} is no processor for images and text; give one, {_HOW}"
        )
    if given.tokenizer is None:
        raise ConfigurationError(
            f"this {type(given).__name__} has no tokenizer, and words need one; give one, {_HOW}"
        )
    return given


def _without_wrapper(model: Any) -> Any:
    """The model that PEFT has wrapped, with its adapter in place.

    Raises:
        ConfigurationError: the wrapper itself adds tokens to the prompt.
    """
    if not hasattr(model, "get_base_model"):
        return model
    if hasattr(model, "prompt_encoder"):
        refuse_peft(model)
    inside = getattr(getattr(model, "base_model", None), "model", None)
    return model.get_base_model() if inside is None else inside


def _processor_of(kind: str, came_from: str) -> Any:
    if not came_from:
        raise ConfigurationError(
            f"this {kind} does not say where it came from, so its processor is not known; give "
            f"it, {_HOW}"
        )
    try:
        return read_processor(came_from, local_folder(came_from, "its processor", weights=False))
    except LlavitLensError as error:
        raise ConfigurationError(
            f"this {kind} came from {came_from!r}, and its processor cannot be loaded from there "
            f"({one_line(error)}); give it, {_HOW}"
        ) from error
