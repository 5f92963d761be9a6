"""Switches of a model's config set while it is loaded, and its processor made to follow."""

from __future__ import annotations

from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import LlavaProcessor

from llavit_lens.errors import ConfigurationError, one_line
from llavit_lens.model import LlavitConfig, LlavitProcessor
from llavit_lens.model.checkpoints.detect import HUGGING_FACE_TYPES
from llavit_lens.model.tower_rules import token_settings

_LLAVIT_SWITCHES = frozenset(LlavitConfig.__annotations__)
_TILING = ("mm_patch_merge_type", "image_grid_pinpoints")
_RESOLUTION = ("image_aspect_ratio", *_TILING)
_BY_HAND = (
    "load the model with transformers' from_pretrained and give it to "
    "ll.VLM(model, processor, name)"
)
_INSTEAD = {
    "torch_dtype": "write dtype='bfloat16' and so on",
    "device_map": "write device='cuda' for one device; for several, " + _BY_HAND,
    **dict.fromkeys(("quantization_config", "load_in_4bit", "load_in_8bit"), _BY_HAND),
    **dict.fromkeys(("revision", "subfolder", "variant", "token", "cache_dir"), _BY_HAND),
    **dict.fromkeys(("max_memory", "offload_folder", "low_cpu_mem_usage"), _BY_HAND),
    "trust_remote_code": "code that comes with a checkpoint is never run",
    "local_files_only": "set the environment variable HF_HUB_OFFLINE=1",
    "force_download": "delete the model from the Hub's cache (hf cache)",
}
"""What `from_pretrained` takes and `load` does not: what to do instead."""

_STRATEGY = "vision_feature_select_strategy"


def override(config: Any, overrides: dict[str, Any], name: str) -> None:
    """Set fields of the config of the model `name`.

    Raises:
        ConfigurationError: a field that it does not have, or a value that makes no sense.
    """
    known = config.to_dict()  # not all attributes: others are methods, or follow from these
    for key in overrides:
        if key in _INSTEAD:
            raise ConfigurationError(f"{name}: load has no {key}; {_INSTEAD[key]}")
    unknown = [key for key in overrides if key not in known]
    if unknown:
        message = f"{name}: a {config.model_type} model has no switch {', '.join(unknown)}"
        if config.model_type in HUGGING_FACE_TYPES and _LLAVIT_SWITCHES.issuperset(unknown):
            message += f", but LLaViT has; run `llavit-lens convert {name} OUT` first and load OUT"
        raise ConfigurationError(message)
    try:
        for key, value in overrides.items():
            setattr(config, key, value)
        config.validate()
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{name}: {one_line(error)}") from error
    idle = [key for key in _TILING if key in overrides]
    if idle and not getattr(config, "has_tiles", True):
        raise ConfigurationError(
            f"{name}: {', '.join(idle)} would change nothing without tiles; set "
            "image_aspect_ratio='anyres' too"
        )


def follow(processor: Any, config: Any, overrides: dict[str, Any], name: str) -> None:
    """Pixels and number of image tokens as the overridden config wants them.

    Raises:
        ConfigurationError: the processor cannot make them.
    """
    if any(key in _RESOLUTION for key in overrides):
        if isinstance(processor, LlavitProcessor):
            processor.set_resolution(config)
        elif isinstance(config, LlavitConfig):
            raise ConfigurationError(
                f"{name}: has a {type(processor).__name__}, which takes pictures in one way "
                f"only; leave out {', '.join(key for key in _RESOLUTION if key in overrides)}, or "
                "save a LlavitProcessor beside the model"
            )
    if _STRATEGY in overrides:
        if not isinstance(processor, LlavaProcessor):
            raise ConfigurationError(
                f"{name}: its {type(processor).__name__} cannot follow {_STRATEGY}; leave it out"
            )
        for key, value in token_settings(config).items():
            setattr(processor, key, value)
