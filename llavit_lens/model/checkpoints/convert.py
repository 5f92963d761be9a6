"""Conversion of a checkpoint folder, shard by shard.

Peak memory is that of the source shard being read, mapped from disk, and of the shard being
written, half as large: less than twice the largest shard of the source. Only a table
of word embeddings that fills its shard, and grows by a row for `<image>`, needs twice, and the row.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import split_state_dict_into_shards_factory
from rich.console import Console
from rich.progress import track
from transformers import AutoModelForImageTextToText, GenerationConfig

from llavit_lens.disk import shown, user_path
from llavit_lens.errors import CheckpointError, one_line
from llavit_lens.inputs import check_new_folder
from llavit_lens.model.agreement import check_agreement
from llavit_lens.model.checkpoints.card import model_card
from llavit_lens.model.checkpoints.source import Source, open_source
from llavit_lens.model.checkpoints.target import Target, retarget
from llavit_lens.model.checkpoints.weights import LazyTensor
from llavit_lens.model.checkpoints.writing import (
    NotWritten,
    begin,
    finish,
    write_tensors,
    write_text,
)
from llavit_lens.version import __version__

LARGEST_SHARD = 5_000_000_000
SMALLEST_LIMIT = 16_000_000
"""Bytes of a shard: no more than the first, and no limit below the second."""


def convert(
    folder: Path,
    out: Path,
    to: str = "llavit",
    separate_visual_qkv: bool | None = None,
    visual_attention: str | None = None,
    vision_feature_layer: int | list[int] | None = None,
    base: str | Path | None = None,
    vision_tower: str | Path | None = None,
) -> Target:
    """Write a checkpoint of any LLaVA format as a Hugging Face folder.

    Nothing is written before names, shapes and types of all weights are checked. Stopped at any
    moment, `out` is not there, and the same call goes on from the last complete shard.

    Args:
        folder: of the checkpoint.
        out: a folder that does not exist, or is empty.
        to, separate_visual_qkv, visual_attention, vision_feature_layer: as in `retarget`.
        base, vision_tower: as in `open_source`.

    Returns:
        What was written.

    Raises:
        CheckpointError, ConfigurationError: as `open_source`, `retarget` and
            `check_new_folder`; or the disk is full.
    """
    folder = user_path(folder, what="the checkpoint", error=CheckpointError)
    out = user_path(out, what="the folder to write").absolute()  # `.` has no name of its own
    check_new_folder(out)
    source = open_source(folder, base, vision_tower)
    check_agreement(source.config, source.processor, str(folder))
    target = retarget(source, to, separate_visual_qkv, visual_attention, vision_feature_layer)
    model_class: Any = AutoModelForImageTextToText._model_mapping[type(target.config)]
    target.config.architectures = [model_class.__name__]
    shards = _plan(target.tensors)
    try:
        part = begin(out, _record(source, target, to), shards)
        console = Console(stderr=True)
        watched = console.is_terminal
        for name, keys in track(shards.items(), "Converting", console=console, disable=not watched):
            write_tensors(part / name, {key: target.tensors[key] for key in keys})
        _write_the_rest(part, source, target, to, shards)
        finish(part, out)
    except NotWritten as error:
        raise CheckpointError(f"{error}; run again to go on") from error
    except OSError as error:
        raise CheckpointError(
            f"cannot write {shown(out)}: {one_line(error)}; run again to go on"
        ) from error
    return target


def _plan(tensors: dict[str, LazyTensor]) -> dict[str, list[str]]:
    """Keys of each file to write, so that each source file is opened once, one after another."""
    sizes: dict[Path, int] = {}
    for tensor in tensors.values():
        sizes.setdefault(tensor.file, tensor.file.stat().st_size)
    order = {file: index for index, file in enumerate(sizes)}
    limit = min(LARGEST_SHARD, max(SMALLEST_LIMIT, max(sizes.values()) // 2))
    split = split_state_dict_into_shards_factory(
        dict(sorted(tensors.items(), key=lambda item: order[item[1].file])),
        get_storage_size=lambda tensor: tensor.nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=limit,
    )
    return split.filename_to_tensors


def _record(source: Source, target: Target, to: str) -> dict[str, str]:
    """What is written, and a hash of everything that it depends on."""
    files = sorted({tensor.file for tensor in target.tensors.values()})
    depends_on = {
        "version": __version__,
        "files": [
            (str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files
        ],
        "tensors": [
            (key, tensor.shape, str(tensor.dtype)) for key, tensor in target.tensors.items()
        ],
        "config": target.config.to_json_string(use_diff=False),
    }
    fingerprint = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
    return {
        "llavit_lens": __version__,
        "source": source.name,
        "format": source.format.value,
        "to": to,
        "fingerprint": fingerprint,
    }


def _write_the_rest(
    part: Path, source: Source, target: Target, to: str, shards: dict[str, list[str]]
) -> None:
    """Index, configuration, processor and card: small, and written again by every run."""
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in target.tensors.values())
        weight_map = {key: name for name, keys in shards.items() for key in keys}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        write_text(part / "model.safetensors.index.json", json.dumps(index, indent=2) + "\n")
    target.config.save_pretrained(part)
    target.processor.save_pretrained(part)
    if source.generation is not None:
        shutil.copyfile(source.generation, part / "generation_config.json")
    else:
        GenerationConfig.from_model_config(target.config).save_pretrained(part)
    write_text(part / "README.md", model_card(source, target, to, __version__))
