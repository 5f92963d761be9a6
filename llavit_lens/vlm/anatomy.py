"""The parts that transformers' vision-language models have in common and the lens needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError


@dataclass(frozen=True)
class LanguageParts:
    """The decoder that reads visual tokens.

    Attributes:
        layers: the decoder layers.
        norm: the final norm, between the last layer and the unembedding.
        head: the unembedding, a linear map to the vocabulary.
        embedding: the input word embeddings [vocab, d_model].
    """

    layers: nn.ModuleList
    norm: nn.Module
    head: nn.Linear
    embedding: Tensor


def language_parts(model: Any) -> LanguageParts:
    """Finds the parts.

    Raises:
        ConfigurationError: the model is not built the usual way.
    """
    decoder = getattr(getattr(model, "model", None), "language_model", None)
    layers, norm = getattr(decoder, "layers", None), getattr(decoder, "norm", None)
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not (
        isinstance(layers, nn.ModuleList)
        and isinstance(norm, nn.Module)
        and isinstance(head, nn.Linear)
    ):
        raise ConfigurationError(
            f"{type(model).__name__} is not supported: the lens needs model.language_model.layers, "
            "model.language_model.norm and a linear output embedding"
        )
    return LanguageParts(layers, norm, head, model.get_input_embeddings().weight)
