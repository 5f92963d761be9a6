"""The processor and the tokenizer of a checkpoint folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoProcessor, AutoTokenizer

from llavit_lens.errors import CheckpointError, one_line
from llavit_lens.model.checkpoints.small_files import check_small_files, require_tokenizer
from llavit_lens.model.quiet import quiet_transformers


def read_processor(name: str, folder: Path) -> Any:
    """The processor of a folder in transformers' format.

    Args:
        name: of the checkpoint, for messages.
        folder: where its files are.

    Raises:
        CheckpointError: it cannot be loaded, naming the files.
    """
    check_small_files(folder)
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers may raise anything
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
