"""Arguments of transformers' `from_pretrained`, given to `load`: taken, or told what to do.

Looked at before anything is fetched or read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import torch

from llavit_lens.errors import ConfigurationError

_BY_HAND = (
    "load the model with transformers' from_pretrained and give it to "
    "ll.load(model, processor=processor)"
)
_BITS = (
    "give quantization_config=BitsAndBytesConfig({}=True, llm_int8_skip_modules=['lm_head']), "
    "which transformers has"
)
_DONE_ANYWAY = [("low_cpu_mem_usage", True), ("use_safetensors", True)]
"""Arguments that ask for what `load` does by itself."""
_INSTEAD = {
    **{key: _BITS.format(key) for key in ("load_in_4bit", "load_in_8bit")},
    **dict.fromkeys(("subfolder", "variant"), _BY_HAND),
    "token": "log in once (hf auth login), or set the environment variable HF_TOKEN",
    "cache_dir": "set the environment variable HF_HUB_CACHE",
    "low_cpu_mem_usage": "leave it out: no model is held in memory twice",
    "use_safetensors": "safetensors are taken where a repository has them, other formats elsewhere",
    "trust_remote_code": "code that comes with a checkpoint is never run",
    "local_files_only": "set the environment variable HF_HUB_OFFLINE=1",
    "force_download": "delete the model from the Hub's cache (hf cache)",
}
"""What `from_pretrained` takes and `load` does not: what to do instead."""

_PLACING = ("max_memory", "offload_folder", "offload_buffers")
"""Arguments that go with a `device_map` of several devices."""
_BY_ACCELERATE = ("auto", "balanced", "balanced_low_0", "sequential")
"""Values of `device_map` that leave the choice to accelerate."""
_PACKAGES = {"bitsandbytes": ("accelerate", "bitsandbytes"), "torchao": ("torchao",)}
"""What kinds of quantization need."""

NAMES = (
    *("device", "dtype", "attn_implementation", "base", "vision_tower", "revision", "processor"),
    *("device_map", "quantization_config", *_PLACING, *_INSTEAD),
)
"""Arguments that somebody may have meant who wrote another one."""

Device = str | torch.device
Dtype = str | torch.dtype


@dataclass(frozen=True)
class Arguments:
    """What `load` was asked for, as transformers wants it.

    Attributes:
        device: the one device of the model, or "auto"; with a `device_map` among the options, the
            device that most of it is on.
        dtype: as `load` takes it.
        options: for `from_pretrained`.
    """

    device: Device
    dtype: Dtype
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def is_spread(self) -> bool:
        """Whether accelerate puts parts of the model on several devices."""
        return "device_map" in self.options


def take_arguments(name: str, given: dict[str, Any], device: Device, dtype: Dtype) -> Arguments:
    """What `given` says; removes from it all that is dealt with.

    Args:
        name: of the model, for messages.
        given: arguments of `load` that it does not name itself.
        device, dtype: as `load` got them.

    Raises:
        ConfigurationError: one of transformers' that `load` has not, two that say the same, or one
            that needs a package that is not installed.
    """
    for key in [key for key in given if key in _INSTEAD]:
        value = given.pop(key)
        not_asked = value is None or (value is False and key != "use_safetensors")
        if not not_asked and not any((key, value) == done for done in _DONE_ANYWAY):
            raise ConfigurationError(f"{name}: load has no {key}; {_INSTEAD[key]}")
    if (old := given.pop("torch_dtype", None)) is not None:
        if dtype != "auto":
            raise ConfigurationError(
                f"{name}: torch_dtype is the old name of dtype; give one of them, not both"
            )
        dtype = old
    placing = {key: given.pop(key) for key in _PLACING if given.get(key) is not None}
    for key in _PLACING:
        given.pop(key, None)
    options: dict[str, Any] = {}
    if (places := given.pop("device_map", None)) is not None:
        if device != "auto":
            raise ConfigurationError(f"{name}: give device or device_map, not both")
        device, options = _places(name, places, placing)
    if placing and not options:
        raise ConfigurationError(
            f"{name}: {', '.join(placing)} has no effect on one device; give "
            "device_map='auto', or a device for each part, too"
        )
    if (quantization := given.pop("quantization_config", None)) is not None:
        _require(name, "quantization_config", _PACKAGES.get(_method(quantization), ()))
        options["quantization_config"] = quantization
    return Arguments(device, dtype, options)


def _places(name: str, places: Any, placing: dict[str, Any]) -> tuple[Device, dict[str, Any]]:
    """The device of a `device_map`, and what transformers has to be told if it is several."""
    if isinstance(places, dict) and len(set(map(str, places.values()))) == 1 and not placing:
        places = next(iter(places.values()))
    several = {"device_map": places, **placing}
    if isinstance(places, str) and places in _BY_ACCELERATE:
        if not placing and not torch.cuda.is_available():
            return "auto", {}  # the one device that there is
        if not placing and torch.cuda.device_count() < 2 and find_spec("accelerate") is None:
            return "auto", {}
        _require(name, f"device_map={places!r}", ("accelerate",))
        return "auto", several
    if isinstance(places, dict) and places:
        on = [str(place) for place in places.values()]
        if not set(on) <= {"cpu", "disk"}:
            first = next(place for place in on if place not in ("cpu", "disk"))
            device = f"cuda:{first}" if first.isdigit() else first
        else:
            device = "cpu"
        _require(name, "a device_map of several devices", ("accelerate",))
        return device, several
    if isinstance(places, int) and not isinstance(places, bool):
        return f"cuda:{places}", {}
    if isinstance(places, str | torch.device) and str(places) != "disk":
        return places, {}
    raise ConfigurationError(
        f"{name}: device_map={places!r} names no device for a model; give 'auto', a device such as "
        "'cuda', or a dictionary of a device for each part, as transformers takes it"
    )


def _method(quantization: Any) -> str:
    """The kind of a quantization, such as "bitsandbytes"."""
    if isinstance(quantization, dict):
        bits = any(quantization.get(key) for key in ("load_in_4bit", "load_in_8bit"))
        return str(quantization.get("quant_method", "bitsandbytes" if bits else ""))
    method = getattr(quantization, "quant_method", "")
    return str(getattr(method, "value", method))


def _require(name: str, what: str, packages: tuple[str, ...]) -> None:
    """Raise ConfigurationError if a package is missing that an argument needs."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigurationError(
            f"{name}: {what} needs {' and '.join(missing)}, which is not installed here; "
            f"pip install {' '.join(missing)}"
        )
