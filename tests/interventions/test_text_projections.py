"""Text projections in place of visual ones: the model whose weights are copied so."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tiny import DECODER_FAMILIES, tiny_image, tiny_llavit, tiny_processor, tiny_text_config
from tiny_vlm import tiny_vlm

import llavit_lens as ll
from llavit_lens.vlm.vlm import VLM

PARTS = ("q", "k", "v")


def trained(family: str) -> VLM:
    """As after a training: visual weights are no copies."""
    model = tiny_llavit(text_config=tiny_text_config(family))
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "_proj_visual" in name:
                weight.normal_(0, 0.3)
    return VLM(model, tiny_processor(), family)


def copied(vlm: VLM, layers: list[int], wanted: str) -> VLM:
    """The weights of text written into the visual ones, row by row of each head."""
    model = copy.deepcopy(vlm.model)
    for layer in layers:
        attention: Any = model.model.language_model.layers[layer].self_attn
        config, width = attention.config, attention.head_dim
        rows = {"q": config.num_attention_heads * width}
        rows |= dict.fromkeys("kv", config.num_key_value_heads * width)
        for name in attention.routed_projections:
            text, visual = getattr(attention, name), getattr(attention, f"{name}_visual")
            start = 0
            for part in name.removesuffix("_proj"):
                own = slice(start, start + rows[part])
                start += rows[part]
                if part in wanted:
                    for kind, weight in visual.named_parameters():
                        weight.data[own] = getattr(text, kind).data[own]
    return VLM(model, vlm.processor, vlm.name)


@pytest.mark.long
@pytest.mark.parametrize(
    ("layers", "wanted"), [([0, 1, 2], "qkv"), ([1], "qkv"), ([1, 2], "v"), ([0], "qk")]
)
@pytest.mark.parametrize("family", DECODER_FAMILIES)
def test_equals_the_model_with_copied_weights(family: str, layers: list[int], wanted: str) -> None:
    vlm = trained(family)
    before = vlm.trace(tiny_image()).hidden
    with ll.text_projections(vlm, layers, wanted):
        inside = vlm.trace(tiny_image()).hidden
        said = vlm.generate(tiny_image(), max_new_tokens=4)
    model = copied(vlm, layers, wanted)
    assert torch.equal(inside, model.trace(tiny_image()).hidden)
    assert said == model.generate(tiny_image(), max_new_tokens=4)
    assert torch.equal(vlm.trace(tiny_image()).hidden, before)
    first = min(layers) + 1  # states before it are those of the model as trained
    assert torch.equal(inside[:first], before[:first])
    assert not torch.allclose(inside[first], before[first])


def test_two_of_them_add_up_and_an_error_inside_ends_them() -> None:
    vlm = trained("qwen2")
    before = vlm.trace(tiny_image()).hidden
    with ll.text_projections(vlm, 0), ll.text_projections(vlm, 2, "k"):
        both = vlm.trace(tiny_image()).hidden
    expected = copied(copied(vlm, [0], "qkv"), [2], "k")
    assert torch.equal(both, expected.trace(tiny_image()).hidden)
    with pytest.raises(ZeroDivisionError), ll.text_projections(vlm):
        1 / 0  # noqa: B018
    assert torch.equal(vlm.trace(tiny_image()).hidden, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projections": "x"}, "one or more of 'qkv'"),
        ({"projections": ""}, "one or more of 'qkv'"),
        ({"projections": ["q"]}, "one or more of 'qkv'"),
        ({"layers": 3}, "there is no layer 3"),
    ],
)
def test_mistakes_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ll.ConfigurationError, match=message):
        ll.text_projections(trained("qwen2"), **options)


def test_a_model_without_visual_projections_is_refused() -> None:
    name: Any = "demo:llavit"
    for vlm, message in ((tiny_vlm("llava"), "tiny-llava has no projections"), (name, "no VLM")):
        with pytest.raises(ll.ConfigurationError, match=message):
            ll.text_projections(vlm)


@pytest.mark.long
@pytest.mark.parametrize("family", DECODER_FAMILIES)
def test_two_of_the_same_layer_add_up(family: str) -> None:
    vlm = trained(family)
    with ll.text_projections(vlm, 1, "v"), ll.text_projections(vlm, 1, "q"):
        both = vlm.trace(tiny_image()).hidden
    assert torch.equal(both, copied(vlm, [1], "qv").trace(tiny_image()).hidden)


def test_together_with_eq_5() -> None:
    """Visual tokens read nothing; text still reads them by the other keys and values."""
    vlm, expected = trained("qwen2"), copied(trained("qwen2"), [0, 1, 2], "qkv")
    with ll.text_projections(vlm), ll.ablate_visual_attention(vlm):
        inside = vlm.trace(tiny_image()).hidden
        said = vlm.generate(tiny_image(), max_new_tokens=4)
    with ll.ablate_visual_attention(expected):
        assert torch.equal(inside, expected.trace(tiny_image()).hidden)
        assert said == expected.generate(tiny_image(), max_new_tokens=4)


def test_projections_wrapped_inside_are_found() -> None:
    """As adapters do: they call what was there, and add to it."""
    vlm = trained("qwen2")
    attention = vlm.model.model.language_model.layers[1].self_attn
    with ll.text_projections(vlm):
        attention.q_proj_visual = torch.nn.Sequential(attention.q_proj_visual)
        with pytest.raises(ll.ConfigurationError, match="q_proj_visual was wrapped while"):
            vlm.run(tiny_image())


def test_a_prompt_cached_outside_is_refused_inside() -> None:
    vlm = trained("qwen2")
    inputs = vlm.prepare(tiny_image(), "What is it?").inputs
    with torch.no_grad():
        cached = vlm.model(**inputs, use_cache=True).past_key_values
    with (
        ll.text_projections(vlm),
        torch.no_grad(),
        pytest.raises(ll.ConfigurationError, match="start from the prompt"),
    ):
        vlm.model(input_ids=torch.tensor([[5]]), past_key_values=cached)
