"""In every family: the box of a token is the place that it shows.

A token's box is painted bright in a plain image. Of all tokens of its tile, the state of that one
must change most before the first decoder layer. No patch sees another in these vision towers.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from family_cases import CASES, READ
from family_images import TALL, WIDE, first_state
from PIL import Image

from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.vlm import VLM

PLAIN, BRIGHT = (110, 120, 130), (255, 30, 20)
INNER = 0.7
TOKENS = 6
_PROJECTIONS = ("out_proj", "o_proj", "proj", "dense", "wo", "output", "projection_layer")
MAPPED = [name for name in READ if CASES[name].kind not in ("no map", "codes")]


@torch.no_grad()
def silence_tower(vlm: VLM) -> None:
    """Let no patch see another: every attention outside the decoder puts out nothing, but for one
    that pools patches, and convolutions that overlap read their own cell alone."""
    decoder = set(vlm.decoder.module.modules())
    for name, module in vlm.model.named_modules():
        if module in decoder:
            continue
        kind = type(module).__name__.lower()
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size > module.stride:
            (start, _), (step, _) = module.padding, module.stride
            own = torch.zeros_like(module.weight)
            own[..., start : start + step, start : start + step] = 1
            module.weight.mul_(own)
        if ("attention" in kind or kind.endswith("attn")) and "pool" not in name + kind:
            for child_name, child in module.named_children():
                if child_name in _PROJECTIONS and isinstance(child, torch.nn.Linear):
                    for parameter in child.parameters():
                        parameter.zero_()


def painted(image: Image.Image, box: np.ndarray) -> Image.Image:
    """The image, with the inner part of a box bright."""
    left, top, right, bottom = box
    margin = (1 - INNER) / 2
    across = left + margin * (right - left), right - margin * (right - left)
    down = top + margin * (bottom - top), bottom - margin * (bottom - top)
    first_col, first_row = (int(np.ceil(edges[0])) for edges in (across, down))
    last_col = max(int(across[1]), first_col + 1)
    last_row = max(int(down[1]), first_row + 1)
    pixels = np.array(image)
    pixels[first_row:last_row, first_col:last_col] = BRIGHT
    return Image.fromarray(pixels)


def large_enough(layout: VisualLayout) -> np.ndarray:
    """Tokens with a box of more than one pixel across and down."""
    left, top, right, bottom = layout.boxes.T
    return np.flatnonzero((right - left >= 1.2) & (bottom - top >= 1.2))


@pytest.mark.parametrize("size", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("name", MAPPED)
def test_the_painted_token_changes_most(name: str, size: tuple[int, int]) -> None:
    case = CASES[name]
    vlm = case.vlm()
    silence_tower(vlm)
    plain = Image.new("RGB", size, PLAIN)
    prepared = vlm.prepare(plain, case.prompt)
    layout, before = prepared.layout, first_state(vlm, prepared)
    candidates = large_enough(layout)
    chosen = np.random.default_rng(1).choice(
        candidates, min(TOKENS, len(candidates)), replace=False
    )
    for token in chosen:
        after = first_state(vlm, vlm.prepare(painted(plain, layout.boxes[token]), case.prompt))
        change = (after - before).norm(dim=-1)[torch.as_tensor(layout.positions)].numpy()
        same_tile = np.flatnonzero(layout.tile == layout.tile[token])
        most = same_tile[change[same_tile].argmax()]
        assert most == token, (
            f"painted row {layout.row[token]}, column {layout.col[token]} of tile "
            f"{layout.tile[token]}, and row {layout.row[most]}, column {layout.col[most]} changed"
        )
