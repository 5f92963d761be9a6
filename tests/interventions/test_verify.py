"""The self-check finds attention that ignores its mask, whoever is to blame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny import tiny_image
from tiny_vlm import FAMILIES, tiny_vlm
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

import llavit_lens as ll
from llavit_lens.model.attention.eager import eager_attention
from llavit_lens.vlm.vlm import VLM

WRONG = "an edge was not cut: in layer 1, head"


@pytest.fixture(params=FAMILIES)
def vlm(request: pytest.FixtureRequest) -> VLM:
    return tiny_vlm(request.param)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Puts another function in the place of attention by "sdpa", in layer 1 alone."""

    def replace(wrong: Any) -> None:
        def attention(module: Any, *args: Any, **kwargs: Any) -> Any:
            edited = args[3] is not None  # without padding, no other mask is made
            in_layer_1 = hasattr(module, "hook_z") and module.layer_idx == 1 and edited
            return (wrong if in_layer_1 else sdpa_attention_forward)(module, *args, **kwargs)

        monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._local_mapping, "sdpa", attention)

    yield replace


def drops_the_mask(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, **kwargs: Any) -> Any:
    return sdpa_attention_forward(module, q, k, v, None, **kwargs)


def adds_a_bool(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, **kwargs: Any) -> Any:
    """The error of peers: True becomes + 1, False + 0."""
    z, _ = eager_attention(module, q, k, v, mask.to(q.dtype), **kwargs)
    return z, None


def closes_by_false(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, **kwargs: Any) -> Any:
    """The other error of peers: False written into a mask of floats is 0, which is open."""
    opened = torch.zeros_like(mask, dtype=q.dtype)
    return sdpa_attention_forward(module, q, k, v, opened, **kwargs)


def ignores_one_head(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, **kwargs: Any) -> Any:
    mask = mask.expand(len(q), q.shape[1], -1, -1).clone()
    mask[:, 2] = torch.ones_like(mask[0, 2]).tril()
    return sdpa_attention_forward(module, q, k, v, mask, **kwargs)


@pytest.mark.long
@pytest.mark.parametrize("wrong", [drops_the_mask, adds_a_bool, closes_by_false, ignores_one_head])
def test_a_backend_that_ignores_masks_is_found(vlm: VLM, replaced: Any, wrong: Any) -> None:
    replaced(wrong)
    with ll.knock_out(vlm, "last->visual"), pytest.raises(ll.ConfigurationError, match=WRONG):
        vlm.run(tiny_image())
    with ll.knock_out(vlm, "last->visual", verify=False):
        vlm.run(tiny_image())
    with ll.knock_out(vlm, "last->visual", layers=[0, 2]):
        vlm.run(tiny_image())


def test_one_that_ignores_them_in_steps_alone_is_found(vlm: VLM, replaced: Any) -> None:
    def wrong(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, **kwargs: Any) -> Any:
        return sdpa_attention_forward(module, q, k, v, None if q.shape[2] == 1 else mask, **kwargs)

    replaced(wrong)
    with ll.knock_out(vlm, "last->visual"):
        vlm.run(tiny_image())
        with pytest.raises(ll.ConfigurationError, match=WRONG):
            vlm.generate(tiny_image(), max_new_tokens=4, min_new_tokens=4)


def test_every_new_intervention_is_verified(vlm: VLM, replaced: Any) -> None:
    with ll.knock_out(vlm, "last->visual"):
        vlm.run(tiny_image())
        replaced(drops_the_mask)
        again = ll.knock_out(vlm, "text->visual")
        with again, pytest.raises(ll.ConfigurationError, match=WRONG):
            vlm.run(tiny_image())
    with ll.knock_out(vlm, "last->visual"), pytest.raises(ll.ConfigurationError, match=WRONG):
        vlm.run(tiny_image())


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_a_hook_that_undoes_the_mask_is_found(vlm: VLM, implementation: str) -> None:
    vlm.model.set_attn_implementation({"text_config": implementation})
    attention = vlm.model.model.language_model.layers[1].self_attn

    def undo(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        given = kwargs["attention_mask"]
        opened = torch.ones(given.shape[-2:], dtype=torch.bool).tril()[None, None]
        return args, kwargs | {"attention_mask": opened}

    with ll.knock_out(vlm, "text->visual"):
        handle = attention.register_forward_pre_hook(undo, with_kwargs=True)
        for _ in range(2):  # and again, until it is in order
            with pytest.raises(ll.ConfigurationError, match=WRONG):
                vlm.run(tiny_image())
        handle.remove()
        vlm.run(tiny_image())
    assert "attend" not in attention.__dict__


def test_edges_that_are_not_added_are_found(replaced: Any) -> None:
    vlm = tiny_vlm("llava")
    replaced(drops_the_mask)
    with (
        ll.visual_attention(vlm, "bidirectional"),
        pytest.raises(ll.ConfigurationError, match="no edge was added: in layer 1"),
    ):
        vlm.run(tiny_image())


def test_a_nan_is_no_zero(vlm: VLM, replaced: Any) -> None:
    """A kernel that divides by zero where a token has no key left."""

    def wrong(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, **kwargs: Any) -> Any:
        z, _ = sdpa_attention_forward(module, q, k, v, mask, **kwargs)
        empty = ~mask.any(-1).transpose(1, 2)[..., None]
        return z.masked_fill(empty, torch.nan), None

    replaced(wrong)
    with ll.knock_out(vlm, "last->all"), pytest.raises(ll.ConfigurationError, match=WRONG):
        vlm.run(tiny_image())


def test_reading_the_weights_changes_nothing(vlm: VLM) -> None:
    for implementation in ("eager", "sdpa"):
        vlm.model.set_attn_implementation({"text_config": implementation})
        logits = []
        for verify in (True, False):
            with ll.knock_out(vlm, "last->visual", verify=verify):
                logits.append(vlm.run(tiny_image()))
        assert torch.equal(logits[0], logits[1])


def test_an_unknown_backend_is_switched_to_sdpa(vlm: VLM) -> None:
    AttentionInterface.register("drops_masks", drops_the_mask)
    AttentionMaskInterface.register("drops_masks", sdpa_mask)
    with ll.knock_out(vlm, "last->visual"):
        expected = vlm.run(tiny_image())
    vlm.model.model.language_model.config._attn_implementation = "drops_masks"
    with ll.knock_out(vlm, "last->visual"):
        assert torch.equal(vlm.run(tiny_image()), expected)
    assert vlm.model.model.language_model.config._attn_implementation == "drops_masks"
    vlm.model.set_attn_implementation({"text_config": "sdpa"})
