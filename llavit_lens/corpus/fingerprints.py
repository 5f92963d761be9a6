"""Checksums of a model: whether a scan that goes on still uses the one that it was begun with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_SAMPLE = 251
"""Bytes of each weight that count by their place; all of them count in a sum."""

_NOT_THE_MODEL = ("_name_or_path", "_commit_hash", "transformers_version", "dtype", "torch_dtype")
"""Entries of a configuration that say where it lies, or with what it is run."""


def model_fingerprint(model: Any) -> str:
    """16 hex digits of the configuration and the weights, on any device. Reads all of them once.

    A weight that is not in memory, or of a kind that shows no numbers, counts by name and shape.
    """
    digest = hashlib.sha256(_json(_without_places(model.config.to_dict())).encode())
    for name, tensor in _tensors(model):
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(_numbers(tensor))
    return digest.hexdigest()[:16]


def processor_fingerprint(processor: Any, options: dict[str, Any]) -> str:
    """16 hex digits of what a processor does to images.

    Args:
        processor: of the model.
        options: what it is called with (`VLM.processor_options`).
    """
    images: Any = getattr(processor, "image_processor", None)
    described = images.to_dict() if hasattr(images, "to_dict") else {}
    return hashlib.sha256(_json([described, options]).encode()).hexdigest()[:16]


def _tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _numbers(tensor: Tensor) -> bytes:
    """The sum of all bytes, eight at a time, which is the same in any order; and a sample."""
    try:
        data = tensor.detach().flatten().view(torch.uint8)
        data = data.clone() if data.storage_offset() % 8 else data  # eights have to be aligned
        eights = len(data) // 8 * 8
        total = int(data[:eights].view(torch.int64).sum())
        sample = data[:: max(1, len(data) // _SAMPLE)][:_SAMPLE]
        return f"{total} {sample.tolist()} {data[eights:].tolist()}".encode()
    except Exception:  # on the meta device, sparse, packed by a library of its own
        return b"?"


def _without_places(entry: Any) -> Any:
    if isinstance(entry, dict):
        kept = {str(name): value for name, value in entry.items() if name not in _NOT_THE_MODEL}
        return {name: _without_places(value) for name, value in kept.items()}
    return entry


def _json(content: Any) -> str:
    """What has no form in JSON counts by its type: its text may hold an address."""
    return json.dumps(content, sort_keys=True, default=lambda value: type(value).__name__)
