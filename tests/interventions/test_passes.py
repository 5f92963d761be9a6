"""Which tokens are visual, in passes that share caches or do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from family_cases import CASES
from tiny_vlm import FAMILIES, tiny_vlm
from transformers import DynamicCache

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.passes import Passes, follow_passes
from llavit_lens.vlm.vlm import VLM

IMAGE = np.random.default_rng(0).integers(0, 255, (28, 28, 3), dtype=np.uint8)
SHORT, LONG = "What?", "What is in the image, on the left of a blue circle?"


def read_into_cache(vlm: VLM, prompt: str) -> DynamicCache:
    cache = DynamicCache(config=vlm.model.config.get_text_config())
    vlm.model(**vlm.prepare(IMAGE, prompt).inputs, past_key_values=cache)
    return cache


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_every_cache_keeps_its_own_prompt(family: str) -> None:
    vlm = tiny_vlm(family)
    new = {"input_ids": torch.tensor([[7]])}
    with follow_passes(vlm.model, vlm.image_token_id) as passes:
        short = read_into_cache(vlm, "on the left: " + SHORT)
        expected = passes.current.is_visual
        read_into_cache(vlm, LONG)
        vlm.model(**new, past_key_values=short)
        assert torch.equal(passes.current.is_visual[:, :-1], expected)
        assert not passes.current.is_visual[:, -1].any()


@torch.no_grad()
def test_a_cache_that_the_model_made_itself_is_known_by_its_length() -> None:
    vlm = tiny_vlm("llavit")
    with follow_passes(vlm.model, vlm.image_token_id) as passes:
        made = vlm.model(**vlm.prepare(IMAGE, SHORT).inputs, use_cache=True).past_key_values
        expected = passes.current.is_visual
        vlm.model(input_ids=torch.tensor([[7]]), past_key_values=made)
        assert torch.equal(passes.current.is_visual[:, :-1], expected)


@torch.no_grad()
def test_a_cache_that_nobody_saw_filled_is_refused() -> None:
    vlm = tiny_vlm("llavit")
    foreign = read_into_cache(vlm, SHORT)
    with follow_passes(vlm.model, vlm.image_token_id):
        read_into_cache(vlm, LONG)
        with pytest.raises(ConfigurationError, match="it is unknown which of"):
            vlm.model(input_ids=torch.tensor([[7]]), past_key_values=foreign)


def test_ids_decide_and_not_marks_that_hold_for_other_tokens_too() -> None:
    vlm = tiny_vlm("llava")
    inputs = dict(vlm.prepare(IMAGE, SHORT).inputs)
    expected = inputs["input_ids"] == vlm.image_token_id
    marks = torch.ones_like(inputs["input_ids"])
    passes = Passes(vlm.model, vlm.image_token_id)
    passes.begin({**inputs, "mm_token_type_ids": marks})
    assert torch.equal(passes.current.is_visual, expected)
    # without ids the marks are all that the caller says
    embeddings = vlm.model.get_input_embeddings()(inputs["input_ids"])
    passes.begin({"inputs_embeds": embeddings, "mm_token_type_ids": expected.long()})
    assert torch.equal(passes.current.is_visual, expected)
    with pytest.raises(ConfigurationError, match="do not say which tokens are visual"):
        passes.begin({"inputs_embeds": embeddings})


def test_places_by_row_and_column_are_no_sign_of_several_samples() -> None:
    vlm = CASES["qwen2_5_vl"].vlm()
    inputs = dict(vlm.prepare(IMAGE, CASES["qwen2_5_vl"].prompt).inputs)
    length = inputs["input_ids"].shape[1]
    inputs["position_ids"] = torch.zeros(3, 1, length, dtype=torch.long)
    with ll.knock_out(vlm, "text->visual"):
        vlm.model(**inputs)
