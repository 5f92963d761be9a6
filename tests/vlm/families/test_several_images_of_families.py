"""In every family: several images in a prompt, batches, and answers after a prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from family_cases import CASES
from PIL import Image

import llavit_lens as ll
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM

QUESTION = "What is it?"
ONE_IMAGE = ("got_ocr2",)
"""Their processors take one image in a prompt."""
OWN_SIZE = ("emu3",)
"""Their towers see how images are filled up to one size."""
FEWER_TILES = ("llava_onevision",)
"""Their processors leave out tiles where there are several images."""


def noise(seed: int, width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


WIDE, TALL = noise(1, 150, 90), noise(2, 64, 200)


def assert_close(found: torch.Tensor, expected: torch.Tensor, scale: float = 1.0) -> None:
    """Within a few roundings of the largest number; barred words are equal."""
    barred = expected < -1e30
    assert torch.equal(barred, found < -1e30)
    found, expected = found.masked_fill(barred, 0), expected.masked_fill(barred, 0)
    budget = scale * 128 * 2.0**-24 * float(expected.abs().max())
    assert float((found - expected).abs().max()) <= budget


def last_logits(vlm: VLM, prompts: Prompt | list[Prompt]) -> torch.Tensor:
    """[B, V]: some models make all logits, whatever is asked for."""
    return vlm.forward(prompts, logits_to_keep=1).logits[:, -1]


@pytest.mark.parametrize("name", CASES)
def test_several_images_batches_and_answers(name: str) -> None:
    vlm = CASES[name].vlm()
    alone = [vlm.prepare(image, QUESTION) for image in (WIDE, TALL)]
    if name in ONE_IMAGE:
        with pytest.raises(ll.ConfigurationError, match="one image at a time"):
            vlm.prepare([WIDE, TALL], QUESTION)
        prompts = alone
    else:
        trace = vlm.trace([WIDE, TALL], QUESTION)
        together = vlm.prepare([WIDE, TALL], QUESTION)
        visual = (together.inputs["input_ids"][0] == vlm.image_token_id).nonzero()[:, 0]
        found = np.concatenate([layout.all_positions for layout in together.layouts])
        assert found.tolist() == visual.tolist()
        for number, (image, one) in enumerate(zip((WIDE, TALL), alone, strict=True)):
            layout = together.layouts[number]
            if name in FEWER_TILES:
                assert len(layout.grid) == 1 < len(one.layout.grid)
                continue
            assert np.array_equal(layout.boxes, one.layout.boxes)
            assert (layout.grid, layout.whole) == (one.layout.grid, one.layout.whole)
            if name not in OWN_SIZE:
                states = vlm.trace(image, QUESTION).hidden[0]
                assert_close(trace.of_image(number).hidden[0], states)
        prompts = [alone[0], together]
    if name in OWN_SIZE:
        with pytest.raises(ll.ConfigurationError, match="in several sizes cannot be in one batch"):
            vlm.forward(prompts)
        prompts = prompts[:1] * 2
    expected = torch.cat([last_logits(vlm, prompt) for prompt in prompts])
    assert_close(last_logits(vlm, prompts), expected)
    assert not torch.equal(expected[0], expected[-1]) or name in OWN_SIZE
    options = {"suppress_tokens": [vlm.image_token_id]}  # a random model may write it
    answer = vlm.generate(WIDE, QUESTION, 2, trace=True, **options)
    words = ll.logit_lens(answer.trace, k=2)
    second = (words.ids[-1, :, 0] == vlm.image_token_id).astype(int)
    places = np.arange(len(second)), second
    assert words.ids[-1][places].tolist() == answer.ids.tolist()
    forced = vlm.forward(alone[0], answer=answer.ids).logits[0, alone[0].length - 1 : -1]
    said = forced.log_softmax(-1).gather(1, answer.ids[:, None])[:, 0]
    scale = float(forced.masked_fill(forced < -1e30, 0).abs().max())
    assert np.abs(words.values[-1][places] - said.numpy()).max() <= 256 * 2.0**-24 * max(scale, 1)
