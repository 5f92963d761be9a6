"""In every family: the box of a token is the place that it shows.

A token's box is painted bright in a plain image. Of all tokens of its tile, the state of that one
must change most before the first decoder layer. No patch sees another in these vision towers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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


def misses(
    vlm: VLM, text: str, layout: VisualLayout, plain: Image.Image, tokens: int = TOKENS
) -> list[str]:
    """Of some tokens that are painted by the boxes of a layout, those that do not change most."""
    before = first_state(vlm, vlm.prepare(plain, text))
    candidates = large_enough(layout)
    count = min(tokens, len(candidates))
    found = []
    for token in np.random.default_rng(1).choice(candidates, count, replace=False):
        after = first_state(vlm, vlm.prepare(painted(plain, layout.boxes[token]), text))
        change = (after - before).norm(dim=-1)[torch.as_tensor(layout.positions)].numpy()
        same_tile = np.flatnonzero(layout.tile == layout.tile[token])
        most = same_tile[change[same_tile].argmax()]
        if most != token:
            where = [
                f"row {layout.row[one]}, column {layout.col[one]} of tile {layout.tile[one]}"
                for one in (token, most)
            ]
            found.append("painted {}, and {} changed".format(*where))
    return found


@pytest.mark.parametrize("size", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("name", MAPPED)
def test_the_painted_token_changes_most(name: str, size: tuple[int, int]) -> None:
    case = CASES[name]
    vlm = case.vlm()
    silence_tower(vlm)
    plain = Image.new("RGB", size, PLAIN)
    layout = vlm.prepare(plain, case.prompt).layout
    assert len(large_enough(layout)) > 0
    assert misses(vlm, case.prompt, layout, plain) == []


def transposed(layout: VisualLayout) -> np.ndarray:
    """Boxes by column instead of by row."""
    return layout.boxes[np.lexsort((layout.row, layout.col, layout.tile))]


def whole_first(layout: VisualLayout) -> np.ndarray:
    """Boxes as if the tokens of the whole image came first, where they come last."""
    assert layout.whole == len(layout.grid) - 1
    return np.roll(layout.boxes, (layout.tile == layout.whole).sum(), axis=0)


def not_merged(layout: VisualLayout) -> np.ndarray:
    """Boxes of single patches, where a token is 2 x 2."""
    left, top, right, bottom = layout.boxes.T
    return np.stack([left / 2, top / 2, right / 2, bottom / 2], axis=1)


def without_padding(layout: VisualLayout) -> np.ndarray:
    """Boxes as if the grid covered the image, where it covers a square around it."""
    (rows, cols), (width, height) = layout.grid[0], layout.image_size
    left, top = layout.col * width / cols, layout.row * height / rows
    return np.stack([left, top, left + width / cols, top + height / rows], axis=1)


def newlines_are_patches(layout: VisualLayout) -> np.ndarray:
    """Boxes one further for each newline before them."""
    before = np.searchsorted(layout.off_image, layout.positions)
    return layout.boxes[np.maximum(np.arange(len(layout)) - before, 0)]


@pytest.mark.parametrize(
    "name, mistake",
    [
        ("qwen2_vl", transposed),
        ("internvl", whole_first),
        ("qwen3_vl", not_merged),
        ("janus", without_padding),
        ("llava_next", newlines_are_patches),
    ],
)
def test_a_mistake_in_the_boxes_is_found(
    name: str, mistake: Callable[[VisualLayout], np.ndarray]
) -> None:
    """The test above fails for each of the mistakes that layouts are prone to."""
    case = CASES[name]
    vlm = case.vlm()
    silence_tower(vlm)
    plain = Image.new("RGB", WIDE, PLAIN)
    layout = vlm.prepare(plain, case.prompt).layout
    wrong = replace(layout, boxes=mistake(layout))
    assert misses(vlm, case.prompt, wrong, plain, tokens=12)
