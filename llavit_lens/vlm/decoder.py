"""The decoder inside a vision-language model: the one place that knows where its parts are."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any

from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError


@dataclass(frozen=True, eq=False)
class Decoder:
    """The language model that reads visual tokens. Its parts are found by what they are, never by
    their names.

    Attributes:
        module: the module that holds the layers.
        layers: the decoder layers.
        norm: the final norm, between the last layer and the unembedding; None where only a pass can
            tell which module it is: see `llavit_lens.vlm.stream`.
        head: the unembedding: see `llavit_lens.vlm.unembedding`.
        embedding: the input word embeddings: see `llavit_lens.vlm.embedding`.
    """

    module: nn.Module
    layers: nn.ModuleList
    norm: nn.Module | None
    head: nn.Module
    embedding: nn.Module

    @classmethod
    def of(cls, model: Any, module: Any) -> Decoder:
        """The decoder of a model with its head.

        Args:
            module: the decoder itself: see `llavit_lens.vlm.families.decoder_of`.

        Raises:
            ConfigurationError: PEFT has wrapped the model, or the model has no such parts.
        """
        refuse_peft(model)
        layers = layers_of(module)
        head = _head_of(model)
        if not isinstance(head, nn.Module):
            reason = "it has no output embedding, so there are no words to read"
        elif getattr(model.config, "is_encoder_decoder", False) is True:
            reason = "it reads the image in an encoder, so its decoder has no visual tokens"
        elif not _reads_images(model.config):
            reason = "it reads text alone, so there are no visual tokens"
        elif layers is None:
            reason = (
                f"its {type(module).__name__} has no list of as many layers as its config's "
                "num_hidden_layers says"
            )
        elif any(map(_attends_elsewhere, layers)):
            reason = "it reads the image by cross-attention, so its decoder has no visual tokens"
        else:
            return cls(module, layers, norm_of(module), head, model.get_input_embeddings())
        raise ConfigurationError(f"{type(model).__name__} is not supported: {reason}")

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
    """The module that holds the decoder layers: one and the same, whatever is wrapped around the
    model.

    It is the highest one, inside what transformers calls the model's decoder, that has a list of as
    many modules as the config has hidden layers. Where there is none, it is what transformers
    calls the decoder, and where there is no decoder, the model itself.
    """
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    count = _hidden_layers(getattr(model, "config", None))
    level = [decoder]
    while level and count is not None:
        for module in level:
            if any(len(one) == count for one in _lists(module)):
                return module
        children = (child for module in level for child in module.children())
        level = [child for child in children if not isinstance(child, nn.ModuleList)]
    return decoder


def layers_of(decoder: Any) -> nn.ModuleList | None:
    """The decoder layers in the module that holds them: the list of as many modules as its config
    has hidden layers, or else its only list. None if neither is there."""
    lists = _lists(decoder)
    count = _hidden_layers(getattr(decoder, "config", None))
    fitting = [one for one in lists if len(one) == count]
    if fitting:
        return fitting[0]
    return lists[0] if len(lists) == 1 else None


def norm_of(decoder: Any) -> nn.Module | None:
    """The final norm in the module that holds the layers: the one part of it of which every weight
    is one number for each channel of a state. None if none is like that, or several are."""
    width = getattr(_text_config(getattr(decoder, "config", None)), "hidden_size", None)
    children = decoder.children() if isinstance(decoder, nn.Module) else ()
    norms = [
        child for child in children if {tuple(w.shape) for w in child.parameters()} == {(width,)}
    ]
    return norms[0] if len(norms) == 1 else None


def state_given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The state [..., D] among the arguments of a decoder layer or a norm."""
    state: Tensor = args[0] if args else kwargs["hidden_states"]
    return state


def state_made(output: Any) -> Tensor:
    """The state [..., D] in what a decoder layer returns: a tensor, or the first of several."""
    state: Tensor = output if isinstance(output, Tensor) else output[0]
    return state


def _lists(module: Any) -> list[nn.ModuleList]:
    """The lists of modules that a module holds itself."""
    if not isinstance(module, nn.Module):
        return []
    return [child for child in module.children() if isinstance(child, nn.ModuleList) and len(child)]


def _head_of(model: Any) -> Any:
    """The model's output embedding, or that of the language model inside; None if there is none."""
    inside = model.get_decoder() if hasattr(model, "get_decoder") else None
    heads = (
        owner.get_output_embeddings()
        for owner in (model, inside)
        if owner is not None and hasattr(owner, "get_output_embeddings")
    )
    return next((head for head in heads if head is not None), None)


def _text_config(config: Any) -> Any:
    """The config of the language model in a config; the config itself if it has no parts."""
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def _hidden_layers(config: Any) -> int | None:
    count = getattr(_text_config(config), "num_hidden_layers", None)
    return count if isinstance(count, int) else None


def _reads_images(config: Any) -> bool:
    """Whether a config has parts, or names a token that stands for images."""
    has_parts = bool(getattr(config, "sub_configs", None))
    return has_parts or getattr(config, "image_token_id", None) is not None


def _attends_elsewhere(layer: nn.Module) -> bool:
    """Whether a layer is given states of something else than its own tokens."""
    names = signature(type(layer).forward).parameters
    return any(name in names for name in ("encoder_hidden_states", "cross_attention_states"))


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
