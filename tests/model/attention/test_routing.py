"""Routing by index: the same function as choosing between two projections, at the cost of one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_inputs, tiny_llavit
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from llavit_lens.model import LlavitForConditionalGeneration, LlavitProcessor
from llavit_lens.model.attention.routing import VisualTokens, merge_rows, split_rows

layouts = st.integers(1, 3).flatmap(
    lambda batch: st.integers(1, 9).flatmap(
        lambda length: st.lists(
            st.lists(st.booleans(), min_size=length, max_size=length),
            min_size=batch,
            max_size=batch,
        )
    )
)


@pytest.mark.long
@settings(max_examples=80)
@given(layouts)
def test_split_and_merge_are_inverse_and_their_gradients_right(layout: list[list[bool]]) -> None:
    mask = torch.tensor(layout)
    tokens = VisualTokens.from_mask(mask)
    rows = torch.randn(mask.numel(), 3, dtype=torch.float64, requires_grad=True)
    text, visual = split_rows(rows, tokens)
    assert torch.equal(text, rows[~mask.flatten()])
    assert torch.equal(visual, rows[mask.flatten()])
    assert torch.equal(merge_rows(text, visual, tokens), rows)

    def through(x: Tensor) -> Tensor:
        a, b = split_rows(x, tokens)
        return merge_rows(a.sin(), 2.0 * b, tokens)

    assert torch.autograd.gradcheck(through, rows)
    assert torch.autograd.gradgradcheck(through, rows)


@settings(max_examples=40)
@given(layouts)
def test_projections_are_chosen_by_token(layout: list[list[bool]]) -> None:
    """Against two full projections and a choice; float64, a few roundings of a 48-term sum."""
    mask = torch.tensor(layout)
    attention = ATTENTION
    hidden = torch.randn(*mask.shape, 48, dtype=torch.float64)
    routed = attention.project(hidden, VisualTokens.from_mask(mask))
    for name, got in zip(("q_proj", "k_proj", "v_proj"), routed, strict=True):
        text, visual = getattr(attention, name), getattr(attention, f"{name}_visual")
        expected = torch.where(mask[..., None], visual(hidden), text(hidden))
        got = got.flatten(-2)
        torch.testing.assert_close(got, expected, rtol=0.0, atol=48 * 2.0**-52 * 10)


ATTENTION = tiny_llavit().double().model.language_model.layers[0].self_attn


def count_flops(model: LlavitForConditionalGeneration, inputs: dict[str, Tensor]) -> int:
    model.set_attn_implementation("eager")  # the counter does not see scaled-dot-product on CPU
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**inputs)
    return counter.get_total_flops()


@pytest.mark.long
def test_no_switch_of_the_decoder_costs_flops(processor: LlavitProcessor) -> None:
    inputs = tiny_inputs(processor)
    baseline = count_flops(
        tiny_llavit(separate_visual_qkv=False, visual_attention="causal"), inputs
    )
    assert baseline > 0
    for mode in ("causal", "bidirectional", "none"):
        for separate in (False, True):
            model = tiny_llavit(separate_visual_qkv=separate, visual_attention=mode)
            flops = count_flops(model, inputs)
            # Eq. 5 leaves out the output projection of visual tokens
            assert flops < baseline if mode == "none" else flops == baseline


def visual_gradients(model: LlavitForConditionalGeneration) -> dict[str, Tensor]:
    return {n: p.grad for n, p in model.named_parameters() if "_proj_visual." in n}


@pytest.mark.parametrize("mode", ["causal", "bidirectional"])
def test_gradients_reach_visual_weights_through_visual_rows_only(
    mode: str, processor: LlavitProcessor
) -> None:
    """Against autograd through two full projections and `torch.where`, for every parameter."""
    model = tiny_llavit(visual_attention=mode).double()
    inputs = tiny_inputs(processor).to(torch.float64)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    routed = gradients()
    mask = (inputs["input_ids"] == model.config.image_token_id)[..., None]
    for layer in model.model.language_model.layers:
        attention = layer.self_attn

        def choose(hidden: Tensor, _: object, attention=attention) -> list[Tensor]:
            return [
                torch.where(mask[..., None], visual, text)
                for visual, text in zip(
                    attention.heads(hidden, "_visual"), attention.heads(hidden), strict=True
                )
            ]

        attention.project = choose
    chosen = gradients()
    assert routed.keys() == chosen.keys()
    largest = max(gradient.abs().max() for gradient in chosen.values())
    for name in chosen:  # transformers' norms and softmax round to float32 on both sides
        assert (routed[name] - chosen[name]).abs().max() <= 64 * 2.0**-24 * largest, name


def test_visual_weights_stay_in_the_graph_without_visual_rows(processor: LlavitProcessor) -> None:
    """A process with a batch of text alone must still call them, or sharded training hangs."""
    model = tiny_llavit().train()
    inputs = tiny_inputs(processor, ["What is in the image?"])
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    for name, gradient in visual_gradients(model).items():
        assert gradient is not None, name
        assert not gradient.any(), name


def test_visual_tokens_are_indexed_once_and_not_in_decode_steps(
    processor: LlavitProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_llavit()
    calls = []
    index = VisualTokens.from_mask
    monkeypatch.setattr(
        VisualTokens, "from_mask", lambda mask: calls.append(mask.shape) or index(mask)
    )
    visual_calls = []
    for layer in model.model.language_model.layers:
        layer.self_attn.q_proj_visual.register_forward_hook(lambda *_: visual_calls.append(1))
    inputs = tiny_inputs(processor)
    model.generate(**inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert calls == [inputs["input_ids"].shape]
    assert len(visual_calls) == len(model.model.language_model.layers)
