"""Does each visual token lie where the layout says? Its box is painted, and it must change most.

The layout of a family is arithmetic on what its processor does. This proves it on a model that you
have: no other code knows where a patch goes.
"""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import ImageSource, open_image, require_one
from llavit_lens.inputs import DEFAULT_PROMPT, whole_number
from llavit_lens.results.layout_check import LayoutCheck
from llavit_lens.vlm.acting import acting
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.turns import turn
from llavit_lens.vlm.vlm import VLM, require_vlm

Color = tuple[int, int, int]

_COLORS: tuple[tuple[Color, Color], ...] = (
    ((110, 120, 130), (255, 30, 20)),
    ((200, 190, 60), (20, 60, 255)),
)
"""Of the plain image, and of the paint. The second pair is used where the first does not tell."""
_EDGE = 0.15  # of a box, on each side: left unpainted, as a resize mixes pixels there
_LEAST = 1.2  # pixels: a smaller box cannot be painted without the next one
_OF_WHOLE = 0.3  # of the painted tokens, where the image is seen whole and in tiles


def check_layout(
    vlm: VLM,
    image: ImageSource,
    prompt: str = DEFAULT_PROMPT,
    *,
    tokens: int = 10,
    seed: int = 0,
    plain: bool = True,
) -> LayoutCheck:
    """Paint the boxes of some visual tokens, one by one, and see which token changes most.

        check = ll.check_layout(vlm, "photo.jpg")
        check.ok, check.to_pandas()

    A token's change is the distance between its states at the entry of the first decoder layer,
    with and without paint, beyond what it changes with the median of the other boxes: in real
    vision towers some tokens change with everything. If not all are right, the boxes are painted
    in another color, and a token has to change in both. Nothing after that entry runs, so that it
    takes seconds. It finds errors of one patch and more, and any wrong order; not a small shift.

    Args:
        image: gives the size, on which the layout depends; and with `plain` False the pixels.
        prompt: what is asked; it has the image in it.
        tokens: how many boxes are painted, at random, some of them in the tile that shows the
            whole image.
        seed: of their choice.
        plain: paint on one plain color; or on the image itself.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace`; a layout without a map; patches smaller than
            a pixel of the image; a model whose visual tokens are codes.
    """
    require_vlm(vlm)
    start = perf_counter()
    count = whole_number(tokens, "tokens")
    if count < 1:
        raise ConfigurationError(f"tokens={count}: give 1 or more")
    require_one(image, "check_layout")
    pixels = open_image(image)
    layout = vlm.prepare(pixels, prompt).layout
    layout.check_map()
    if vlm.family.kind == "codes":
        raise ConfigurationError(
            f"{vlm.name}: its visual tokens are codes, each of which paint may change anywhere or "
            "not at all, so painting does not show where they lie"
        )
    chosen = _chosen(layout, count, np.random.default_rng(whole_number(seed, "seed")))
    together = np.ones((len(chosen), len(layout)))
    each: list[np.ndarray] = []
    for color, paint in _COLORS:
        ground = Image.new("RGB", pixels.size, color) if plain else pixels
        changes, strays = _changes(vlm, prompt, ground, paint, layout, chosen)
        together *= changes**0.5
        found, rank, share = _found(layout, chosen, together)
        each.append(_found(layout, chosen, changes)[0])
        if (rank == 0).all():
            break
    agreed = (rank == 0) | (np.array(each) == found).all(axis=0)
    found = np.where(agreed, found, -1)
    return LayoutCheck(vlm.name, layout, chosen, found, rank, share, strays, perf_counter() - start)


def _changes(
    vlm: VLM,
    prompt: str,
    ground: Image.Image,
    paint: Color,
    layout: VisualLayout,
    chosen: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Of each chosen token's paint how much each token changes, float64 [m, n]; and `strays`."""
    before = _first_states(vlm, vlm.prepare(ground, prompt))
    # one by one, and all at once: for tokens that the layout does not know
    images = [_painted(ground, layout.boxes[token], paint) for token in chosen]
    changes = []
    for image in (*images, Image.new("RGB", ground.size, paint)):
        prepared = vlm.prepare(image, prompt)
        after = _first_states(vlm, prepared)
        if prepared.layout != layout or after.shape != before.shape:
            raise ConfigurationError(
                f"{vlm.name}: its processor lays out two images of the same size in different "
                "ways, so a layout of one says nothing about the other"
            )
        changes.append((after - before).norm(dim=-1).double().numpy()[layout.positions])
    moved = np.flatnonzero((after != before).any(-1).numpy())
    each = np.stack(changes[:-1])
    if len(chosen) > 2:  # some tokens change with whatever is painted
        each = np.clip(each - np.median(each, axis=0), 0, None)
    return each, np.setdiff1d(moved, layout.all_positions)


def _chosen(layout: VisualLayout, count: int, rng: np.random.Generator) -> np.ndarray:
    """Tokens with boxes that can be painted: int64, ascending."""
    sides = layout.boxes[:, 2:] - layout.boxes[:, :2]
    fit = (sides >= _LEAST).all(axis=1)
    if not fit.any():
        width, height = layout.image_size
        raise ConfigurationError(
            f"the patches of an image of {width} x {height} pixels are smaller than a pixel, and "
            "cannot be painted; give a larger image"
        )
    pools = [np.flatnonzero(fit & (layout.in_detail == part)) for part in (False, True)]
    of_whole = round(_OF_WHOLE * count) if len(pools[1]) else count
    sizes = [of_whole, count - min(of_whole, len(pools[0]))]
    picked = [
        rng.choice(pool, min(size, len(pool)), replace=False)
        for pool, size in zip(pools, sizes, strict=True)
    ]
    return np.sort(np.concatenate(picked)).astype(np.int64)


def _painted(ground: Image.Image, box: np.ndarray, paint: Color) -> Image.Image:
    """The image with the inside of a box in one color, at least a pixel of it."""
    pixels = np.array(ground)
    inside = []
    for low, high in ((box[1], box[3]), (box[0], box[2])):
        edge = _EDGE * (high - low)
        first, last = int(np.ceil(low + edge)), int(np.floor(high - edge))
        inside.append(slice(first, last) if first < last else _middle(low, high))
    pixels[tuple(inside)] = paint
    return Image.fromarray(pixels)


def _middle(low: float, high: float) -> slice:
    first = int((low + high) / 2)
    return slice(first, first + 1)


class _Stop(Exception):
    """Ends a pass at the entry of the first layer."""


@torch.no_grad()
def _first_states(vlm: VLM, prompt: Prompt) -> Tensor:
    """float32 [L, D], what the first decoder layer is given; nothing after it runs."""
    kept: list[Tensor] = []

    def keep(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states = args[0] if args else kwargs["hidden_states"]
        kept.append(states[0].float().cpu())
        raise _Stop

    with turn(vlm.model), acting(vlm.model) as actor:
        actor.hook(vlm.decoder.layers[0], "the check of the layout", keep, before=True)
        with suppress(_Stop):
            vlm.forward(prompt, logits_to_keep=1)
    return kept[0]


def _found(
    layout: VisualLayout, painted: np.ndarray, changes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`found`, `rank` and `share` of a `LayoutCheck`, for changes [m, n]."""
    found, rank, share = [], [], []
    for token, change in zip(painted.tolist(), changes, strict=True):
        tile = np.flatnonzero(layout.tile == layout.tile[token])
        total = change[tile].sum()
        found.append(int(tile[change[tile].argmax()]) if total > 0 else -1)
        itself = change[token] > 0  # a token that did not change is not found, not even alone
        rank.append(int((change[tile] >= change[token]).sum()) - int(itself))
        share.append(float(change[token] / total) if total > 0 else 0.0)
    return np.array(found), np.array(rank), np.array(share)
