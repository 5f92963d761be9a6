"""Knockouts and Eq. 5 in decoders of every family, by hooks on what mixes tokens in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from any_model import set_attention
from family_cases import CASES
from family_images import noise, read_only_vlm
from tiny import FOUR_TOKENS, tiny_inputs
from tiny_vlm import tiny_vlm
from torch import Tensor

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions import attention_changes
from llavit_lens.interventions.any_attention import AnyChanges
from llavit_lens.model.decoders import rebuilds
from llavit_lens.vlm.decoder import state_made
from llavit_lens.vlm.mixers import mixers
from llavit_lens.vlm.vlm import VLM

BOTH = ("eager", "sdpa")
SIZE = (100, 60)
SLIDING = {
    "text_config": {
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    }
}
"""Every second layer sees eight tokens."""


def inputs_of(vlm: VLM, name: str, seed: int = 0) -> dict[str, Any]:
    prompt = CASES[name].prompt
    made = vlm.processor(images=[noise(SIZE, seed)], text=[prompt], return_tensors="pt")
    return made.to(dtype=vlm.dtype)


def visual_of(vlm: VLM, inputs: dict[str, Any]) -> Tensor:
    """bool [L]."""
    is_visual: Tensor = inputs["input_ids"][0] == vlm.image_token_id
    return is_visual


@torch.no_grad()
def last_states(vlm: VLM, inputs: dict[str, Any], negated: int | None = None) -> Tensor:
    """[L, D], what the last layer puts out; the state of one token is negated before the first."""
    kept: list[Tensor] = []

    def negate(module: Any, args: Any, kwargs: Any) -> Any:
        if negated is None:
            return None
        states = (args[0] if args else kwargs["hidden_states"]).clone()
        states[:, negated] *= -1
        return ((states, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": states})

    layers = vlm.decoder.layers
    handles = [
        layers[0].register_forward_pre_hook(negate, with_kwargs=True),
        layers[-1].register_forward_hook(lambda *call: kept.append(state_made(call[-1])[0])),
    ]
    try:
        vlm.model(**inputs, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return kept[0].clone()


def attending(vlm: VLM) -> Iterator[None]:
    """By "eager", by "sdpa", and at the end as before."""
    before = vlm.decoder.attn_implementation
    for attn in BOTH:
        set_attention(vlm.model, attn)
        yield
    set_attention(vlm.model, before)


def budget(name: str, states: Tensor) -> float:
    """Zero; experts add up in an order that depends on other tokens, so rounding there."""
    eps = torch.finfo(states.dtype).eps
    return 16 * eps * states.abs().max().item() if CASES[name].experts else 0.0


@pytest.mark.parametrize("name", CASES)
def test_text_that_is_cut_off_does_not_know_the_image(name: str) -> None:
    vlm = read_only_vlm(name)
    one, other = (inputs_of(vlm, name, seed) for seed in (0, 1))
    text = ~visual_of(vlm, one)
    for _ in attending(vlm):
        if not CASES[name].maskable:
            with (
                pytest.raises(ConfigurationError, match="that no mask reaches; knock out in layer"),
                ll.knock_out(vlm, "text->visual"),
            ):
                pass
            continue
        moved = last_states(vlm, one)[text] - last_states(vlm, other)[text]
        assert moved.abs().max() > 0 or name == "got_ocr2"  # its tower hardly sees anything
        with ll.knock_out(vlm, "text->visual"):
            states, of_other = last_states(vlm, one)[text], last_states(vlm, other)[text]
        assert (states - of_other).abs().max() <= budget(name, states)


@pytest.mark.parametrize("name", CASES)
def test_without_update_visual_tokens_do_not_know_each_other(name: str) -> None:
    vlm = read_only_vlm(name)
    inputs = inputs_of(vlm, name)
    is_visual = visual_of(vlm, inputs)
    visual = is_visual.nonzero().squeeze(1).tolist()
    others = is_visual.clone()
    changed = visual[len(visual) // 2]
    others[changed] = False
    for _ in attending(vlm):
        put_out: list[Tensor] = []
        with ll.ablate_visual_attention(vlm):
            handles = [
                mixer.module.register_forward_hook(
                    lambda *call, kept=put_out: kept.append(state_made(call[-1])[0])
                )
                for mixer in mixers(vlm.decoder)
            ]
            states = last_states(vlm, inputs)
            for handle in handles:
                handle.remove()
            after = last_states(vlm, inputs, negated=changed)
        assert len(put_out) == vlm.decoder.n_layers
        if not rebuilds(vlm.model):
            assert all(not out[is_visual].any() for out in put_out)
        assert all(out[~is_visual].any() for out in put_out)
        assert (states - after)[others].abs().max() <= budget(name, states)
        assert (states - after)[changed].any()
        assert not torch.equal(states, last_states(vlm, inputs))


@contextmanager
def cut_by_hand(vlm: VLM, closed_LL: Tensor) -> Iterator[None]:
    """Edges closed by a few lines that know nothing of the package."""

    def close(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        mask, states = kwargs["attention_mask"], kwargs["hidden_states"]
        if mask is None:
            mask = torch.ones_like(closed_LL).tril()[None, None]
        if mask.dtype == torch.bool:
            return args, kwargs | {"attention_mask": mask & ~closed_LL}
        lowest = torch.finfo(states.dtype).min
        return args, kwargs | {"attention_mask": mask.masked_fill(closed_LL, lowest)}

    handles = [
        layer.self_attn.register_forward_pre_hook(close, with_kwargs=True)
        for layer in vlm.decoder.layers
    ]
    yield
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("attn", BOTH)
@pytest.mark.parametrize(
    ("name", "changes"),
    [("qwen2_5_vl", {}), ("gemma3", SLIDING), ("idefics3", {})],
    ids=["qwen2_5_vl", "gemma3 with windows", "idefics3"],
)
def test_equals_the_same_cut_by_hand(name: str, changes: dict[str, Any], attn: str) -> None:
    vlm = CASES[name].vlm(attn, **changes)
    inputs = inputs_of(vlm, name)
    is_visual = visual_of(vlm, inputs)
    with ll.knock_out(vlm, "text->visual"), ll.knock_out(vlm, "visual->visual", keep_self=True):
        states = last_states(vlm, inputs)
    among = is_visual[:, None] & is_visual & ~torch.eye(len(is_visual), dtype=torch.bool)
    with cut_by_hand(vlm, (~is_visual[:, None] & is_visual) | among):
        expected = last_states(vlm, inputs)
    assert torch.equal(states, expected)
    assert not torch.equal(states, last_states(vlm, inputs))


# -- the same models in both ways


@contextmanager
def by_hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, LLaVA's decoder is treated as any other."""
    with monkeypatch.context() as patch:
        patch.setattr(attention_changes, "rebuilds", lambda model: False)
        yield


CUTS: dict[str, dict[str, Any]] = {
    "all heads": {"edges": "text->visual"},
    "some heads and layers": {"edges": "last->visual", "heads": [1], "layers": [1]},
    "several": {"edges": ["visual->visual", "last->all"], "keep_self": True, "which": "earlier"},
    "no key is left": {"edges": ("last", "all")},
}


@pytest.mark.parametrize("attn", BOTH)
@pytest.mark.parametrize("cut", CUTS)
@torch.no_grad()
def test_on_llava_equals_its_own_way(cut: str, attn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilt, as_any = tiny_vlm("llava"), tiny_vlm("llava")
    inputs = tiny_inputs(rebuilt.processor, padding_side="left")
    real = inputs["attention_mask"].bool()
    for vlm in (rebuilt, as_any):
        set_attention(vlm.model, attn)
    with ll.knock_out(rebuilt, **CUTS[cut]):
        expected = rebuilt.model(**inputs).logits
        said = rebuilt.model.generate(**inputs, **FOUR_TOKENS)
    with by_hooks(monkeypatch), ll.knock_out(as_any, **CUTS[cut]):
        logits = as_any.model(**inputs).logits
        assert torch.equal(as_any.model.generate(**inputs, **FOUR_TOKENS), said)
    assert torch.equal(logits[real], expected[real])
    assert not torch.equal(logits[real], as_any.model(**inputs).logits[real])


@pytest.mark.parametrize("attn", BOTH)
@pytest.mark.parametrize("mode", ["self", "bidirectional", "none"])
@torch.no_grad()
def test_visual_attention_on_llava_equals_its_own_way(
    mode: Any, attn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilt, as_any = tiny_vlm("llava"), tiny_vlm("llava")
    inputs = tiny_inputs(rebuilt.processor, padding_side="left")
    real = inputs["attention_mask"].bool()
    for vlm in (rebuilt, as_any):
        set_attention(vlm.model, attn)
    with ll.visual_attention(rebuilt, mode, layers=[0]):
        expected = rebuilt.model(**inputs).logits[real]
    with by_hooks(monkeypatch), ll.visual_attention(as_any, mode, layers=[0]):
        logits = as_any.model(**inputs).logits[real]
    assert torch.equal(logits, expected)
    assert (logits - as_any.model(**inputs).logits[real]).abs().max() > 1e-3


# -- models whose visual tokens see each other


@pytest.mark.parametrize("attn", BOTH)
@pytest.mark.parametrize("name", ["gemma3", "paligemma"])
def test_causal_undoes_what_the_model_does_by_design(name: str, attn: str) -> None:
    vlm = CASES[name].vlm(attn)
    inputs = inputs_of(vlm, name)
    is_visual = visual_of(vlm, inputs)
    last = int(is_visual.nonzero()[-1])
    before = torch.arange(len(is_visual)) < last
    states = last_states(vlm, inputs)
    assert (states - last_states(vlm, inputs, negated=last))[before].any()
    with ll.visual_attention(vlm, "causal"):
        states = last_states(vlm, inputs)
        assert torch.equal(states[before], last_states(vlm, inputs, negated=last)[before])


@pytest.mark.parametrize("name", ["qwen2_vl", "idefics3"])
def test_bidirectional_gives_it_to_others(name: str) -> None:
    vlm = CASES[name].vlm()
    inputs = inputs_of(vlm, name)
    first, *_, last = visual_of(vlm, inputs).nonzero().squeeze(1).tolist()
    for mode, moves in (("causal", False), ("self", False), ("bidirectional", True)):
        with ll.visual_attention(vlm, mode):
            states, after = (last_states(vlm, inputs, negated=one) for one in (None, last))
        assert bool((states[first] != after[first]).any()) == moves


# -- steps of a generation


@pytest.mark.parametrize(
    ("name", "changes"),
    [("qwen2_5_vl", {}), ("gemma3", SLIDING), ("qwen3_5", {}), ("lfm3_vl", {})],
    ids=["qwen2_5_vl", "gemma3 with windows", "qwen3_5", "lfm3_vl"],
)
@torch.no_grad()
def test_a_cache_changes_no_answer(name: str, changes: dict[str, Any]) -> None:
    vlm = CASES[name].vlm(**changes)
    inputs = inputs_of(vlm, name)
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    plain = vlm.model.generate(**inputs, **options)
    way = (
        ll.knock_out(vlm, "text->visual")
        if CASES[name].maskable
        else ll.ablate_visual_attention(vlm)
    )
    with way:
        cached = vlm.model.generate(**inputs, **options, use_cache=True)
        assert torch.equal(cached, vlm.model.generate(**inputs, **options, use_cache=False))
    assert torch.equal(plain, vlm.model.generate(**inputs, **options))


# -- mistakes make a noise


def test_layers_without_a_mask_may_be_left_out() -> None:
    vlm = CASES["qwen3_5"].vlm()
    inputs = inputs_of(vlm, "qwen3_5")
    with ll.knock_out(vlm, "text->visual", layers=[3]):
        states = last_states(vlm, inputs)
    assert not torch.equal(states, last_states(vlm, inputs))
    with (
        pytest.raises(
            ConfigurationError, match=r"layer 1 mixes .* a gated delta net .* layer 3 only"
        ),
        ll.knock_out(vlm, "text->visual", layers=[1, 3]),
    ):
        pass


@pytest.mark.parametrize("attn", BOTH)
def test_a_mask_that_is_dropped_is_an_error(attn: str) -> None:
    vlm = CASES["qwen2_vl"].vlm(attn)
    inputs = inputs_of(vlm, "qwen2_vl")

    def drop(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        length = kwargs["hidden_states"].shape[1]
        allowed = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
        zeros = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
        return args, kwargs | {"attention_mask": zeros if attn == "eager" else allowed}

    with ll.knock_out(vlm, "text->visual"):
        handle = vlm.decoder.layers[2].self_attn.register_forward_pre_hook(drop, with_kwargs=True)
        with pytest.raises(ConfigurationError, match="an edge was not cut: in layer 2"):
            last_states(vlm, inputs)
        handle.remove()


def test_a_layer_that_is_skipped_is_an_error() -> None:
    vlm = CASES["qwen2_vl"].vlm()
    inputs = inputs_of(vlm, "qwen2_vl")
    layer = vlm.decoder.layers[1]
    for way in (ll.knock_out(vlm, "text->visual"), ll.ablate_visual_attention(vlm)):
        with way:
            layer.forward = lambda hidden_states, **_: hidden_states  # type: ignore[method-assign]
            with pytest.raises(ConfigurationError, match=r"layer 1.* did not act in this pass"):
                last_states(vlm, inputs)
            del layer.forward


def test_a_bias_after_attention_is_an_error() -> None:
    vlm = CASES["glm4v"].vlm()
    inputs = inputs_of(vlm, "glm4v")
    norm = vlm.decoder.layers[0].post_self_attn_layernorm
    width = vlm.decoder.config.hidden_size
    vlm.decoder.layers[0].post_self_attn_layernorm = biased = torch.nn.LayerNorm(width)
    torch.nn.init.ones_(biased.bias)
    with (
        ll.ablate_visual_attention(vlm),
        pytest.raises(ConfigurationError, match=r"Eq\. 5 is not possible"),
    ):
        last_states(vlm, inputs)
    vlm.decoder.layers[0].post_self_attn_layernorm = norm
    with ll.ablate_visual_attention(vlm):
        last_states(vlm, inputs)


def test_nothing_to_cut_is_said() -> None:
    vlm = CASES["qwen2_vl"].vlm()
    with (
        ll.knock_out(vlm, "visual->visual", which="later"),
        pytest.warns(UserWarning, match="there is nothing to cut"),
    ):
        last_states(vlm, inputs_of(vlm, "qwen2_vl"))


def test_which_way_a_model_goes() -> None:
    assert rebuilds(tiny_vlm("llava").model)
    assert rebuilds(tiny_vlm("llavit").model)
    vlm = CASES["qwen2_vl"].vlm()
    assert not rebuilds(vlm.model)
    assert isinstance(attention_changes._changes_of(vlm), AnyChanges)
