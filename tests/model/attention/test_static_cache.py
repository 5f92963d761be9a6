"""Caches that hold more room than tokens: no token attends to what is empty, in any mode."""

from __future__ import annotations

import pytest
import torch
from tiny import SHORT_PROMPT, tiny_inputs, tiny_llavit
from transformers import StaticCache

from llavit_lens.model import LlavitProcessor


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "llavit_sdpa"])
@pytest.mark.parametrize("mode", ["causal", "bidirectional", "none"])
@torch.no_grad()
def test_empty_slots_of_a_static_cache_are_not_attended_to(
    mode: str, implementation: str, processor: LlavitProcessor
) -> None:
    model = tiny_llavit(visual_attention=mode)
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
    for other in {"causal", "bidirectional", "none"} - {mode}:  # each mode is a mode of its own
        model.config.visual_attention = other
        assert (model(**one, past_key_values=cache).logits - expected).abs().max() > 100 * budget
        cache.reset()
    model.config.visual_attention = mode
    steps = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    dynamic = model.generate(**one, **steps)
    assert torch.equal(model.generate(**one, **steps, cache_implementation="static"), dynamic)
