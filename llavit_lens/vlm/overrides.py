"""Fields of a model's config that are set while it is loaded."""

from __future__ import annotations

from typing import Any

from huggingface_hub.errors import StrictDataclassError

from llavit_lens.errors import ConfigurationError, one_line
from llavit_lens.vlm.families import family_of

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


def override(config: Any, processor: Any, overrides: dict[str, Any], name: str) -> None:
    """Set fields of the config of the model `name`, and make its processor follow.

    Raises:
        ConfigurationError: a field that it does not have, a value that makes no sense, or one that
            the processor cannot follow.
    """
    fields = config.to_dict()  # not all attributes: others are methods, or follow from these
    for key in overrides:
        if key in _INSTEAD:
            raise ConfigurationError(f"{name}: load has no {key}; {_INSTEAD[key]}")
    family, unknown = family_of(config), [key for key in overrides if key not in fields]
    if unknown:
        raise ConfigurationError(
            f"{name}: a {config.model_type} model has no switch {', '.join(unknown)}"
            f"{family.advise(unknown, name)}"
        )
    try:
        for key, value in overrides.items():
            setattr(config, key, value)
        config.validate()
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{name}: {one_line(error)}") from error
    family.follow(processor, config, list(overrides), name)
