"""The parts that transformers' vision-language models have in common and the lens needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from llavit_lens.errors import ConfigurationError


@dataclass(frozen=True)
class LanguageParts:
    """The decoder that reads visual tokens.

    Attributes:
        layers: the decoder layers.
        norm: the final norm, between the last layer and the unembedding.
        head: the unembedding: see `llavit_lens.vlm.unembedding`.
        embedding: the input word embeddings: see `llavit_lens.vlm.embedding`.
    """

    layers: nn.ModuleList
    norm: nn.Module
    head: nn.Module
    embedding: nn.Module


def decoder_of(model: Any) -> Any:
    """The decoder of a LLaVA-like model or a language model: one and the same module, whatever was
    wrapped around the model. Of another model, the model itself."""
    body = getattr(model, "model", None)
    return getattr(body, "language_model", body if hasattr(body, "layers") else model)


def language_parts(model: Any) -> LanguageParts:
    """Finds the parts.

    Raises:
        ConfigurationError: the model is not built the usual way.
    """
    refuse_peft(model)
    decoder = getattr(getattr(model, "model", None), "language_model", None)
    layers, norm = getattr(decoder, "layers", None), getattr(decoder, "norm", None)
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not (
        isinstance(layers, nn.ModuleList)
        and isinstance(norm, nn.Module)
        and isinstance(head, nn.Module)
    ):
        raise ConfigurationError(
            f"{type(model).__name__} is not supported: the lens needs model.language_model.layers, "
            "model.language_model.norm and an output embedding"
        )
    return LanguageParts(layers, norm, head, model.get_input_embeddings())


def refuse_peft(model: Any) -> None:
    """Raise ConfigurationError for a model that PEFT has wrapped: its parts lie deeper."""
    if not hasattr(model, "get_base_model"):
        return
    if hasattr(model, "prompt_encoder"):
        raise ConfigurationError(
            f"{type(model).__name__} puts learned tokens before the prompt, which no layout knows; "
            "give VLM the model without them: peft_model.get_base_model()"
        )
    raise ConfigurationError(
        f"{type(model).__name__} wraps the model of which parts are needed; give VLM the model "
        "inside, which has the adapter in place: peft_model.base_model.model, or merge it: "
        "peft_model.merge_and_unload()"
    )
