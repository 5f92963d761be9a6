"""The processor and the tokenizer of a checkpoint folder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from llavit_lens.disk import has_file, read_json
from llavit_lens.errors import CheckpointError, LlavitLensError, one_line
from llavit_lens.model.checkpoints.detect import read_config
from llavit_lens.model.checkpoints.small_files import check_small_files, require_tokenizer
from llavit_lens.model.image_only import image_only, processor_class
from llavit_lens.model.quiet import quiet_transformers

_NAMING = (
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "tokenizer_config.json",
)
"""Files that may name the class of a processor, in transformers' order."""


def read_processor(name: str, folder: Path) -> Any:
    """The processor of a folder in transformers' format.

    Args:
        name: of the checkpoint, for messages.
        folder: where its files are.

    Without torchvision, or without files for them, it has no parts for videos and sound.

    Raises:
        CheckpointError: it cannot be loaded, naming the files; or its image processor needs
            torchvision, which is not installed.
    """
    check_small_files(folder)
    try:
        processor = _processor(folder)
    except LlavitLensError:
        raise
    except Exception as error:  # transformers may raise anything
        if find_spec("torchvision") is None and _is_for_torchvision(folder, error):
            raise CheckpointError(
                f"{name}: {_model_type(folder)}'s image processor needs torchvision, which is not "
                "installed here; install the torchvision that belongs to your PyTorch "
                "(https://pytorch.org/get-started), or take a model of another family"
            ) from error
        read_tokenizer(folder)  # a reason that names it, if it is the tokenizer
        raise CheckpointError(
            f"{name}: its processor cannot be loaded ({reason_of(error)}); compare its "
            "processor_config.json or preprocessor_config.json with the published checkpoint's"
        ) from error
    # transformers takes what it can find
    if not (hasattr(processor, "image_processor") and hasattr(processor, "tokenizer")):
        raise CheckpointError(
            f"{name}: has a {type(processor).__name__} and no processor for images; fetch its "
            "processor_config.json and preprocessor_config.json"
        )
    forget_origin(processor.tokenizer)
    return processor


def _processor(folder: Path) -> Any:
    """As transformers loads it; or for images alone, where what the other parts need is missing."""
    try:
        return AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception:  # transformers may raise anything
        own_class = processor_class(_class_name(folder) or "")
        if own_class is None:
            raise
    for_images: Any = image_only(own_class)
    return for_images.from_pretrained(folder, trust_remote_code=False)


def _is_for_torchvision(folder: Path, error: Exception) -> bool:
    """Whether the error says so, or the image processor is a name without a class here."""
    if "torchvision" in str(error).lower():
        return True
    names = [
        fields.get("image_processor_type")
        for file in _NAMING
        if has_file(folder / file, error=CheckpointError)
        for whole in [read_json(folder / file, error=CheckpointError)]
        for fields in (whole, whole.get("image_processor"))
        if isinstance(fields, dict)
    ]
    classes = [getattr(transformers, str(name), None) for name in names]
    return any(getattr(one, "is_dummy", False) for one in classes)


def _class_name(folder: Path) -> str | None:
    """The class of a folder's processor, where transformers looks for it."""
    for file in _NAMING:
        if has_file(folder / file, error=CheckpointError):
            named = read_json(folder / file, error=CheckpointError).get("processor_class")
            if isinstance(named, str):
                return named
    return PROCESSOR_MAPPING_NAMES.get(_model_type(folder))


def _model_type(folder: Path) -> str:
    return str(read_config(folder).get("model_type"))


def read_tokenizer(folder: Path, config: Any = None) -> Any:
    """The tokenizer of a folder; if `config` is given, its config.json is not read."""
    check_small_files(folder)
    require_tokenizer(folder)
    try:
        with quiet_transformers():  # it would warn of LLaVA's own model types
            tokenizer = AutoTokenizer.from_pretrained(
                folder, config=config, trust_remote_code=False
            )
    except Exception as error:  # transformers may raise anything
        raise CheckpointError(
            f"{folder}: its tokenizer cannot be loaded ({reason_of(error)}); compare "
            "tokenizer.json and tokenizer_config.json with the published checkpoint's"
        ) from error
    if tokenizer.pad_token is None:  # LLaVA's code pads with <unk>, or with the end of text
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    forget_origin(tokenizer)
    return tokenizer


def forget_origin(tokenizer: Any) -> None:
    """Drop what transformers notes of how it found a tokenizer: it would be saved with it."""
    for key in ("is_local", "local_files_only"):
        getattr(tokenizer, "init_kwargs", {}).pop(key, None)


def reason_of(error: Exception) -> str:
    """The class and the text of an error: the text of a KeyError is only the key."""
    return f"{type(error).__name__}: {one_line(error)}"
