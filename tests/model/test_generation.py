"""Generation: all caches and beams agree, and a cache never costs Eq. 8."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import PROMPT, SHORT_PROMPT, TABLE_ROWS, tiny_inputs, tiny_llavit
from torch import Tensor
from transformers import DynamicCache, StaticCache

from llavit_lens.errors import ConfigurationError
from llavit_lens.model import LlavitForConditionalGeneration, LlavitProcessor

BUDGET = 1e-5
"""Largest difference of float32 logits (of order 1) when sums run in another order."""

NEW = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("row", TABLE_ROWS)
def test_every_cache_gives_the_same_tokens(
    row: str, implementation: str, processor: LlavitProcessor
) -> None:
    model = tiny_llavit(**TABLE_ROWS[row])
    model.set_attn_implementation(implementation)
    inputs = tiny_inputs(processor)
    length = inputs["input_ids"].shape[1]
    settings: dict[str, Any] = {**NEW, "output_logits": True, "return_dict_in_generate": True}
    dynamic = model.generate(**inputs, **settings)
    assert dynamic.sequences.shape[1] == length + 8

    without = model.generate(**inputs, **settings, use_cache=False)
    static = model.generate(
        **inputs, **settings, cache_implementation="static", disable_compile=True
    )
    for other in (without, static):
        assert torch.equal(dynamic.sequences, other.sequences)
        for one, two in zip(dynamic.logits, other.logits, strict=True):
            assert (one - two).abs().max() <= BUDGET

    # Teacher forcing: one forward pass over prompt and answer predicts the answer.
    forced = model(
        input_ids=dynamic.sequences,
        attention_mask=torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1),
        pixel_values=inputs["pixel_values"],
    ).logits[:, length - 1 : -1]
    assert (forced - torch.stack(dynamic.logits, dim=1)).abs().max() <= BUDGET


@pytest.mark.long
@pytest.mark.parametrize("row", ["no_visual_attention", "separate_qkv", "llavit"])
def test_beams_agree_with_and_without_cache(row: str, processor: LlavitProcessor) -> None:
    model = tiny_llavit(**TABLE_ROWS[row])
    inputs = tiny_inputs(processor)
    beams = {**NEW, "num_beams": 3, "num_return_sequences": 2}
    cached = model.generate(**inputs, **beams)
    assert cached.shape[0] == 4
    assert torch.equal(cached, model.generate(**inputs, **beams, use_cache=False))


def test_prompts_without_token_types_are_understood(
    llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    inputs = tiny_inputs(processor)
    by_types = llavit.generate(**inputs, **NEW)
    ids = inputs.pop("input_ids")
    del inputs["mm_token_type_ids"]
    assert torch.equal(by_types, llavit.generate(input_ids=ids, **inputs, **NEW))
    assert torch.equal(by_types, llavit.generate(ids, **inputs, **NEW))


def test_a_generated_image_token_is_text(
    llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    """With any cache: what the model writes is not an image, even if it writes the image token."""
    inputs = tiny_inputs(processor, [PROMPT])
    del inputs["mm_token_type_ids"]
    length = inputs["input_ids"].shape[1]

    def image_token_second(_: int, ids: Tensor) -> list[int]:
        second = len(ids) == length + 1
        return [llavit.config.image_token_id] if second else list(range(5, 50))

    settings: dict[str, Any] = {**NEW, "output_logits": True, "return_dict_in_generate": True}
    settings["prefix_allowed_tokens_fn"] = image_token_second
    # Without a cache transformers hands over the image again, and counts image tokens again:
    # the reference is the decoder on ready embeddings.
    got = llavit.generate(**inputs, **settings)
    assert got.sequences[0, length + 1] == llavit.config.image_token_id
    ids = got.sequences[:, :-1]
    features = torch.cat(llavit.get_image_features(inputs["pixel_values"]).pooler_output)
    embeddings = llavit.get_input_embeddings()(ids)
    is_visual = (inputs["input_ids"] == llavit.config.image_token_id)[0]
    embeddings = embeddings.clone()
    embeddings[0, :length][is_visual] = features
    types = torch.nn.functional.pad(is_visual.long(), (0, ids.shape[1] - length))[None]
    with torch.no_grad():
        expected = llavit(inputs_embeds=embeddings, mm_token_type_ids=types).logits
    assert (torch.stack(got.logits, 1) - expected[:, length - 1 :]).abs().max() <= BUDGET


def test_embeddings_with_token_types_generate_the_same(
    llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    inputs = tiny_inputs(processor, [PROMPT])
    features = torch.cat(llavit.get_image_features(inputs["pixel_values"]).pooler_output)
    is_visual = inputs["mm_token_type_ids"].bool()
    embeddings = llavit.get_input_embeddings()(inputs["input_ids"]).detach().clone()
    embeddings[is_visual] = features.detach()
    from_ids = llavit.generate(**inputs, **NEW)[:, inputs["input_ids"].shape[1] :]
    types = inputs["mm_token_type_ids"]
    mask = inputs["attention_mask"]
    from_embeddings = llavit.generate(
        inputs_embeds=embeddings, mm_token_type_ids=types, attention_mask=mask, **NEW
    )
    assert torch.equal(from_ids, from_embeddings)


def conversation(processor: LlavitProcessor, prompts: list[str]) -> dict[str, Tensor]:
    """One row, several turns; images are numbered through the turns."""
    turns, image = [], 0
    for prompt in prompts:
        turns.append(tiny_inputs(processor, [prompt], first_image=image))
        image += prompt.count("<image>")
    pixels = [turn["pixel_values"] for turn in turns if "pixel_values" in turn]
    ids = [turn["input_ids"] for turn in turns]
    return {"input_ids": torch.cat(ids, 1), "pixel_values": torch.cat(pixels)}


def new_cache(model: LlavitForConditionalGeneration, kind: str) -> DynamicCache | StaticCache:
    text_config = model.config.get_text_config()
    if kind == "static":
        return StaticCache(config=text_config, max_cache_len=80)
    return DynamicCache(config=text_config)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
@torch.no_grad()
def test_a_later_turn_of_text_continues_the_cache(
    kind: str, llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    first = conversation(processor, [PROMPT])
    whole = conversation(processor, [PROMPT, "USER: What? ASSISTANT:"])
    cache = new_cache(llavit, kind)
    llavit(**first, past_key_values=cache)
    length = first["input_ids"].shape[1]
    new = llavit(input_ids=whole["input_ids"][:, length:], past_key_values=cache).logits
    assert (new - llavit(**whole).logits[:, length:]).abs().max() <= BUDGET


@pytest.mark.parametrize("kind", ["dynamic", "static"])
@torch.no_grad()
def test_a_first_image_after_cached_text_is_right_if_told(
    kind: str, llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    text = tiny_inputs(processor, ["USER: a red square on the left. "])["input_ids"]
    turn = tiny_inputs(processor, [PROMPT])
    whole = torch.cat([text, turn["input_ids"]], 1)
    types = (whole == llavit.config.image_token_id).long()
    expected = llavit(input_ids=whole, pixel_values=turn["pixel_values"]).logits
    cache = new_cache(llavit, kind)
    llavit(input_ids=text, past_key_values=cache)
    later = {"input_ids": turn["input_ids"], "pixel_values": turn["pixel_values"]}
    with pytest.raises(ConfigurationError, match="New visual tokens after cached ones"):
        llavit(**later, past_key_values=cache)
    got = llavit(**later, past_key_values=cache, mm_token_type_ids=types).logits
    assert (got - expected[:, text.shape[1] :]).abs().max() <= BUDGET


@torch.no_grad()
def test_generate_continues_a_cache_of_text_with_an_image(
    llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    text = tiny_inputs(processor, ["USER: a red square on the left. "])["input_ids"]
    turn = tiny_inputs(processor, [PROMPT])
    whole = torch.cat([text, turn["input_ids"]], 1)
    inputs = {"input_ids": whole, "pixel_values": turn["pixel_values"]}
    inputs["attention_mask"] = torch.ones_like(whole)
    cache = new_cache(llavit, "dynamic")
    llavit(input_ids=text, past_key_values=cache)
    expected = llavit.generate(**inputs, **NEW)
    assert torch.equal(expected, llavit.generate(**inputs, **NEW, past_key_values=cache))


@pytest.mark.parametrize("with_types", [False, True])
@torch.no_grad()
def test_a_new_image_after_a_cached_one_is_refused_only_if_bidirectional(
    with_types: bool, processor: LlavitProcessor
) -> None:
    first = conversation(processor, [PROMPT])
    whole = conversation(processor, [PROMPT, SHORT_PROMPT])
    length = first["input_ids"].shape[1]
    for mode in ("bidirectional", "causal", "none"):
        model = tiny_llavit(visual_attention=mode)
        types = (whole["input_ids"] == model.config.image_token_id).long()
        cache = DynamicCache(config=model.config.get_text_config())
        model(**first, past_key_values=cache)
        later: dict[str, Any] = {
            "input_ids": whole["input_ids"][:, length:],
            "pixel_values": whole["pixel_values"][1:],
            "past_key_values": cache,
            "mm_token_type_ids": types if with_types else None,
        }
        if mode == "bidirectional":
            with pytest.raises(ConfigurationError, match="start again without the cache"):
                model(**later)
        else:
            expected = model(**whole).logits[:, length:]
            assert (model(**later).logits - expected).abs().max() <= BUDGET


@torch.no_grad()
def test_an_image_fed_token_by_token_is_refused(
    llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    """Prefill in pieces would be causal among visual tokens."""
    ids = tiny_inputs(processor, [PROMPT])["input_ids"]
    cache = DynamicCache(config=llavit.config.get_text_config())
    first = int((ids[0] == llavit.config.image_token_id).nonzero()[0]) + 1
    llavit(input_ids=ids[:, :first], past_key_values=cache)
    with pytest.raises(ConfigurationError, match="New visual tokens after cached ones"):
        llavit(input_ids=ids[:, first : first + 1], past_key_values=cache)
