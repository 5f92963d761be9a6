"""How much memory models take, and how much of it they may take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from llavit_lens.vlm.trace import Trace
    from llavit_lens.vlm.vlm import VLM

_UNKNOWN_MEMORY = 16 * 1024**3


def room_for_models() -> int:
    """Bytes that loaded models may take: half of the GPU's memory; without a GPU, half of all."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory // 2
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return _UNKNOWN_MEMORY // 2


def model_bytes(vlm: VLM) -> int:
    """Of all weights; those that two modules share count once."""
    return sum(x.nbytes for x in (*vlm.model.parameters(), *vlm.model.buffers()))


def vocabularies(trace: Trace) -> dict[int, int]:
    """The matrices of a model that a trace refers to: bytes of each, by its address."""
    return {x.data_ptr(): x.nbytes for x in (trace.readout.unembedding, trace.readout.embedding)}


def expected_bytes(folder: Path, dtype: str, on_cpu: bool) -> int:
    """Bytes of a model that is not loaded yet, from its files: an upper bound.

    Weights of 16 bits double when they become float32: if `dtype` says so, and by default on a CPU.
    """
    weights = [p for kind in ("*.safetensors", "*.bin") for p in folder.glob(kind)]
    wider = dtype == "float32" or (dtype == "auto" and on_cpu)
    return sum(p.stat().st_size for p in weights) * (2 if wider else 1)
