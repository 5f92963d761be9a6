"""What a checkpoint becomes: a row of the paper's Tables 1 and 3, or transformers' LLaVA."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.visual_attention import VisualLinear
from llavit_lens.model.checkpoints.source import Source, empty_model
from llavit_lens.model.checkpoints.weights import LazyTensor
from llavit_lens.model.configuration import LlavitConfig
from llavit_lens.model.decoders import DECODERS
from llavit_lens.model.llava_processors import resolution_of
from llavit_lens.model.processing import LlavitProcessor
from llavit_lens.model.tower_rules import layer_fault
from llavit_lens.rows import LOCAL_AND_GLOBAL, ROWS, Row

PLAIN = "llava"
"""The target that is transformers' own LLaVA or LLaVA-NeXT."""

_PROJECTOR = "model.multi_modal_projector.linear_1.weight"


@dataclass(frozen=True)
class Target:
    """What to write.

    Attributes:
        config, processor: of the model to come.
        tensors: its weights, in the order of the model.
        notes: what in it is new or not trained, one sentence each.
    """

    config: Any
    processor: Any
    tensors: dict[str, LazyTensor]
    notes: tuple[str, ...]


def retarget(
    source: Source,
    to: str = "llavit",
    separate_visual_qkv: bool | None = None,
    visual_attention: str | None = None,
    vision_feature_layer: int | list[int] | None = None,
) -> Target:
    """Apply to a checkpoint the switches of a row, or those that are given in their place.

    Visual QKV start as copies of the text ones (Sec. 3.1). More vision layers widen the projector
    by zeros: its output stays what it was, and training finds the rest.

    Args:
        source: of which model and processor belong together (`check_agreement`).
        to: a row of `ROWS`, or PLAIN.
        separate_visual_qkv, visual_attention, vision_feature_layer: instead of the row's.

    Raises:
        ConfigurationError: an unknown row or switch, a decoder family that is not supported, or a
            change that the weights do not define.
    """
    given = {
        "separate_visual_qkv": separate_visual_qkv,
        "visual_attention": visual_attention or None,
        "vision_feature_layer": vision_feature_layer,
    }
    if to == PLAIN:
        return _plain(source, given)
    if to not in ROWS:
        raise ConfigurationError(f"--to {to}: there are {', '.join([*ROWS, PLAIN])}")
    config = _config(source, ROWS[to], given)
    tensors, notes = dict(source.tensors), list(source.notes)
    old, new = source.config.vision_feature_layer, config.vision_feature_layer
    if _indices(source.config, new) != _indices(source.config, old):
        tensors[_PROJECTOR] = _widened(tensors[_PROJECTOR], source, new)
        notes.append(
            f"The projector reads vision layers {new}; its weights for those other than {old} are "
            "zero, so that its output is what it was. They are to be trained."
        )
    model = empty_model(config)
    copies = _visual_copies(model, tensors)
    if copies:
        tensors |= copies
        notes.append(
            "The projections of visual tokens are copies of the text ones. They are to be trained."
        )
    keys = model.state_dict().keys()
    if not tensors.keys() <= keys:
        raise ConfigurationError(
            f"{source.name}: has visual projections of its own, which would be lost; keep them "
            "(--separate-qkv)"
        )
    if config.visual_attention != getattr(source.config, "visual_attention", "causal"):
        notes.append(
            f"Visual tokens attend otherwise (visual_attention={config.visual_attention}) than "
            "when the weights were trained."
        )
    ordered = {key: tensors[key] for key in keys if key in tensors}
    return Target(config, _processor(source, config), ordered, tuple(notes))


def _config(source: Source, row: Row, given: dict[str, Any]) -> LlavitConfig:
    """The config of a row, with the switches that are given (not None) instead of the row's."""
    switches: dict[str, Any] = {
        "separate_visual_qkv": row.separate_visual_qkv,
        "visual_attention": row.visual_attention,
    }
    switches |= {key: value for key, value in given.items() if value is not None}
    switches["vision_feature_layer"] = _layers(source, row, given["vision_feature_layer"])
    fields = {**_fields(source.config), **resolution_of(source.processor)}
    config = LlavitConfig.from_dict({**fields, **switches})
    family = config.get_text_config().model_type
    if family not in DECODERS:
        raise ConfigurationError(
            f"{source.name}: the decoder family {family!r} is not supported by LLaViT (there are: "
            f"{', '.join(DECODERS)}); --to {PLAIN} converts its format"
        )
    config.dtype = source.config.dtype
    return config


def _plain(source: Source, given: dict[str, Any]) -> Target:
    if any(value is not None for value in given.values()):
        raise ConfigurationError(f"--to {PLAIN} has no switches; choose a row of LLaViT")
    if isinstance(source.config, LlavitConfig):
        raise ConfigurationError(
            f"{source.name}: is a LLaViT, or merges tiles in a way that only LLaViT knows; "
            "transformers' LLaVA has none of its switches. --to baseline turns them off"
        )
    return Target(source.config, source.processor, source.tensors, source.notes)


def _fields(config: PreTrainedConfig) -> dict[str, Any]:
    """What LlavitConfig takes over from another configuration."""
    dropped = {"model_type", "architectures", "transformers_version", "auto_map", "_name_or_path"}
    return {key: value for key, value in config.to_dict().items() if key not in dropped}


def _layers(source: Source, row: Row, given: int | list[int] | None) -> int | list[int]:
    """The vision layers of the target, which must include those of the source."""
    current = source.config.vision_feature_layer
    several = isinstance(current, list) and len(current) > 1
    depth = source.config.vision_config.num_hidden_layers
    if given is not None:
        layers = given
    elif row.local_and_global and not several:
        if depth != 24:
            raise ConfigurationError(
                f"{source.name}: the paper's vision layers 5, 15 and 23 are those of a tower of "
                f"24 layers, and this one has {depth}; choose with --vision-feature-layer, for "
                f"example {_scaled(depth, _indices(source.config, current)[0])}"
            )
        layers = list(LOCAL_AND_GLOBAL)
    else:
        layers = current
    fault = layer_fault(source.config.vision_config, layers)
    if fault:
        raise ConfigurationError(f"{source.name}: vision_feature_layer={layers}{fault}")
    absent = set(_indices(source.config, current)) - set(_indices(source.config, layers))
    if absent:
        raise ConfigurationError(
            f"{source.name}: its projector was trained on vision layer "
            f"{', '.join(map(str, sorted(absent)))}, which vision_feature_layer={layers} leaves "
            "out; a projector without it would have to be trained again. Choose a list with it"
        )
    return layers


def _scaled(depth: int, last: int) -> str:
    """Layers at about the paper's places in a tower of another depth."""
    places = [max(1, round(layer * depth / 24)) for layer in LOCAL_AND_GLOBAL[:2]]
    return ",".join(map(str, sorted({*places, last})))


def _indices(config: Any, layers: int | list[int]) -> list[int]:
    """Layers counted from the tower's input."""
    states = config.vision_config.num_hidden_layers + 1
    return [layer % states for layer in ([layers] if isinstance(layers, int) else layers)]


def _widened(weight: LazyTensor, source: Source, layers: int | list[int]) -> LazyTensor:
    """linear_1.weight [D, old layers * V] for other layers: [D, new layers * V]."""
    old = _indices(source.config, source.config.vision_feature_layer)
    new = _indices(source.config, layers)
    width = source.config.vision_config.hidden_size

    def read() -> Tensor:
        before = dict(zip(old, weight.read().split(width, dim=1), strict=True))
        blank = torch.zeros(weight.shape[0], width, dtype=weight.dtype)
        return torch.cat([before.pop(layer, blank) for layer in new], dim=1)

    return replace(weight, shape=(weight.shape[0], width * len(new)), read=read)


def _visual_copies(model: PreTrainedModel, tensors: dict[str, LazyTensor]) -> dict[str, LazyTensor]:
    """The visual projections that a checkpoint lacks, each from its text projection."""
    copies: dict[str, LazyTensor] = {}
    names = {module: name for name, module in model.named_modules()}
    for module, name in names.items():
        if isinstance(module, VisualLinear):
            for parameter, _ in module.named_parameters():
                key = f"{name}.{parameter}"
                if key not in tensors:
                    copies[key] = _copy(tensors[f"{names[module.source]}.{parameter}"])
    return copies


def _copy(tensor: LazyTensor) -> LazyTensor:
    # A file holds no tensor twice: the copy needs memory of its own.
    return replace(tensor, read=lambda: tensor.read().clone())


def _processor(source: Source, config: Any) -> LlavitProcessor:
    """LLaViT's processor of the same parts."""
    parts = source.processor
    if isinstance(parts, LlavitProcessor):
        return parts
    return LlavitProcessor(
        image_processor=parts.image_processor,
        tokenizer=parts.tokenizer,
        patch_size=parts.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=parts.num_additional_image_tokens,
        chat_template=parts.chat_template,
        mm_patch_merge_type=config.mm_patch_merge_type,
    )
