"""The decoder inside a vision-language model: the one place that knows where its parts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from llavit_lens.errors import ConfigurationError


@dataclass(frozen=True, eq=False)
class Decoder:
    """The language model that reads visual tokens.

    Attributes:
        module: all of it but the head.
        layers: the decoder layers.
        norm: the final norm, between the last layer and the unembedding.
        head: the unembedding: see `llavit_lens.vlm.unembedding`.
        embedding: the input word embeddings: see `llavit_lens.vlm.embedding`.
    """

    module: nn.Module
    layers: nn.ModuleList
    norm: nn.Module
    head: nn.Module
    embedding: nn.Module

    @classmethod
    def of(cls, model: Any, module: Any) -> Decoder:
        """The decoder of a model with its head.

        Args:
            module: the decoder itself: see `llavit_lens.vlm.families.decoder_of`.

        Raises:
            ConfigurationError: PEFT has wrapped the model, or it is not built the usual way.
        """
        refuse_peft(model)
        layers, norm = getattr(module, "layers", None), getattr(module, "norm", None)
        head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        if not (
            module is not getattr(model, "model", None)  # a language model without images
            and isinstance(layers, nn.ModuleList)
            and isinstance(norm, nn.Module)
            and isinstance(head, nn.Module)
        ):
            raise ConfigurationError(
                f"{type(model).__name__} is not supported: the lens needs "
                "model.language_model.layers, model.language_model.norm and an output embedding"
            )
        return cls(module, layers, norm, head, model.get_input_embeddings())

    def __repr__(self) -> str:
        return (
            f"Decoder({type(self.module).__name__}, {self.n_layers} layers of {self.n_heads} heads)"
        )

    @property
    def config(self) -> Any:
        """Of the language model: the text config of the whole."""
        return self.module.config

    @property
    def n_layers(self) -> int:
        """Number of decoder layers."""
        return len(self.layers)

    @property
    def n_heads(self) -> int:
        """Number of query heads in each layer."""
        return int(self.config.num_attention_heads)

    @property
    def attn_implementation(self) -> str:
        """The attention that runs now, such as "sdpa"."""
        return str(self.config._attn_implementation)


def usual_decoder(model: Any) -> Any:
    """The decoder where most families have it: one and the same module, whatever was wrapped around
    the model.

    Of a plain language model, its part without the head; of any other model, the model itself.
    """
    body = getattr(model, "model", None)
    return getattr(body, "language_model", body if hasattr(body, "layers") else model)


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
