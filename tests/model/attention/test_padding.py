"""Padding does not change what real tokens get.

Error budget: left padding moves rotary positions, so angles up to ~60 rad are rounded to float32
(2^-24 * 60 = 4e-6) before they enter scores; logits are of order 1, and 2e-5 is allowed.
"""

from __future__ import annotations

import pytest
import torch
from tiny import SHORT_PROMPT, TABLE_ROWS, TWO_IMAGES_PROMPT, tiny_inputs, tiny_llavit

from llavit_lens.model import LlavitProcessor

BUDGET = 2e-5


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("row", TABLE_ROWS)
@torch.no_grad()
def test_a_padded_batch_gives_each_prompt_its_own_logits(
    row: str, side: str, implementation: str, processor: LlavitProcessor
) -> None:
    model = tiny_llavit(**TABLE_ROWS[row])
    model.set_attn_implementation(implementation)
    prompts = (SHORT_PROMPT, TWO_IMAGES_PROMPT, "What is on the left?")
    batch = tiny_inputs(processor, prompts, padding_side=side)
    logits = model(**batch).logits
    assert logits.isfinite().all()
    first_image = 0
    for index, prompt in enumerate(prompts):
        alone = tiny_inputs(processor, [prompt], first_image=first_image)
        first_image += prompt.count("<image>")
        real = batch["attention_mask"][index].bool()
        expected = model(**alone).logits[0]
        assert (logits[index][real] - expected).abs().max() <= BUDGET


@pytest.mark.parametrize("row", TABLE_ROWS)
@torch.no_grad()
def test_the_content_of_padding_does_not_matter(row: str, processor: LlavitProcessor) -> None:
    model = tiny_llavit(**TABLE_ROWS[row])
    batch = tiny_inputs(processor)
    real = batch["attention_mask"].bool()
    expected = model(**batch).logits[real]
    batch["input_ids"] = batch["input_ids"].masked_fill(~real, 9)
    assert torch.equal(model(**batch).logits[real], expected)
