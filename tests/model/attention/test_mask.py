"""Eq. 8 as a double loop, against the mask that the attention call really used."""

from __future__ import annotations

import functools
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_inputs, tiny_llavit, tiny_processor
from torch import Tensor

from llavit_lens.model import LlavitForConditionalGeneration
from llavit_lens.model.attention.mask import bidirectional_mask
from llavit_lens.model.attention.positions import VisualPositions

TEXT_ID = 7


def equation_8(visual: list[bool], padding: list[bool]) -> Tensor:
    """[L, L]: does i attend to j? A padded key is never attended to."""
    length = len(visual)
    allowed = torch.zeros(length, length, dtype=torch.bool)
    for i in range(length):
        for j in range(length):
            allowed[i, j] = (j <= i or (visual[i] and visual[j])) and not padding[j]
    return allowed


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[list[bool]], list[list[bool]]]:
    """Visual positions anywhere, in up to three rows padded left or right (padding is text)."""
    length = draw(st.integers(1, 12))
    visual, padding = [], []
    for _ in range(draw(st.integers(1, 3))):
        pads = draw(st.integers(0, length - 1))
        left = draw(st.booleans())
        row = [i < pads if left else i >= length - pads for i in range(length)]
        padding.append(row)
        visual.append([not pad and draw(st.booleans()) for pad in row])
    return visual, padding


@functools.cache
def unchanged_model(implementation: str, mode: str) -> LlavitForConditionalGeneration:
    """One model for all examples of a property; no test may change it."""
    return tiny_llavit(attn_implementation=implementation, visual_attention=mode)


def attention_weights(
    mode: str, visual: list[list[bool]], padding: list[list[bool]]
) -> tuple[Tensor, ...]:
    """Weights [B, H, L, L] of every layer for image-token embeddings at the visual positions."""
    model = unchanged_model("eager", mode)
    ids = torch.where(torch.tensor(visual), model.config.image_token_id, TEXT_ID)
    with torch.no_grad():
        output = model(
            input_ids=ids, attention_mask=(~torch.tensor(padding)).long(), output_attentions=True
        )
    assert len(output.attentions) == model.config.text_config.num_hidden_layers
    return output.attentions


@pytest.mark.long
@settings(max_examples=60)
@given(batches())
def test_attention_reaches_exactly_what_equation_8_allows(
    batch: tuple[list[list[bool]], list[list[bool]]],
) -> None:
    visual, padding = batch
    for weights in attention_weights("bidirectional", visual, padding):
        for row, (is_visual, is_pad) in enumerate(zip(visual, padding, strict=True)):
            real = ~torch.tensor(is_pad)
            reached = weights[row] > 0  # a masked weight is exactly zero
            allowed = equation_8(is_visual, is_pad)
            assert torch.equal(reached[:, real], allowed[real].expand_as(reached[:, real]))


@pytest.mark.long
@settings(max_examples=20)
@given(batches())
def test_other_modes_are_causal(batch: tuple[list[list[bool]], list[list[bool]]]) -> None:
    visual, padding = batch
    nothing_visual = [False] * len(visual[0])
    for mode in ("causal", "none"):
        for weights in attention_weights(mode, visual, padding):
            for row, is_pad in enumerate(padding):
                real = ~torch.tensor(is_pad)
                reached = (weights[row] > 0)[:, real]
                allowed = equation_8(nothing_visual, is_pad)[real]
                assert torch.equal(reached, allowed.expand_as(reached))


@settings(max_examples=60)
@given(batches())
def test_sdpa_gets_the_same_mask(batch: tuple[list[list[bool]], list[list[bool]]]) -> None:
    visual, padding = batch
    is_visual = torch.tensor(visual)
    masks = bidirectional_mask(
        unchanged_model("sdpa", "bidirectional").model.language_model.config,
        VisualPositions(is_visual, is_visual[:, :0]),
        attention_mask=(~torch.tensor(padding)).long(),
        past_key_values=None,
        position_ids=None,
        dtype=torch.float32,
    )
    mask = masks["full_attention"]
    assert mask.dtype == torch.bool
    for row, (row_visual, row_padding) in enumerate(zip(visual, padding, strict=True)):
        assert torch.equal(mask[row, 0], equation_8(row_visual, row_padding))


def test_packed_samples_do_not_see_each_other() -> None:
    """Two samples in one row, separated by positions that start again."""
    visual = [[False, True, True, False], [True, False, True, True, False]]
    model = tiny_llavit(attn_implementation="eager")
    is_visual = torch.tensor([visual[0] + visual[1]])
    ids = torch.where(is_visual, model.config.image_token_id, TEXT_ID)
    positions = torch.tensor([[*range(4), *range(5)]])
    expected = torch.block_diag(*(equation_8(row, [False] * len(row)) for row in visual)).bool()
    with torch.no_grad():
        output = model(input_ids=ids, position_ids=positions, output_attentions=True)
    for weights in output.attentions:
        reached = weights[0] > 0
        assert torch.equal(reached, expected.expand_as(reached))


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles flex_attention with g++")
@torch.no_grad()
def test_flex_attention_honors_the_mask() -> None:
    """On a padded batch with two images in a row. Budget of float32 logits (below 1, from sums of
    at most 100 terms in another order): 128 eps = 1.5e-5; the causal mask changes them by more.
    """
    # With kernels of other lengths compiled before, torch writes one for all, which g++ may refuse.
    torch.compiler.reset()
    model, inputs = tiny_llavit(), tiny_inputs(tiny_processor())
    logits = {}
    for implementation, mode in (
        ("eager", "bidirectional"),
        ("eager", "causal"),
        ("flex_attention", "bidirectional"),
    ):
        model.set_attn_implementation(implementation)
        model.config.visual_attention = mode
        output = model(**inputs).logits
        logits[implementation, mode] = output[inputs["attention_mask"].bool()]
    expected = logits["eager", "bidirectional"]
    budget = 128 * torch.finfo(torch.float32).eps
    assert (logits["flex_attention", "bidirectional"] - expected).abs().max() <= budget
    assert (logits["eager", "causal"] - expected).abs().max() > 100 * budget
