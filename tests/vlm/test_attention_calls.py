"""Calls of the attention interface: all are met, nothing else changes, and weights are as used."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from any_model import require_text_pass, require_type, set_attention, spread, tiny_model
from family_cases import CASES
from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.attention_calls import (
    AttentionCall,
    Result,
    intercepted,
    interface_caller,
    used_weights,
)

IDS = torch.tensor([[40, 41, 42, 43, 44, 45]])
FAMILIES = ["qwen2_5_vl", "gemma3", "gemma4", "aya_vision", "chameleon", "lfm2_vl", "llama4"]


def callers(model: Any) -> list[nn.Module]:
    """Modules of the decoder that attend by the interface, layer by layer."""
    decoder = model.get_decoder()
    count = decoder.config.num_hidden_layers
    layers = next(
        module
        for module in decoder.modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    )
    found = [interface_caller(layer) for layer in layers]
    return [caller for caller in found if caller is not None]


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_call_that_is_met_is_the_same_call(family: str, implementation: str) -> None:
    model = CASES[family].model(attn=implementation)
    require_text_pass(model)
    attentions = callers(model)
    own = [attention.config for attention in attentions]
    before = model(input_ids=IDS).logits
    calls: list[AttentionCall] = []

    def meet(call: AttentionCall) -> Result:
        calls.append(call)
        return call.run()

    def silence(call: AttentionCall) -> Result:
        return torch.zeros_like(call.run()[0]), None

    first, *_ = attentions
    with intercepted(first, meet):
        assert torch.equal(model(input_ids=IDS).logits, before)
        assert [call.attention for call in calls] == [first]
        assert calls[0].implementation == implementation
        with intercepted(first, silence):
            assert not torch.equal(model(input_ids=IDS).logits, before)
        assert torch.equal(model(input_ids=IDS).logits, before)
    assert torch.equal(model(input_ids=IDS).logits, before) and len(calls) == 3
    assert all(one.config is config for one, config in zip(attentions, own, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_used_weights_are_those_of_eager(family: str) -> None:
    """Read off torch's kernel, they are what the family's own eager attention returns."""
    model = CASES[family].model(attn="sdpa")
    require_text_pass(model)
    read: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def look(call: AttentionCall) -> Result:
        parts = [weights for _, weights in used_weights(call)]
        length = call.q.shape[2]
        mask = (
            torch.ones(length, length, dtype=torch.bool).tril() if call.mask is None else call.mask
        )
        floats = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
        own = call.with_(mask=floats).attend("eager")[1]
        assert own is not None
        read[call.attention] = torch.cat(parts, -1), own
        return call.run()

    attentions = callers(model)
    for attention in attentions:
        with intercepted(attention, look):
            model(input_ids=IDS)
    assert list(read) == attentions
    for found, expected in read.values():
        torch.testing.assert_close(found, expected, rtol=0, atol=16 * 2.0**-24)
        assert bool(((found == 0) == (expected == 0)).all())


def test_a_module_that_cannot_be_met_is_refused() -> None:
    assert interface_caller(nn.Linear(2, 2)) is None
    with pytest.raises(ConfigurationError, match="Linear does not attend through"):
        intercepted(nn.Linear(2, 2), AttentionCall.run).__enter__()


def test_a_copy_made_inside_is_refused() -> None:
    model = CASES["qwen2_5_vl"].model()
    with intercepted(callers(model)[0], AttentionCall.run):
        other = copy.deepcopy(model)
        with pytest.raises(ConfigurationError, match="is a copy made while"):
            other(input_ids=IDS)


@torch.no_grad()
def test_another_implementation_may_be_chosen_inside() -> None:
    model = CASES["gemma3"].model(attn="sdpa")
    seen: list[tuple[str, bool]] = []

    def meet(call: AttentionCall) -> Result:
        result = call.run()
        seen.append((call.implementation, result[1] is not None))
        return result

    with intercepted(callers(model)[0], meet):
        model(input_ids=IDS)
        set_attention(model, "eager")
        model(input_ids=IDS)
    assert seen == [("sdpa", False), ("eager", True)]


@pytest.mark.parametrize("kind", ["mistral_large4", "minimax_m3_vl"])
@torch.no_grad()
def test_modules_that_ask_for_the_name_hear_the_users(kind: str) -> None:
    """These attend to fewer tokens where the name is "eager" or "sdpa": the mask that arrives at
    the call says so, met or not."""
    require_type(kind)
    model = tiny_model(kind)
    spread(model)
    for implementation in ("eager", "sdpa"):
        set_attention(model, implementation)
        before = model(input_ids=IDS).logits
        with ExitStack() as stack:
            met = callers(model)
            assert met
            for attention in met:
                stack.enter_context(intercepted(attention, AttentionCall.run))
                config: Any = attention.config
                assert config._attn_implementation == implementation
                assert config._attn_implementation != "flex_attention"
            assert torch.equal(model(input_ids=IDS).logits, before)
