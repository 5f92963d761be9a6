"""The small files of a checkpoint that transformers reads by itself, looked at before it does."""

from __future__ import annotations

from pathlib import Path

from llavit_lens.disk import has_file, read_json, read_text
from llavit_lens.errors import CheckpointError

_GENERATION_CONFIG = "generation_config.json"
_JSON = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "chat_template.json",
    _GENERATION_CONFIG,
)
_TEXT = ("merges.txt", "vocab.txt", "chat_template.jinja")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")
_BINARY = ("tokenizer.model", "spiece.model")
_LARGEST = 2**28
"""Bytes; tokenizers of 260,000 words have 35 MB."""


def generation_file(folder: Path) -> Path | None:
    """Its generation_config.json; None if there is none."""
    file = folder / _GENERATION_CONFIG
    return file if has_file(file, error=CheckpointError) else None


def require_tokenizer(folder: Path) -> None:
    """Refuse a folder without a tokenizer: transformers may make an empty one.

    Raises:
        CheckpointError: there is none.
    """
    if not any(has_file(folder / name, error=CheckpointError) for name in _TOKENIZERS):
        raise CheckpointError(
            f"{folder}: its tokenizer cannot be loaded, as it has none; fetch tokenizer.json or "
            "tokenizer.model"
        )


def check_small_files(folder: Path) -> None:
    """Refuse files of processor, tokenizer and generation that are no such files at all.

    Raises:
        CheckpointError: naming the first that is a pipe or a folder, cannot be read, is too large,
            is not in UTF-8, or holds no JSON object.
    """
    for name in _JSON:
        path = folder / name
        if has_file(path, error=CheckpointError):
            content = read_json(path, max_bytes=_LARGEST, error=CheckpointError)
            if not isinstance(content, dict):
                raise CheckpointError(f"{path}: holds no JSON object")
    for name in _TEXT:
        path = folder / name
        if has_file(path, error=CheckpointError):
            read_text(path, max_bytes=_LARGEST, error=CheckpointError)
    for name in _BINARY:
        has_file(folder / name, error=CheckpointError)
