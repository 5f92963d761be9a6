"""In every family: two prompts in one batch give what each gives by itself."""

from __future__ import annotations

import pytest
import torch
from family_cases import CASES, READ
from family_images import TALL, WIDE, noise, read_only_vlm


@pytest.mark.parametrize("name", READ)
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
    if case.experts:  # experts read the tokens that choose them together: sums round differently
        budget = 1e-3 * float(alone.abs().max())
    else:
        budget = 1e-4 * float(alone.abs().clamp(max=1e4).max())
    torch.testing.assert_close(together, alone, rtol=0, atol=budget)
    assert (alone[0] - alone[1]).abs().max() > 100 * budget  # the two differ by far more
