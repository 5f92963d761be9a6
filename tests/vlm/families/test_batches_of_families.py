"""In every family: two prompts in one batch give what each gives by itself."""

from __future__ import annotations

import pytest
import torch
from family_cases import CASES, READ
from family_images import TALL, WIDE, noise, read_only_vlm

_SIZES_OF_ONE = ("emu3", "minicpmv4_6")
"""Families whose batches hold images of one size."""


@pytest.mark.parametrize("name", [name for name in READ if name not in _SIZES_OF_ONE])
def test_a_batch_of_two_is_as_one_by_one(name: str) -> None:
    """Images of other shapes and prompts of other lengths: so one is padded on the left."""
    case, vlm = CASES[name], read_only_vlm(name)
    images = noise(WIDE), noise(TALL, seed=1)
    prompts = [
        vlm.prepare(image, text)
        for image, text in zip(images, (case.prompt, case.prompt + " Where?"), strict=True)
    ]
    with torch.no_grad():
        alone = torch.stack([vlm.forward(prompt).logits[0, -1] for prompt in prompts])
        together = vlm.forward(prompts).logits[:, -1]
    said = alone > torch.finfo(alone.dtype).min / 2  # Chameleon never says words of images
    # experts read the tokens that choose them together: sums round differently
    budget = (1e-3 if case.experts else 1e-4) * float(alone[said].abs().max())
    torch.testing.assert_close(together, alone, rtol=0, atol=budget)
    assert (alone[0] - alone[1]).abs().max() > 100 * budget  # the two differ by far more
