"""All attention backends compute one function, and none lets samples see each other."""

from __future__ import annotations

import shutil
from typing import Any

import flash_attn_stub
import pytest
import torch
from tiny import (
    PROMPT,
    SHORT_PROMPT,
    TWO_IMAGES_PROMPT,
    WINDOW,
    tiny_inputs,
    tiny_llavit,
    tiny_text_config,
)
from torch import Tensor
from transformers import DynamicCache, StaticCache

from llavit_lens.errors import ConfigurationError
from llavit_lens.model import LlavitForConditionalGeneration, LlavitProcessor
from llavit_lens.model.attention import plan as plan_module

BUDGET = 1e-5
"""Largest difference of float32 logits (of order 1) when sums run in another order."""

MODES = ("causal", "bidirectional", "none")
FAMILIES = ("qwen2", "qwen3", "llama", "mistral", "phi3", "qwen2-window", "mistral-window")
PROMPTS = (SHORT_PROMPT, TWO_IMAGES_PROMPT, "What is on the left?")
NEW: dict[str, Any] = {
    "max_new_tokens": 6,
    "min_new_tokens": 6,
    "do_sample": False,
    "output_logits": True,
    "return_dict_in_generate": True,
}


def packed(processor: LlavitProcessor, prompts: tuple[str, ...] = PROMPTS) -> dict[str, Tensor]:
    """The prompts in one row, separated by positions that start again."""
    alone = [
        tiny_inputs(processor, [prompt], first_image=index) for index, prompt in enumerate(prompts)
    ]
    lengths = [inputs["input_ids"].shape[1] for inputs in alone]
    return {
        "input_ids": torch.cat([inputs["input_ids"] for inputs in alone], 1),
        "pixel_values": torch.cat([x["pixel_values"] for x in alone if "pixel_values" in x]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
    }


def gradients(model: LlavitForConditionalGeneration, inputs: dict[str, Any]) -> dict[str, Tensor]:
    model.zero_grad()
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    model(**inputs, labels=labels).loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.long
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_runs_give_the_logits_and_gradients_of_the_mask(
    family: str, side: str, processor: LlavitProcessor
) -> None:
    """Gradients of float32: 256 roundings of 2^-24 of the largest of all."""
    model = tiny_llavit(text_config=tiny_text_config(family))
    inputs = tiny_inputs(processor, PROMPTS, padding_side=side)
    real = inputs["attention_mask"].bool()
    logits, grads = [], []
    for implementation in ("sdpa", "llavit_sdpa"):
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            logits.append(model(**inputs).logits[real])
        grads.append(gradients(model, inputs))
    assert (logits[0] - logits[1]).abs().max() <= BUDGET
    assert grads[0].keys() == grads[1].keys()
    largest = max(gradient.abs().max() for gradient in grads[0].values())
    for name, gradient in grads[0].items():
        assert (gradient - grads[1][name]).abs().max() <= 256 * 2.0**-24 * largest, name


@torch.no_grad()
def test_runs_are_found_once_and_no_mask_is_built(
    processor: LlavitProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One search in a generation; with a window shorter than the prompt, the mask instead."""
    searches, masks = [], []
    find_runs, build = plan_module.find_runs, plan_module.bidirectional_mask
    monkeypatch.setattr(plan_module, "find_runs", lambda *a: searches.append(1) or find_runs(*a))
    monkeypatch.setattr(plan_module, "bidirectional_mask", lambda *a: masks.append(1) or build(*a))
    inputs = tiny_inputs(processor, PROMPTS)
    tiny_llavit(attn_implementation="llavit_sdpa").generate(**inputs, **NEW)
    assert (len(searches), len(masks)) == (1, 0)
    windowed = tiny_text_config("mistral-window")
    tiny_llavit(text_config=windowed, attn_implementation="llavit_sdpa").generate(**inputs, **NEW)
    assert (len(searches), len(masks)) == (1, 1)
    wide = tiny_text_config("mistral-window", sliding_window=200)
    tiny_llavit(text_config=wide, attn_implementation="llavit_sdpa").generate(**inputs, **NEW)
    assert (len(searches), len(masks)) == (2, 1)


@pytest.mark.long
@pytest.mark.parametrize("room", [-1, 0, 1])
@pytest.mark.parametrize("family", ["qwen2-window", "mistral-window", "phi3-window"])
@torch.no_grad()
def test_a_window_about_as_long_as_the_prompt(
    family: str, room: int, processor: LlavitProcessor
) -> None:
    """One token too short for the last query to see the first token: not in runs, then."""
    inputs = tiny_inputs(processor, [PROMPT])
    window = inputs["input_ids"].shape[1] + room
    model = tiny_llavit(text_config=tiny_text_config(family, sliding_window=window))
    expected = model(**inputs).logits
    model.set_attn_implementation("llavit_sdpa")
    assert (model(**inputs).logits - expected).abs().max() <= BUDGET


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_generation_in_runs(mode: str, processor: LlavitProcessor) -> None:
    model = tiny_llavit(visual_attention=mode)
    inputs = tiny_inputs(processor, PROMPTS)
    expected = model.generate(**inputs, **NEW)
    model.set_attn_implementation("llavit_sdpa")
    for settings in (
        {},
        {"use_cache": False},
        {"cache_implementation": "static", "disable_compile": True},
    ):
        got = model.generate(**inputs, **NEW, **settings)
        assert torch.equal(got.sequences, expected.sequences)
        for one, two in zip(got.logits, expected.logits, strict=True):
            assert (one - two).abs().max() <= BUDGET
    plain = {key: value for key, value in NEW.items() if key[:6] not in ("output", "return")}
    beams = {**plain, "num_beams": 3}
    in_runs = model.generate(**inputs, **beams)
    model.set_attn_implementation("sdpa")
    assert torch.equal(in_runs, model.generate(**inputs, **beams))


@pytest.mark.parametrize("kind", [DynamicCache, StaticCache])
@torch.no_grad()
def test_an_image_after_cached_text_in_runs(kind: type, processor: LlavitProcessor) -> None:
    model = tiny_llavit(attn_implementation="llavit_sdpa")
    text = tiny_inputs(processor, ["USER: a red square on the left. "])["input_ids"]
    turn = tiny_inputs(processor, [PROMPT])
    whole = torch.cat([text, turn["input_ids"]], 1)
    types = (whole == model.config.image_token_id).long()
    arguments = {} if kind is DynamicCache else {"max_cache_len": 90}
    cache = kind(config=model.config.get_text_config(), **arguments)
    model(input_ids=text, past_key_values=cache)
    got = model(
        input_ids=turn["input_ids"],
        pixel_values=turn["pixel_values"],
        past_key_values=cache,
        mm_token_type_ids=types,
    ).logits
    model.set_attn_implementation("eager")
    expected = model(input_ids=whole, pixel_values=turn["pixel_values"]).logits
    assert (got - expected[:, text.shape[1] :]).abs().max() <= BUDGET


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "llavit_sdpa"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", ["qwen2", "mistral-window"])
@torch.no_grad()
def test_packed_samples_are_what_they_are_alone(
    family: str, mode: str, implementation: str, processor: LlavitProcessor
) -> None:
    """Also in the causal modes, and without asking for it (caches are the default in eval mode)."""
    model = tiny_llavit(text_config=tiny_text_config(family), visual_attention=mode)
    model.set_attn_implementation(implementation)
    logits = model(**packed(processor)).logits[0]
    start = 0
    for index, prompt in enumerate(PROMPTS):
        expected = model(**tiny_inputs(processor, [prompt], first_image=index)).logits[0]
        assert (logits[start : start + len(expected)] - expected).abs().max() <= BUDGET
        start += len(expected)
    assert start == len(logits)


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "llavit_sdpa"])
@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_a_mask_without_padding_leaves_packed_samples_apart(
    mode: str, implementation: str, processor: LlavitProcessor
) -> None:
    model = tiny_llavit(visual_attention=mode, attn_implementation=implementation)
    inputs = packed(processor)
    expected = model(**inputs).logits
    for dtype in (torch.long, torch.bool):
        ones = torch.ones_like(inputs["input_ids"], dtype=dtype)
        assert torch.equal(model(**inputs, attention_mask=ones).logits, expected)


@pytest.mark.long
@pytest.mark.parametrize("where", [0, 12, -1], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_padding_around_packed_samples_is_refused(
    where: int, mode: str, processor: LlavitProcessor
) -> None:
    """Wherever the padding is; that of ordinary rows, whatever its positions, is none of this."""
    model, inputs = tiny_llavit(visual_attention=mode), packed(processor)
    mask = torch.ones_like(inputs["input_ids"])
    mask[:, where] = 0
    with pytest.raises(ConfigurationError, match="several samples, but attention_mask"):
        model(**inputs, attention_mask=mask)
    batch = tiny_inputs(processor, PROMPTS)
    mask = batch["attention_mask"]
    positions = (mask.cumsum(1) - 1).masked_fill(mask == 0, 1)
    assert model(**batch, position_ids=positions).logits.isfinite().all()


@pytest.mark.long
@pytest.mark.parametrize("layout", ["packed", "batch"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "llavit_sdpa"])
@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_nothing_leaks_between_samples(
    mode: str, implementation: str, layout: str, processor: LlavitProcessor
) -> None:
    """Other words or another image in one sample change no bit of the others."""
    model = tiny_llavit(visual_attention=mode, attn_implementation=implementation)
    prompts = (SHORT_PROMPT, PROMPT, TWO_IMAGES_PROMPT)
    if layout == "packed":
        inputs = packed(processor, prompts)
        sample = (inputs["position_ids"] == 0).cumsum(1) - 1
        real = torch.ones_like(sample, dtype=torch.bool)
    else:
        inputs = tiny_inputs(processor, prompts)
        sample = torch.arange(3)[:, None].expand_as(inputs["input_ids"])
        real = inputs["attention_mask"].bool()
    before = model(**inputs).logits
    for changed, image in ((0, 0), (1, 1), (2, 2)):
        own = sample == changed
        ids = inputs["input_ids"]
        words = own & real & (ids != model.config.image_token_id)
        others = real & ~own
        new_words = {**inputs, "input_ids": torch.where(words, (ids + 7) % 250 + 5, ids)}
        pixels = inputs["pixel_values"].clone()
        pixels[image] = pixels[image].flip(-1) + 1.0
        for altered in (new_words, {**inputs, "pixel_values": pixels}):
            after = model(**altered).logits
            assert torch.equal(after[others], before[others])
            assert not torch.equal(after[own], before[own])


def test_a_cache_of_packed_samples_is_refused(processor: LlavitProcessor) -> None:
    with pytest.raises(ConfigurationError, match="cannot be cached together"):
        tiny_llavit()(**packed(processor), use_cache=True)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles flex_attention with g++")
@pytest.mark.parametrize("family", ["qwen2", "mistral-window"])
@torch.no_grad()
def test_flex_attention_agrees_on_packed_samples(family: str, processor: LlavitProcessor) -> None:
    """Packed, with several images, and within a window where there is one; nothing leaks."""
    model = tiny_llavit(text_config=tiny_text_config(family))
    inputs = packed(processor)
    expected = model(**inputs).logits
    model.set_attn_implementation("flex_attention")
    got = model(**inputs).logits
    assert (got - expected).abs().max() <= BUDGET
    second = (inputs["position_ids"] == 0).cumsum(1) == 2
    ids = inputs["input_ids"]
    words = second & (ids != model.config.image_token_id)
    pixels = inputs["pixel_values"].clone()
    pixels[1:] += 1.0  # both images of the second sample
    altered = {"input_ids": torch.where(words, (ids + 7) % 250 + 5, ids), "pixel_values": pixels}
    after = model(**{**inputs, **altered}).logits
    assert torch.equal(after[~second], got[~second])
    assert not torch.equal(after[second], got[second])


def half(model: LlavitForConditionalGeneration) -> LlavitForConditionalGeneration:
    return model.to(torch.bfloat16)


HALF_BUDGET = 0.1
"""bfloat16 rounds to 2^-9; through 3 layers, logits of order 1 move by some hundredths. The causal
mask in place of Eq. 8 moves them by more (checked below)."""


@pytest.mark.long
@pytest.mark.parametrize("layout", ["left", "right", "packed"])
@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_flash_attention_in_runs(
    mode: str, layout: str, processor: LlavitProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash_attn_stub.install(monkeypatch)
    model = half(tiny_llavit(visual_attention=mode))
    inputs = (
        packed(processor)
        if layout == "packed"
        else dict(tiny_inputs(processor, PROMPTS, padding_side=layout))
    )
    inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
    real = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).bool()
    expected = model(**inputs).logits[real]
    model.set_attn_implementation({"text_config": "llavit_fa2"})
    got = model(**inputs).logits[real]
    assert (got - expected).abs().max() <= HALF_BUDGET
    if mode == "bidirectional":
        model.config.visual_attention = "causal"
        assert (model(**inputs).logits[real] - expected).abs().max() > 3 * HALF_BUDGET


@torch.no_grad()
def test_flash_attention_generates(
    processor: LlavitProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decode steps attend by the plain kernel, to padded and cached keys; the vision tower too."""
    flash_attn_stub.install(monkeypatch)
    model = half(tiny_llavit())
    inputs = tiny_inputs(processor, PROMPTS).to(torch.bfloat16)
    model.set_attn_implementation("llavit_fa2")
    got = model.generate(**inputs, **NEW)
    model.set_attn_implementation("sdpa")
    forced = model(
        input_ids=got.sequences,
        attention_mask=torch.nn.functional.pad(inputs["attention_mask"], (0, 6), value=1),
        pixel_values=inputs["pixel_values"],
    ).logits[:, inputs["input_ids"].shape[1] - 1 : -1]
    assert (torch.stack(got.logits, 1) - forced).abs().max() <= HALF_BUDGET


def test_flash_attention_trains_under_autocast(
    processor: LlavitProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash_attn_stub.install(monkeypatch)
    model = tiny_llavit(text_config=tiny_text_config("qwen3"))  # norms return float32
    inputs = tiny_inputs(processor, PROMPTS)
    losses = []
    for implementation in ("sdpa", "llavit_fa2"):
        model.set_attn_implementation(implementation)
        with torch.autocast("cpu", torch.bfloat16):
            losses.append(model(**inputs, labels=inputs["input_ids"]).loss)
    losses[1].backward()
    assert abs(losses[0].item() - losses[1].item()) <= 0.01 * losses[0].item()


def test_what_flash_attention_cannot_do_is_refused(
    processor: LlavitProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_llavit()
    with pytest.raises(ConfigurationError, match="needs the package flash-attn") as caught:
        model.set_attn_implementation("llavit_fa2")
    assert "eager, sdpa, flex_attention, llavit_sdpa" in str(caught.value)
    with pytest.raises(ConfigurationError, match="ignores the mask") as caught:
        model.set_attn_implementation("flash_attention_2")
    assert "llavit_fa2" not in str(caught.value).split("use one of")[1]

    flash_attn_stub.install(monkeypatch)
    with pytest.raises(ConfigurationError, match=r"use one of .* llavit_fa2"):
        model.set_attn_implementation("flash_attention_2")
    model.set_attn_implementation({"text_config": "llavit_fa2"})
    inputs = tiny_inputs(processor, PROMPTS)
    with pytest.raises(
        ConfigurationError, match="float16 or bfloat16, but the model is in float32"
    ):
        model(**inputs)
    model = half(model)
    inputs = inputs.to(torch.bfloat16)
    static = StaticCache(config=model.config.get_text_config(), max_cache_len=90)
    with pytest.raises(ConfigurationError, match="static cache"):
        model(**inputs, past_key_values=static)
    windowed = half(tiny_llavit(text_config=tiny_text_config("mistral-window")))
    windowed.set_attn_implementation({"text_config": "llavit_fa2"})
    with pytest.raises(ConfigurationError, match=f"sliding window of {WINDOW}"):
        windowed(**inputs)
