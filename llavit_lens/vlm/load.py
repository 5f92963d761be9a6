"""Load a checkpoint by name, whole or not at all; or take a model that is loaded already.

LLaVA and LLaViT, in any format, are opened as conversion opens them, and refused for the same
reasons. transformers loads models of other kinds, and those that are quantized on disk; what it
reports about their keys is checked.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    GenerationConfig,
)

from llavit_lens import inputs
from llavit_lens.disk import has_file
from llavit_lens.errors import CheckpointError, ConfigurationError, LlavitLensError, one_line
from llavit_lens.model import progress
from llavit_lens.model.chat import take_template
from llavit_lens.model.checkpoints.detect import is_llava, is_original, read_config
from llavit_lens.model.checkpoints.hub import local_folder
from llavit_lens.model.checkpoints.key_names import refuse_faults
from llavit_lens.model.checkpoints.processors import read_processor
from llavit_lens.model.checkpoints.sizes import check_sizes
from llavit_lens.model.checkpoints.small_files import check_small_files, generation_file
from llavit_lens.model.checkpoints.source import Source, empty_model, open_source
from llavit_lens.model.checkpoints.weights import LazyTensor, Reader, find_weight_files
from llavit_lens.model.quiet import quiet_transformers
from llavit_lens.steps import READ
from llavit_lens.vlm.attention_choice import of_decoder
from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.families.refused import refuse_unreadable
from llavit_lens.vlm.hugging_face import take_arguments
from llavit_lens.vlm.loaded_already import loaded_already, own_processor
from llavit_lens.vlm.overrides import override
from llavit_lens.vlm.validate import validate
from llavit_lens.vlm.vlm import VLM

_VISUAL_QKV = re.compile(r"\.self_attn\.[qkv]+_proj_visual\.(weight|bias)$")


def load(
    name: str | Path | Any,
    *,
    processor: Any = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    attn_implementation: str | None = None,
    base: str | Path | None = None,
    vision_tower: str | Path | None = None,
    revision: str | None = None,
    **config_overrides: Any,
) -> VLM:
    """A model ready to trace.

        ll.load("demo:llavit")
        ll.load("owner/name", device_map="auto")
        ll.load(model, processor=processor)

    Args:
        name: `demo:NAME` (shipped with the package), a folder, or a Hub name `owner/name`; or a
            model of transformers that is loaded already, whatever was done to it since: with an
            adapter of PEFT, quantized, on several devices, changed. It is taken as it is, and no
            argument but `processor` goes with it.
        processor: to use instead of the checkpoint's own: a processor, a folder or a Hub name.
        device: `auto` takes the GPU if there is one.
        dtype: `auto` is float32 on a CPU and the checkpoint's own on a GPU.
        attn_implementation: as in transformers; None leaves the choice to it. Towers that do not
            have it keep their own.
        base: folder or Hub name of the language model, for a projector that LLaVA's own first stage
            left alone.
        vision_tower: folder or Hub name of the vision tower, for a checkpoint in LLaVA's original
            format; default: the one that it names.
        revision: commit, branch or tag of a repository on the Hub; default: its main branch.
        config_overrides: switches of the model's config, such as `visual_attention="none"`. The
            processor follows `image_aspect_ratio`, the other fields about resolution, and
            `vision_feature_select_strategy`. Of transformers' own arguments `torch_dtype`,
            `device_map` with `max_memory`, `offload_folder` and `offload_buffers`, and
            `quantization_config` are taken; errors say what to do instead of the others.

    Raises:
        CheckpointError: there is no such model, its files are damaged, or its tensors are not
            those of the architecture; or its image processor needs torchvision, which is not
            installed. (Visual QKV start as copies where the override `separate_visual_qkv=True`
            asks for those that the checkpoint does not claim to have.)
        ConfigurationError: a type of model that cannot be read; a device, dtype or override that
            makes no sense, a model too large for the device, a package that is missing, or a
            release of transformers, newer than any tested, with which LLaViT computes something
            else.
    """
    if not isinstance(name, str | Path):
        changes = {
            "device": device != "auto",
            "dtype": dtype != "auto",
            "attn_implementation": attn_implementation is not None,
            "base": base is not None,
            "vision_tower": vision_tower is not None,
            "revision": revision is not None,
            **dict.fromkeys(config_overrides, True),
        }
        return loaded_already(name, processor, [key for key, given in changes.items() if given])
    name = str(name)
    arguments = take_arguments(name, config_overrides, device, dtype)
    target = _device(arguments.device)
    folder = checkpoint_folder(name, revision)
    options = {"dtype": _dtype(arguments.dtype, target), **arguments.options}
    if processor is not None:
        processor = own_processor(processor)
    if _is_source(folder):
        source = open_source(folder, base, vision_tower)
        config, processor = source.config, processor or source.processor
        _settle(config, processor, config_overrides, name)
        _place(options, config, target)
        _choose_attention(options, config, attn_implementation)
        model = _of_source(name, source, options)
        model.name_or_path = model.config.name_or_path = str(folder)  # as transformers would
    else:
        if base is not None or vision_tower is not None:
            raise ConfigurationError(f"{name}: is no LLaVA; leave out base and vision_tower")
        config = _config(name, folder)
        if processor is None:
            processor = read_processor(name, folder)
            take_template(processor, name)
        family_of(config).complete_processor(processor, config)
        _settle(config, processor, config_overrides, name)
        _place(options, config, target)
        _choose_attention(options, config, attn_implementation)
        model = _of_transformers(name, folder, config, options)
    if "device_map" not in options:
        _move(model, target, name)
    # The Hub's cache keeps every commit in a folder of its own.
    commit = folder.name if folder.parent.name == "snapshots" else None
    return VLM(model, processor, name, commit, validated=True)


def demo_names() -> list[str]:
    """The demo checkpoints shipped with the package, as `load` takes them."""
    return [f"{inputs.DEMO_PREFIX}{name}" for name in sorted(inputs.demo_folders())]


def checkpoint_folder(name: str | Path, revision: str | None = None) -> Path:
    """The local folder of any name that `load` takes; a Hub repository is fetched.

    Raises:
        CheckpointError: there is no such model, or no such revision of it.
        ConfigurationError: a revision of something that is not on the Hub.
    """
    if inputs.is_demo(name):
        if revision is not None:
            raise ConfigurationError(
                f"{name}: revision={revision!r} is for models on the Hub; leave it out"
            )
        return inputs.demo_folder(name)
    return local_folder(name, "a vision-language model", revision)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds no model, as far as this can be seen before weights are read.

    Raises:
        LlavitLensError: as `load` would refuse it.
    """
    name = str(folder)
    if _is_source(folder):
        source = open_source(folder)
        config, processor = source.config, source.processor
    else:
        config, processor = _config(name, folder), read_processor(name, folder)
        family_of(config).complete_processor(processor, config)
    validate(config, processor, name)


def vocabulary_size(name: str | Path) -> int | None:
    """Word embeddings of a model, without its weights; None if its config.json does not say.

    Raises:
        CheckpointError: as `checkpoint_folder`; or its config.json cannot be read.
    """
    fields = read_config(checkpoint_folder(name))
    text = fields.get("text_config")
    size = (text if isinstance(text, dict) else fields).get("vocab_size")
    return size if type(size) is int else None


def _settle(config: Any, processor: Any, overrides: dict[str, Any], name: str) -> None:
    """Apply the overrides to both, and validate them before the weights are read."""
    override(config, processor, overrides, name)
    validate(config, processor, name)


def _is_source(folder: Path) -> bool:
    """Whether a folder is opened as conversion opens it: a LLaVA, but none that is quantized, which
    transformers alone can read."""
    if not is_llava(folder):
        return False
    if not has_file(folder / "config.json", error=CheckpointError):
        return True  # to say what is missing
    fields = read_config(folder)
    return is_original(fields) or not fields.get("quantization_config")


def _place(options: dict[str, Any], config: Any, target: torch.device) -> None:
    """Have a quantized model made where it will be: not all kinds can be moved afterwards."""
    quantized = "quantization_config" in options or getattr(config, "quantization_config", None)
    if quantized and "device_map" not in options and find_spec("accelerate") is not None:
        options["device_map"] = {"": str(target)}


def _choose_attention(options: dict[str, Any], config: Any, implementation: str | None) -> None:
    """Ask for an implementation: in the whole model, or, if not all parts have it, the decoder."""
    if implementation is None:
        return
    options["attn_implementation"] = implementation
    try:
        with torch.device("meta"):
            AutoModelForImageTextToText.from_config(
                deepcopy(config), attn_implementation=implementation
            )
    except ValueError:  # what the decoder itself has not, transformers says when it is loaded
        options["attn_implementation"] = of_decoder(config, implementation)


def _of_source(name: str, source: Source, options: dict[str, Any]) -> Any:
    """The model of a checkpoint; its weights are known to be exactly those of its own config."""
    model_class: Any = AutoModelForImageTextToText._model_mapping[type(source.config)]
    generation = _generation_config(name, source.generation)
    weights = _read(source)
    with (
        _loading(name, None, "weights"),
        quiet_transformers(bars=sys.stderr.isatty()),
        progress.weights_bar(),
    ):
        model, report = model_class.from_pretrained(
            None,
            config=source.config,
            state_dict=weights,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `_check_keys` names them
            **options,
        )
        if generation is not None:
            model.generation_config = generation
    missing = set(report["missing_keys"])
    visual_qkv = {key for key in model.state_dict() if _VISUAL_QKV.search(key)}
    if visual_qkv <= missing:  # the override separate_visual_qkv=True: copies of the text ones
        report["missing_keys"] = missing - visual_qkv
    _check_keys(report, name)
    return model


def _generation_config(name: str, file: Path | None) -> GenerationConfig | None:
    if file is None:
        return None
    try:
        return GenerationConfig.from_pretrained(file.parent)
    except Exception as error:  # transformers may raise anything over its values
        raise CheckpointError(
            f"{name}: its {file.name} makes no sense ({one_line(error)}); correct or delete it"
        ) from error


def _read(source: Source) -> dict[str, torch.Tensor]:
    total, done = sum(tensor.nbytes for tensor in source.tensors.values()), 0
    weights: dict[str, torch.Tensor] = {}
    for key, tensor in source.tensors.items():
        progress.report(READ, done, total)
        weights[key] = tensor.read()
        done += tensor.nbytes
    return weights


def _config(name: str, folder: Path) -> Any:
    fields = read_config(folder)
    quantized = "quantization_config" in fields  # in types that transformers alone knows
    tensors = {} if quantized else Reader().open(find_weight_files(folder))
    check_sizes(name, fields, tensors)
    with _loading(name, folder, "configuration"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    refuse_unreadable(config, name)
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise CheckpointError(f"{name}: a {config.model_type} model does not take images with text")
    check_small_files(folder)
    _generation_config(name, generation_file(folder))  # transformers would blame the weights
    _check_count(name, config, tensors)
    return config


def _check_count(name: str, config: Any, tensors: Mapping[str, LazyTensor]) -> None:
    """Refuse a model of many more numbers than its files hold: transformers would invent them."""
    with _loading(name, None, "configuration"):
        described = sum(parameter.numel() for parameter in empty_model(config).parameters())
    held = sum(math.prod(tensor.shape) for tensor in tensors.values())
    if held and described > 2 * held:
        raise CheckpointError(
            f"{name}: its config.json describes {described:,} weights, and its files hold "
            f"{held:,}; they do not belong together"
        )


def _of_transformers(name: str, folder: Path, config: Any, options: dict[str, Any]) -> Any:
    """A model of another kind than LLaVA."""
    with (
        _loading(name, folder, "weights"),
        quiet_transformers(bars=sys.stderr.isatty()),
        progress.weights_bar(),
    ):
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder,
            config=config,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `_check_keys` names them
            **options,
        )
    model, report = loaded
    _check_keys(report, name)
    return model


@contextmanager
def _loading(name: str, folder: Path | None, part: str) -> Iterator[None]:
    """Turns any error of transformers or of a file format inside into one line."""
    try:
        yield
    except LlavitLensError:
        raise
    except Exception as error:
        damaged = None if folder is None else _damaged_file(folder)
        if damaged is not None:
            raise CheckpointError(
                f"{name}: {damaged} is damaged or cut off; fetch it again"
            ) from error
        raise CheckpointError(f"{name}: its {part} cannot be loaded ({one_line(error)})") from error


def _check_keys(report: dict[str, Any], name: str) -> None:
    """Raise CheckpointError unless transformers' loading report is clean."""
    faults = {
        "missing": list(report["missing_keys"]),
        "foreign": list(report["unexpected_keys"]),
        "of another shape": [
            f"{key} ({list(shape)} instead of {list(expected)})"
            for key, shape, expected in report["mismatched_keys"]
        ],
    }
    refuse_faults(name, faults)


def _move(model: Any, device: torch.device, name: str) -> None:
    try:
        model.to(device)
    except (RuntimeError, TypeError) as error:  # its memory, or a dtype that it does not have
        raise ConfigurationError(
            f"{name}: cannot be put on device '{device}'; choose dtype='bfloat16' or device='cpu' "
            f"({one_line(error)})"
        ) from error


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        usable = torch.device(device)
        torch.empty(1, device=usable)
    except Exception as error:  # every backend has an exception of its own
        raise ConfigurationError(
            f"device {device!r}: torch cannot use it on this machine ({one_line(error)})"
        ) from error
    if usable.type == "meta":
        raise ConfigurationError(f"device {device!r} holds no weights; choose 'cpu' or 'cuda'")
    return usable


def _dtype(dtype: str | torch.dtype, device: torch.device) -> str | torch.dtype:
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    named = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(named, torch.dtype) or not named.is_floating_point:
        raise ConfigurationError(f"dtype {dtype!r}: choose float32, bfloat16 or float16")
    return named


def _damaged_file(folder: Path) -> str | None:
    """The first weight file with a header that does not agree with its length."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError):
            return path.name
    return None
