"""Images for tests of all families, and what families make of them, computed once."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from family_cases import CASES
from PIL import Image

from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.vlm import VLM

WIDE, TALL = (150, 90), (64, 200)
"""(width, height) of two images of other shapes: rows and columns cannot be mistaken."""


def noise(size: tuple[int, int] = WIDE, seed: int = 0) -> Image.Image:
    """An image of noise: no two places of it are alike."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@cache
def read_only_vlm(name: str) -> VLM:
    """The VLM of a case, shared by tests that leave it as it is."""
    return CASES[name].vlm()


@cache
def read_only_trace(name: str) -> Trace:
    """Its trace of an image of noise."""
    return read_only_vlm(name).trace(noise(), CASES[name].prompt)


def first_state(vlm: VLM, prompt: Prompt) -> torch.Tensor:
    """What decoder layer 0 is given for a prompt: [seq, D]."""
    kept: list[torch.Tensor] = []

    def keep(module: Any, args: Any, kwargs: Any) -> None:
        kept.append(args[0] if args else kwargs["hidden_states"])

    handle = vlm.decoder.layers[0].register_forward_pre_hook(keep, with_kwargs=True)
    try:
        vlm.forward(prompt)
    finally:
        handle.remove()
    return kept[0][0]
