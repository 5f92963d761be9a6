"""How far visual tokens look: the mean attention distance of ViT, for the visual tokens of a VLM.

After Dosovitskiy et al. 2021, Figure 7: the distance between a patch and the patches it attends to,
weighted by attention. Here a token attends to text as well, and perhaps not to later tokens, so the
share that stays in the image and what uniform attention would give are measured with it.

Shape letters: B batch, H heads, L tokens that attend, S tokens attended to, V patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import ImageSource
from llavit_lens.vlm.expected_attention import (
    Mode,
    expected_mask,
    own_blocks,
    sliding_windows,
    visual_mask,
)
from llavit_lens.vlm.hooks import NamedHook
from llavit_lens.vlm.layers import in_ranges
from llavit_lens.vlm.vlm import VLM, require_vlm

MEASURES = ("patches", "width", "visual", "self")
"""Distance in patches and as a fraction of the image's width; shares of attention that go to
visual tokens and to the token itself."""


@dataclass(frozen=True, eq=False)
class AttentionDistances:
    """Sums over the V patches of one image, in the order of `MEASURES`.

    Distances are, for each patch, means over the patches that it attends to, weighted by attention;
    every patch counts alike.

    Attributes:
        sums: float64 [4, layers, heads].
        counts: int64 [4, layers, heads], the number of patches: V; of distances, less the patches
            with no attention to the image in floating point.
        uniform: float64 [4, layers], `sums` if attention were uniform over what the mask allows.
        tokens: V.
    """

    sums: np.ndarray
    counts: np.ndarray
    uniform: np.ndarray
    tokens: int


def patch_distances(layout: VisualLayout) -> np.ndarray:
    """Distances between the centers of the patches that lie on the image: float64 [2, V, V].

    First in patches: across and down are measured in the size of an uncut patch (of the whole
    image, where there are several tiles). Then as a fraction of the image's width.
    """
    boxes = layout.boxes[layout.on_image]
    whole = layout.boxes[layout.of_tile()]
    patch = (whole[:, 2:] - whole[:, :2]).max(0)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    offsets = centers[:, None] - centers[None]
    return np.stack(
        [
            np.linalg.norm(offsets / patch, axis=-1),
            np.linalg.norm(offsets, axis=-1) / layout.image_size[0],
        ]
    )


@torch.no_grad()
def attention_distances(vlm: VLM, image: ImageSource) -> AttentionDistances:
    """How far the patches of an image look, at every decoder layer and head: one forward pass.

    No visual token attends to text after it, so the question does not matter. The decoder attends
    by "eager", which alone makes weights; they are summed layer by layer, and none is kept.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace`; a model whose visual tokens attend to
            nothing (Eq. 5); weights that do not follow the mask of the configuration.
    """
    require_vlm(vlm)
    mode = vlm.visual_attention
    if mode == "none":
        raise ConfigurationError(
            f"{vlm.name} has no visual attention (Eq. 5): its visual tokens attend to nothing; "
            "take a model that has"
        )
    names = set(vlm.hook_names)
    numbers = range(vlm.decoder.n_layers)
    without = [n for n in numbers if f"blocks.{n}.attn.hook_pattern" not in names]
    if without:
        raise ConfigurationError(
            f"{vlm.name}: decoder layers {in_ranges(without)} have no attention pattern, and "
            "distances are measured in every layer; take a model of which each layer attends"
        )
    prepared = vlm.prepare(image)
    layout, windows = prepared.layout, sliding_windows(vlm.decoder)
    visual_L = visual_mask(prepared)
    rows = torch.from_numpy(layout.positions[layout.on_image])
    keys = visual_L.nonzero().squeeze(1)
    distances_2VV = torch.from_numpy(patch_distances(layout))
    blocks = own_blocks(vlm, prepared)
    own = mode if blocks is None else None
    allowed = {w: expected_mask(visual_L, own, w, blocks)[rows] for w in set(windows)}
    by_layer: dict[int, tuple[Tensor, Tensor]] = {}

    def measure(pattern_BHLS: Tensor, where: NamedHook) -> None:
        weights_HVS = pattern_BHLS[0][:, rows.to(pattern_BHLS.device)]
        layer = where.layer()
        _check(weights_HVS, allowed[windows[layer]], f"{vlm.name}, decoder layer {layer}", mode)
        by_layer[layer] = _sums(weights_HVS, rows, keys, distances_2VV)

    hooks = [("blocks.*.attn.hook_pattern", measure)]
    vlm.forward(prepared, logits_to_keep=1, fwd_hooks=hooks)
    uniform = {}
    for window, mask_VS in allowed.items():
        even_VS = mask_VS.double() / mask_VS.sum(1, keepdim=True)
        uniform[window] = _sums(even_VS[None], rows, keys, distances_2VV)[0][:, 0]
    layers = range(len(windows))
    return AttentionDistances(
        sums=torch.stack([by_layer[layer][0] for layer in layers], 1).numpy(),
        counts=torch.stack([by_layer[layer][1] for layer in layers], 1).numpy(),
        uniform=torch.stack([uniform[windows[layer]] for layer in layers], 1).numpy(),
        tokens=len(rows),
    )


def _sums(
    weights_HVS: Tensor, rows: Tensor, keys: Tensor, distances_2VV: Tensor
) -> tuple[Tensor, Tensor]:
    """`sums` and `counts` of a layer, [4, H] each; one head at a time, to hold little."""
    device = weights_HVS.device
    rows, keys, distances_2VV = rows.to(device), keys.to(device), distances_2VV.to(device)
    sums, counts = [], []
    for weights_VS in weights_HVS:
        weights_VS = weights_VS.double()
        among_VV = weights_VS[:, rows]
        mass_V = among_VV.sum(1)
        seen_V = mass_V > 0
        far_2V = (among_VV * distances_2VV).sum(2)[:, seen_V] / mass_V[seen_V]
        shares = [weights_VS[:, keys].sum(), among_VV.diagonal().sum()]
        sums.append(torch.stack([*far_2V.sum(1), *shares]))
        seen = int(seen_V.sum())
        counts.append(torch.tensor([seen, seen, len(rows), len(rows)], device="cpu"))
    return torch.stack(sums, 1).cpu(), torch.stack(counts, 1)


def _check(weights_HVS: Tensor, allowed_VS: Tensor, where: str, mode: Mode) -> None:
    """Raise ConfigurationError unless rows are distributions over what the mask allows."""
    tolerance = 4 * torch.finfo(weights_HVS.dtype).eps + 1e-4
    off = (weights_HVS.float().sum(-1) - 1).abs().max().item()
    outside = (weights_HVS != 0) & ~allowed_VS.to(weights_HVS.device)
    if not isfinite(off):  # the forward pass raises an error for it
        return
    if off <= tolerance and not bool(outside.any()):
        return
    wrong = "do not sum to 1" if off > tolerance else f"go where visual_attention={mode!r} has none"
    raise ConfigurationError(
        f"{where}: attention weights of visual tokens {wrong}; something has changed them, so load "
        "the model again (llavit_lens.check_visual_attention says more)"
    )
