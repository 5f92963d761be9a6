"""What kind of checkpoint a folder holds, by its files alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from llavit_lens.disk import has_file, read_json
from llavit_lens.errors import CheckpointError
from llavit_lens.model.checkpoints.weights import find_weight_files

PROJECTOR_FILE = "mm_projector.bin"
_LORA_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "adapter_model.bin",
    "non_lora_trainables.bin",
)
HUGGING_FACE_TYPES = ("llava", "llava_next", "llavit")
"""`model_type` of what is made for transformers; an original LLaVA may say "llava" too."""


class Format(StrEnum):
    """How a checkpoint is laid out."""

    HUGGING_FACE = "Hugging Face"
    """Made for transformers' LLaVA or LLaVA-NeXT, or for LLaViT, under any of their key names."""
    ORIGINAL = "original LLaVA"
    """Made by LLaVA's own code; the vision tower may be somewhere else."""
    PROJECTOR = "LLaVA projector"
    """What LLaVA's own first stage leaves: a projector, and no language model."""


@dataclass(frozen=True)
class CheckpointFolder:
    """A checkpoint folder and its format.

    Attributes:
        path: the folder.
        format: how it is laid out.
        fields: its config.json.
        weight_files: where its weights are.
    """

    path: Path
    format: Format
    fields: dict[str, Any]
    weight_files: tuple[Path, ...]


def detect(folder: Path) -> CheckpointFolder:
    """The format of a checkpoint folder.

    Folders of LLaVA's own code have `mm_vision_tower` in their configuration; `model_type` is
    "llava" in transformers' folders too.

    Raises:
        CheckpointError: the folder is no LLaVA checkpoint, or of a kind that is not supported.
    """
    lora = [name for name in _LORA_FILES if has_file(folder / name, error=CheckpointError)]
    if lora:
        raise CheckpointError(
            f"{folder}: is a LoRA adapter ({lora[0]}); merge it into its base model first, with "
            "LLaVA's merge_lora_weights.py or peft's merge_and_unload"
        )
    fields = read_config(folder)
    if fields.get("quantization_config"):
        raise CheckpointError(
            f"{folder}: is quantized; take the checkpoint in float32, float16 or bfloat16"
        )
    files = tuple(find_weight_files(folder))
    if is_original(fields):
        if files:
            # mm_projector.bin beside a whole model is a leftover that LLaVA's code ignores too
            return CheckpointFolder(folder, Format.ORIGINAL, fields, files)
        projector = folder / PROJECTOR_FILE
        if has_file(projector, error=CheckpointError):
            return CheckpointFolder(folder, Format.PROJECTOR, fields, (projector,))
    elif fields.get("model_type") not in HUGGING_FACE_TYPES:
        raise CheckpointError(
            f"{folder}: a {fields.get('model_type')} model is neither LLaVA nor LLaViT"
        )
    if not files:
        raise CheckpointError(
            f"{folder}: holds no weights (model.safetensors, pytorch_model.bin or their shards)"
        )
    return CheckpointFolder(folder, Format.HUGGING_FACE, fields, files)


def is_llava(folder: Path) -> bool:
    """Whether `detect` reads or refuses a folder; False for models of other kinds."""
    if not has_file(folder / "config.json", error=CheckpointError):
        return True
    fields = read_config(folder)
    return is_original(fields) or fields.get("model_type") in HUGGING_FACE_TYPES


def is_original(fields: dict[str, Any]) -> bool:
    """Whether a config.json was written by LLaVA's own code."""
    return "mm_vision_tower" in fields


def read_config(folder: Path) -> dict[str, Any]:
    """The fields of config.json; CheckpointError if there are none."""
    path = folder / "config.json"
    if not has_file(path, error=CheckpointError):
        raise CheckpointError(f"{folder}: the folder has no config.json, so it is no checkpoint")
    fields = read_json(path, error=CheckpointError)
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path}: holds no JSON object")
    return fields
