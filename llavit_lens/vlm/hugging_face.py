"""Arguments of transformers' `from_pretrained`, given to `load`: taken, or told what to do.

Looked at before anything is fetched or read.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from llavit_lens.errors import ConfigurationError

_BY_HAND = (
    "load the model with transformers' from_pretrained and give it to "
    "ll.VLM(model, processor, name)"
)
_DONE_ANYWAY = [("low_cpu_mem_usage", True), ("use_safetensors", True)]
"""Arguments that ask for what `load` does by itself."""
_INSTEAD = {
    **dict.fromkeys(("quantization_config", "load_in_4bit", "load_in_8bit"), _BY_HAND),
    **dict.fromkeys(("subfolder", "variant"), _BY_HAND),
    **dict.fromkeys(("max_memory", "offload_folder"), _BY_HAND),
    "token": "log in once (hf auth login), or set the environment variable HF_TOKEN",
    "cache_dir": "set the environment variable HF_HUB_CACHE",
    "low_cpu_mem_usage": "leave it out: no model is held in memory twice",
    "use_safetensors": "safetensors are taken where a repository has them, other formats elsewhere",
    "trust_remote_code": "code that comes with a checkpoint is never run",
    "local_files_only": "set the environment variable HF_HUB_OFFLINE=1",
    "force_download": "delete the model from the Hub's cache (hf cache)",
}
"""What `from_pretrained` takes and `load` does not: what to do instead."""
_NEEDS = {
    "quantization_config": ("accelerate", "bitsandbytes"),
    "load_in_4bit": ("accelerate", "bitsandbytes"),
    "load_in_8bit": ("accelerate", "bitsandbytes"),
    "device_map": ("accelerate",),
}
"""Packages that the same argument needs in transformers."""

NAMES = ("device", "dtype", "attn_implementation", "base", "vision_tower", "revision", *_INSTEAD)
"""Arguments that somebody may have meant who wrote another one."""

Device = str | torch.device
Dtype = str | torch.dtype


def take_arguments(
    name: str, given: dict[str, Any], device: Device, dtype: Dtype
) -> tuple[Device, Dtype]:
    """Device and dtype, with what `given` says about them; removes from it all that is dealt with.

    Args:
        name: of the model, for messages.
        given: arguments of `load` that it does not name itself.
        device, dtype: as `load` got them.

    Raises:
        ConfigurationError: one of transformers' that `load` has not, or two that say the same.
    """
    for key in [key for key in given if key in _INSTEAD]:
        value = given.pop(key)
        not_asked = value is None or (value is False and key != "use_safetensors")
        if not not_asked and not any((key, value) == done for done in _DONE_ANYWAY):
            raise ConfigurationError(f"{name}: load has no {key}; {_INSTEAD[key]}{_packages(key)}")
    if (old := given.pop("torch_dtype", None)) is not None:
        if dtype != "auto":
            raise ConfigurationError(
                f"{name}: torch_dtype is the old name of dtype; give one of them, not both"
            )
        dtype = old
    if (places := given.pop("device_map", None)) is not None:
        if device != "auto":
            raise ConfigurationError(f"{name}: give device or device_map, not both")
        device = _one_device(name, places)
    return device, dtype


def _one_device(name: str, places: Any) -> Device:
    """The device of a `device_map` that names a single one."""
    if isinstance(places, dict) and len(set(map(str, places.values()))) == 1:
        places = next(iter(places.values()))
    if places in ("auto", "balanced", "balanced_low_0", "sequential"):
        if torch.cuda.device_count() < 2:
            return "auto"
    elif isinstance(places, int) and not isinstance(places, bool):
        return f"cuda:{places}"
    elif isinstance(places, str | torch.device) and str(places) != "disk":
        return places
    raise ConfigurationError(
        f"{name}: load puts a model on one device, and device_map={places!r} is several; for one, "
        f"write device='cuda'; for several, {_BY_HAND}{_packages('device_map')}"
    )


def _packages(key: str) -> str:
    """What has to be installed for it in transformers, as the end of a sentence."""
    missing = [package for package in _NEEDS.get(key, ()) if find_spec(package) is None]
    return f" (which needs: pip install {' '.join(missing)})" if missing else ""
