"""Eq. 5 with caches that hold more room than tokens."""

from __future__ import annotations

import pytest
import torch
from tiny import SHORT_PROMPT, tiny_inputs, tiny_llavit
from transformers import StaticCache

from llavit_lens.model import LlavitProcessor


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "llavit_sdpa"])
@torch.no_grad()
def test_empty_slots_of_a_static_cache_are_not_attended_to(
    implementation: str, processor: LlavitProcessor
) -> None:
    model = tiny_llavit(visual_attention="none")
    model.set_attn_implementation(implementation)
    one = tiny_inputs(processor, [SHORT_PROMPT])
    expected = model(**one).logits
    room = one["input_ids"].shape[1] + 40
    cache = StaticCache(config=model.config.get_text_config(), max_cache_len=room)
    budget = 64 * 2.0**-24 * expected.abs().max()  # the same sums in another order
    for _ in range(2):  # the second time its slots hold the keys of the first
        got = model(**one, past_key_values=cache).logits
        assert (got - expected).abs().max() <= budget
        cache.reset()
    steps = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    dynamic = model.generate(**one, **steps)
    assert torch.equal(model.generate(**one, **steps, cache_implementation="static"), dynamic)
