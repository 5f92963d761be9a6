"""Hook points in models that transformers itself implements.

The decoder's layers change their class, in place, to the ones that LLaViT has: the same weights,
the same operations in the same order, and hook points in between.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.decoders.layer import HookedLayer
from llavit_lens.model.decoders.registry import DECODERS


def add_hook_points(model: Any) -> None:
    """Give every decoder layer of a LLaVA-like model the hook points of `hook_points`.

    Nothing is done where they are there already. Outputs and state dict stay as they are.

    Raises:
        ConfigurationError: the decoder is of a family that is not supported, or its layers are not
            transformers' own.
    """
    layers, family = _without_points(model)
    for layer in layers:
        _change_class(layer.self_attn, family.attention_class)
        layer.self_attn.complete(separate_visual_qkv=False)
        _change_class(layer, family.layer_class)
        layer.complete()


def check_hook_points(model: Any) -> None:
    """Raise ConfigurationError where `add_hook_points` would; the model stays as it is."""
    _without_points(model)


def rebuilds(model: Any) -> bool:
    """Whether some decoder layer is of a family that is rebuilt here, or has been rebuilt.

    Then all of them have to fit; where none does, a model has no hook points inside its layers.
    """
    decoder = getattr(getattr(model, "model", None), "language_model", None)
    layers = [getattr(one, "_orig_mod", one) for one in getattr(decoder, "layers", None) or []]
    family = DECODERS.get(getattr(getattr(decoder, "config", None), "model_type", ""))
    own = () if family is None else set(family.layer_class.__bases__) - {HookedLayer}
    return any(isinstance(layer, HookedLayer) or type(layer) in own for layer in layers)


def _without_points(model: Any) -> tuple[list[Any], Any]:
    """The decoder layers that need hook points, none if they have them, and their family.

    Raises:
        ConfigurationError: as `add_hook_points`.
    """
    decoder = getattr(getattr(model, "model", None), "language_model", None)
    layers: Any = getattr(decoder, "layers", None)
    # compiled ones call those that they were compiled from
    layers = None if layers is None else [getattr(layer, "_orig_mod", layer) for layer in layers]
    foreign = None if layers is None else [not isinstance(one, HookedLayer) for one in layers]
    if foreign is not None and not any(foreign):
        return [], None
    family = DECODERS.get(getattr(getattr(decoder, "config", None), "model_type", ""))
    if layers is None or foreign is None or family is None:
        raise ConfigurationError(
            f"{type(model).__name__} has no hook points: they are known for LLaVA-like models "
            f"(model.language_model.layers) with one of these decoders: {', '.join(DECODERS)}."
        )
    (own_layer,) = set(family.layer_class.__bases__) - {HookedLayer}
    own_attention = family.attention_class.__bases__[-1]
    for index, layer in enumerate(layers):
        kinds = (type(layer), type(getattr(layer, "self_attn", None)))
        if foreign[index] and (kinds != (own_layer, own_attention) or not all(foreign)):
            classes = " with ".join(kind.__name__ for kind in kinds)
            raise ConfigurationError(
                f"Decoder layer {index} is a {classes}, not transformers' {own_layer.__name__}; "
                "load the model without what replaced it to get hook points."
            )
    for module in (part for layer in layers for part in (layer, layer.self_attn)):
        _check_forward(module)
    return layers, family


def _check_forward(module: nn.Module) -> None:
    """Raise ConfigurationError for a `forward` that was set on the instance: it would stay."""
    if "forward" in module.__dict__ and "_old_forward" not in module.__dict__:
        raise ConfigurationError(
            f"The forward of {type(module).__name__} was replaced on the instance; load the model "
            "without what replaced it to get hook points."
        )


def _change_class(module: nn.Module, new: type[nn.Module]) -> None:
    if "_old_forward" in module.__dict__:  # accelerate has wrapped it, to move tensors along
        module._old_forward = MethodType(new.forward, module)  # type: ignore[assignment]
    module.__class__ = new
