"""Load a checkpoint by name, whole or not at all."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    LlavaProcessor,
    PreTrainedConfig,
)
from transformers.utils import logging

from llavit_lens.errors import CheckpointError, ConfigurationError, LlavitLensError, one_line
from llavit_lens.model import (  # registers LLaViT with the Auto classes, too
    LlavitConfig,
    LlavitProcessor,
)
from llavit_lens.model.checkpoints.detect import detect, is_original
from llavit_lens.model.checkpoints.places import local_folder
from llavit_lens.model.checkpoints.source import open_source
from llavit_lens.model.processing import complete_processor
from llavit_lens.model.towers import token_settings
from llavit_lens.vlm.vlm import VLM

_TILING = ("mm_patch_merge_type", "image_grid_pinpoints")
_RESOLUTION = ("image_aspect_ratio", *_TILING)
_STRATEGY = "vision_feature_select_strategy"
DEMO_PREFIX = "demo:"
_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
_HUB_TIMEOUT_SECONDS = 10
_VISUAL_QKV = re.compile(r"\.self_attn\.[qkv]+_proj_visual\.(weight|bias)$")


def load(
    name: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    attn_implementation: str | None = None,
    base: str | Path | None = None,
    vision_tower: str | Path | None = None,
    **config_overrides: Any,
) -> VLM:
    """A model ready to trace.

    Args:
        name: `demo:NAME` (shipped with the package), a folder, or a Hub name `owner/name`.
        device: `auto` takes the GPU if there is one.
        dtype: `auto` is float32 on a CPU and the checkpoint's own on a GPU.
        attn_implementation: as in transformers; None leaves the choice to it.
        base: folder or Hub name of the language model, for a projector that LLaVA's own first stage
            left alone.
        vision_tower: folder or Hub name of the vision tower, for a checkpoint in LLaVA's original
            format; default: the one that it names.
        config_overrides: switches of the model's config, such as `visual_attention="none"`. The
            processor follows `image_aspect_ratio` and what belongs to it, and
            `vision_feature_select_strategy`.

    Raises:
        CheckpointError: there is no such model, its files are damaged, or its tensors are not
            those of the architecture. (Visual QKV start as copies where the override
            `separate_visual_qkv=True` asks for those that the checkpoint does not claim to have.)
        ConfigurationError: a device, dtype or override that makes no sense, or a model too large
            for the device.
    """
    place = _device(device)
    name = str(name)
    source = _resolve(name)
    options: dict[str, Any] = {"dtype": _dtype(dtype, place)}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    if _is_original(source):
        opened = open_source(checkpoint_folder(name), base, vision_tower)
        config, processor = opened.config, opened.processor
        _override(config, config_overrides, source)
        weights = {key: tensor.read() for key, tensor in opened.tensors.items()}
        model = _model(source, {**options, "config": config, "state_dict": weights}, False)
    else:
        if base is not None or vision_tower is not None:
            raise ConfigurationError(
                f"{name}: has its own language model and vision tower; leave out base and "
                "vision_tower"
            )
        config = _config(source)
        has_visual_qkv = getattr(config, "separate_visual_qkv", False)
        _override(config, config_overrides, source)
        model = _model(source, {**options, "config": config}, has_visual_qkv)
        with source.loading("processor"):
            processor = AutoProcessor.from_pretrained(source.path, **source.access)
            complete_processor(processor, config)
    _follow(processor, config, config_overrides, source)
    revision = getattr(config, "_commit_hash", None)
    try:
        model.to(place)
    except (RuntimeError, TypeError) as error:  # its memory, or a dtype that it does not have
        raise ConfigurationError(
            f"{name}: cannot be put on device '{place}'; choose dtype='bfloat16' or device='cpu' "
            f"({one_line(error)})"
        ) from None
    return VLM(model, processor, name, revision)


def demo_names() -> list[str]:
    """The demo checkpoints shipped with the package, as `load` takes them."""
    return [f"{DEMO_PREFIX}{name}" for name in sorted(_demo_folders())]


def _demo_folders() -> dict[str, Path]:
    root = Path(str(files("llavit_lens"))) / "assets" / "checkpoints"
    return {path.parent.name: path.parent for path in root.glob("*/config.json")}


@dataclass(frozen=True)
class _Source:
    """Where a checkpoint's files come from."""

    name: str
    """As the user wrote it, for messages."""
    path: str
    """A folder or a Hub name."""
    access: dict[str, Any]
    """Arguments for every `from_pretrained`: code from a checkpoint is never run."""

    @contextmanager
    def loading(self, part: str) -> Iterator[None]:
        """Turns whatever goes wrong inside into one line."""
        try:
            yield
        except LlavitLensError:
            raise
        except OSError as error:
            if Path(self.path).is_dir():
                raise self._fault(part, error) from None
            reason = (
                f"the Hugging Face Hub gives no {part} of it (gated, or not made for transformers)"
            )
            if self.access["local_files_only"]:
                reason = (
                    f"the Hugging Face Hub cannot be reached, and its cache here holds no {part}"
                )
            raise CheckpointError(f"{self.name}: no such folder here; {reason}") from None
        except Exception as error:  # whatever transformers and the file formats may raise
            raise self._fault(part, error) from None

    def _fault(self, part: str, error: Exception) -> CheckpointError:
        damaged = _damaged_file(Path(self.path))
        if damaged is not None:
            return CheckpointError(f"{self.name}: {damaged} is damaged or cut off; fetch it again")
        return CheckpointError(f"{self.name}: its {part} cannot be loaded ({one_line(error)})")


def _resolve(name: str) -> _Source:
    local = {"trust_remote_code": False, "local_files_only": True}
    if name.startswith(DEMO_PREFIX):
        folder = _demo_folders().get(name.removeprefix(DEMO_PREFIX))
        if folder is None:
            known = ", ".join(demo_names()) or "none in this installation"
            raise CheckpointError(f"{name}: no such demo checkpoint; there are: {known}")
        return _Source(name, str(folder), local)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            detect(path)  # says what is wrong with it
        return _Source(name, str(path), local)
    if path.exists():
        raise CheckpointError(f"{name}: is a file; give the checkpoint's folder")
    if not _HUB_NAME.fullmatch(name):
        raise CheckpointError(f"{name}: no such folder, and not a Hub name (owner/name)")
    return _Source(name, name, {**local, "local_files_only": not _on_the_hub(name)})


def _on_the_hub(name: str) -> bool:
    """False where the Hub cannot be reached, found out at once and not by each file's retries."""
    try:
        HfApi().model_info(name, timeout=_HUB_TIMEOUT_SECONDS)
    except (RepositoryNotFoundError, HFValidationError):
        raise CheckpointError(
            f"{name}: no such folder here, and no such model on the Hugging Face Hub"
        ) from None
    except Exception:  # no connection, in one of many words
        return False
    return True


def checkpoint_folder(name: str | Path) -> Path:
    """The local folder of whatever `load` takes; a Hub repository is fetched.

    Raises:
        CheckpointError: there is no such model.
    """
    return local_folder(_resolve(str(name)).path, "a LLaVA or LLaViT checkpoint")


def _is_original(source: _Source) -> bool:
    with source.loading("configuration"), _quiet():  # it finds original types unexpected
        fields, _ = PreTrainedConfig.get_config_dict(source.path, **source.access)
    return is_original(fields)


def _config(source: _Source) -> Any:
    with source.loading("configuration"):
        config = AutoConfig.from_pretrained(source.path, **source.access)
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise CheckpointError(
            f"{source.name}: a {config.model_type} model does not take images with text"
        )
    return config


def _override(config: Any, overrides: dict[str, Any], source: _Source) -> None:
    known = config.to_dict()  # not all attributes: others are methods, or follow from these
    unknown = [key for key in overrides if key not in known]
    if unknown:
        raise ConfigurationError(
            f"{source.name}: a {config.model_type} model has no switch {', '.join(unknown)}"
        )
    try:
        for key, value in overrides.items():
            setattr(config, key, value)
        config.validate()
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{source.name}: {one_line(error)}") from None
    idle = [key for key in _TILING if key in overrides]
    if idle and not getattr(config, "has_tiles", True):
        raise ConfigurationError(
            f"{source.name}: {', '.join(idle)} would change nothing without tiles; set "
            "image_aspect_ratio='anyres' too"
        )
    if "vision_feature_layer" in overrides:
        chosen, depth = config.vision_feature_layer, config.vision_config.num_hidden_layers
        layers = [chosen] if isinstance(chosen, int) else list(chosen)
        if not layers or not all(-depth - 1 <= layer <= depth for layer in layers):
            raise ConfigurationError(
                f"{source.name}: vision_feature_layer={chosen!r}, but the vision tower has layers "
                f"0 to {depth}, or -{depth + 1} to -1"
            )


def _follow(processor: Any, config: Any, overrides: dict[str, Any], source: _Source) -> None:
    """Pixels and number of image tokens as the overridden config wants them."""
    if any(key in _RESOLUTION for key in overrides):
        if isinstance(processor, LlavitProcessor):
            processor.set_resolution(config)
        elif isinstance(config, LlavitConfig):
            raise ConfigurationError(
                f"{source.name}: has a {type(processor).__name__}, which takes pictures in one way "
                f"only; leave out {', '.join(key for key in _RESOLUTION if key in overrides)}, or "
                "save a LlavitProcessor beside the model"
            )
    if _STRATEGY in overrides:
        if not isinstance(processor, LlavaProcessor):
            raise ConfigurationError(
                f"{source.name}: its {type(processor).__name__} cannot follow {_STRATEGY}; leave "
                "it out"
            )
        for key, value in token_settings(config).items():
            setattr(processor, key, value)


def _model(source: _Source, options: dict[str, Any], has_visual_qkv: bool) -> Any:
    # an original's weights are given, under the names that its class has for them
    given = "state_dict" in options
    model_class: Any = AutoModelForImageTextToText
    if given:
        model_class = AutoModelForImageTextToText._model_mapping[type(options["config"])]
    with source.loading("weights"), _quiet():  # `_check_keys` says in one line what would be a page
        loaded: Any = model_class.from_pretrained(
            None if given else source.path,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `_check_keys` names them
            **source.access,
            **options,
        )
    model, report = loaded
    _check_keys(model, report, source.name, has_visual_qkv)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers' warnings off; its progress bar too where nobody watches."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _check_keys(model: Any, report: dict[str, Any], name: str, has_visual_qkv: bool) -> None:
    missing = set(report["missing_keys"])
    visual_qkv = {key for key in model.state_dict() if _VISUAL_QKV.search(key)}
    if not has_visual_qkv and visual_qkv <= missing:
        missing -= visual_qkv  # they have been copied from the text ones (Eq. 6)
    faults = {
        "missing": list(missing),
        "foreign": list(report["unexpected_keys"]),
        "of another shape": [
            f"{key} ({list(found)} instead of {list(wanted)})"
            for key, found, wanted in report["mismatched_keys"]
        ],
    }
    found = [f"{kind}: {_listed(keys)}" for kind, keys in faults.items() if keys]
    if found:
        raise CheckpointError(
            f"{name}: the weights do not fit the architecture; {'; '.join(found)}"
        )


def _listed(keys: list[str], most: int = 5) -> str:
    shown = ", ".join(sorted(keys)[:most])
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more"


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except Exception as error:  # every backend has an exception of its own
        raise ConfigurationError(
            f"device {device!r}: torch cannot use it on this machine ({one_line(error)})"
        ) from None
    if place.type == "meta":
        raise ConfigurationError(f"device {device!r} holds no weights; choose 'cpu' or 'cuda'")
    return place


def _dtype(dtype: str | torch.dtype, place: torch.device) -> str | torch.dtype:
    if dtype == "auto":
        return torch.float32 if place.type == "cpu" else "auto"
    named = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(named, torch.dtype) or not named.is_floating_point:
        raise ConfigurationError(f"dtype {dtype!r}: choose float32, bfloat16 or float16")
    return named


def _damaged_file(folder: Path) -> str | None:
    """The first weight file whose header and length do not agree."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError):
            return path.name
    return None
