"""What must hold for every decoder family beyond its equations: copies, files, padding, caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import (
    DECODER_FAMILIES,
    PROMPT,
    SHORT_PROMPT,
    TWO_IMAGES_PROMPT,
    tiny_config_arguments,
    tiny_inputs,
    tiny_llava,
    tiny_llavit,
    tiny_text_config,
)

from llavit_lens.errors import ConfigurationError
from llavit_lens.model import LlavitConfig, LlavitForConditionalGeneration, LlavitProcessor

BUDGET = 2e-5
"""Largest difference of float32 logits (of order 1): sums in another order, and rotary angles of
other absolute positions under left padding (see test_padding)."""

NEW = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}


def tiny_family(family: str, **changes: Any) -> LlavitForConditionalGeneration:
    return tiny_llavit(text_config=tiny_text_config(family), **changes)


def pairs(model: LlavitForConditionalGeneration) -> list[tuple[str, str]]:
    """Names of each visual parameter and of the text parameter it starts from."""
    visual = [name for name in model.state_dict() if "_proj_visual." in name]
    return [(name, name.replace("_visual", "")) for name in visual]


@pytest.mark.long
@pytest.mark.parametrize("family", DECODER_FAMILIES)
def test_every_query_key_and_value_projection_has_a_visual_copy(family: str) -> None:
    model = tiny_family(family, spread=False)
    text_config = model.config.text_config
    width = model.model.language_model.layers[0].self_attn.head_dim
    features = (text_config.num_attention_heads + 2 * text_config.num_key_value_heads) * width
    rows = 0
    for visual, text in pairs(model):
        value = model.state_dict()[visual]
        assert torch.equal(value, model.state_dict()[text])
        assert value.std() > 0 or visual.endswith(".bias")
        rows += len(value) if visual.endswith(".weight") else 0
    assert rows == text_config.num_hidden_layers * features


@pytest.mark.long
@pytest.mark.parametrize("family", DECODER_FAMILIES)
@torch.no_grad()
def test_round_trip_and_conversion(family: str, processor: LlavitProcessor, tmp_path: Path) -> None:
    """A saved LLaViT comes back bit for bit; a LLaVA folder lacks only the visual copies, and loads
    as the baseline; a LLaViT folder loads as the baseline too.
    """
    inputs = tiny_inputs(processor)
    load = LlavitForConditionalGeneration.from_pretrained
    off = {"separate_visual_qkv": False, "visual_attention": "causal"}

    model = tiny_family(family)
    model.save_pretrained(tmp_path / "llavit")
    again, report = load(tmp_path / "llavit", output_loading_info=True)
    assert not any(report.values())
    assert torch.equal(model(**inputs).logits, again(**inputs).logits)
    _, report = load(tmp_path / "llavit", output_loading_info=True, **off)
    assert not any(report.values())

    llava = tiny_llava(text_config=tiny_text_config(family))
    llava.save_pretrained(tmp_path / "llava")
    converted, report = load(tmp_path / "llava", output_loading_info=True)
    copies = pairs(converted)
    assert report.pop("missing_keys") == {visual for visual, _ in copies} != set()
    assert not any(report.values())
    weights = converted.state_dict()
    assert all(torch.equal(weights[visual], weights[text]) for visual, text in copies)
    baseline, report = load(tmp_path / "llava", output_loading_info=True, **off)
    assert not any(report.values())
    expected = llava(**inputs).logits
    assert (baseline(**inputs).logits - expected).abs().max() == 0.0
    # Copies project as their sources do, only in other batches of rows.
    converted.config.visual_attention = "causal"
    assert (converted(**inputs).logits - expected).abs().max() <= BUDGET


@pytest.mark.long
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", DECODER_FAMILIES)
@torch.no_grad()
def test_padding_changes_nothing(family: str, side: str, processor: LlavitProcessor) -> None:
    model = tiny_family(family)
    # The longest prompt stays below the length at which longrope changes its factors.
    prompts = (SHORT_PROMPT, TWO_IMAGES_PROMPT, "What is on the left?")
    batch = tiny_inputs(processor, prompts, padding_side=side)
    logits = model(**batch).logits
    first_image = 0
    for index, prompt in enumerate(prompts):
        alone = tiny_inputs(processor, [prompt], first_image=first_image)
        first_image += prompt.count("<image>")
        real = batch["attention_mask"][index].bool()
        assert (logits[index][real] - model(**alone).logits[0]).abs().max() <= BUDGET


@pytest.mark.long
@pytest.mark.parametrize("family", DECODER_FAMILIES)
@torch.no_grad()
def test_caches_agree_with_one_pass_over_prompt_and_answer(
    family: str, processor: LlavitProcessor
) -> None:
    """Also where the cache of a sliding window has let go of the first visual tokens."""
    model = tiny_family(family)
    inputs = tiny_inputs(processor)
    length = inputs["input_ids"].shape[1]
    settings: dict[str, Any] = {**NEW, "output_logits": True, "return_dict_in_generate": True}
    dynamic = model.generate(**inputs, **settings)
    static = model.generate(
        **inputs, **settings, cache_implementation="static", disable_compile=True
    )
    forced = model(
        input_ids=dynamic.sequences,
        attention_mask=torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1),
        pixel_values=inputs["pixel_values"],
    ).logits[:, length - 1 : -1]
    for generated in (dynamic, static):
        assert (torch.stack(generated.logits, dim=1) - forced).abs().max() <= BUDGET


@torch.no_grad()
def test_cached_keys_never_outlive_their_rotary_factors(processor: LlavitProcessor) -> None:
    """Phi-3 rotates by other factors beyond a length; keys cached before it would be wrong."""
    inputs = tiny_inputs(processor, [PROMPT])
    length = inputs["input_ids"].shape[1]
    text_config = tiny_text_config("phi3-longrope", original_max_position_embeddings=length + 3)
    model = tiny_llavit(text_config=text_config)
    assert model.generate(**inputs, **{**NEW, "max_new_tokens": 4, "min_new_tokens": 4}) is not None
    with pytest.raises(ConfigurationError, match=f"grows beyond {length + 3} tokens") as caught:
        model.generate(**inputs, **NEW)
    assert "\n" not in str(caught.value)
    answer = model.generate(**inputs, **NEW, use_cache=False)
    forced = model(input_ids=answer, pixel_values=inputs["pixel_values"]).logits
    assert torch.equal(forced[:, -2].argmax(-1), answer[:, -1])
    # Long from the start on: one set of factors all the way.
    shorter = tiny_text_config("phi3-longrope", original_max_position_embeddings=length - 1)
    model = tiny_llavit(text_config=shorter)
    assert model.generate(**inputs, **NEW).shape[1] == length + 8


@torch.no_grad()
def test_a_window_that_llama_does_not_know_stays_without_effect(
    processor: LlavitProcessor,
) -> None:
    """A stray field of a configuration must not give the bidirectional mask a window."""
    stray = tiny_text_config("llama", sliding_window=8)
    model, plain = tiny_llavit(text_config=stray), tiny_family("llama")
    inputs = tiny_inputs(processor)
    assert torch.equal(model(**inputs).logits, plain(**inputs).logits)


def test_a_family_is_found_by_its_configuration() -> None:
    for family in DECODER_FAMILIES:
        config = LlavitConfig(**tiny_config_arguments(text_config=tiny_text_config(family)))
        decoder = LlavitForConditionalGeneration(config).model.language_model
        assert type(decoder).config_class is type(config.text_config)
        assert type(decoder).__module__.endswith(config.text_config.model_type)
