"""Hook points of decoders of any family: each equals what plain torch hooks, or the textbook's
formula, say of the same pass; edits act where they are made, and nothing stays behind.

Passes go through the model itself, so no layout of an image is needed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from any_model import require_text_pass
from family_case import Case
from family_cases import CASES
from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.branches import branches
from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.hooks import NamedHook, hook_names, hook_points, hooks
from llavit_lens.vlm.layer_points import ATTENTION_POINTS, LAYER_POINTS

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 90, 3)).astype(np.uint8)

FAMILIES = [
    "qwen2_5_vl", "qwen3_vl", "gemma3", "gemma4", "idefics3", "paligemma", "aya_vision",
    "qwen3_5", "kimi_k25", "granite4_vision", "chameleon", "lfm2_vl", "emu3", "glm4v", "llama4",
    "molmo2",
]  # fmt: skip
"""Decoders that are not rebuilt: GQA and MHA, sliding windows, latent attention, experts,
convolutions, gated delta nets, norms after branches, both branches at once, layers that return
tuples."""

REBUILT = ["internvl", "mistral3", "llava_onevision"]

EXPERTS = {"llama4", "kimi_k25"}
"""Their sums depend on the other tokens by rounding."""


def inputs_of(case: Case) -> dict[str, Any]:
    """One prompt with an image; text alone where the processor needs torchvision."""
    if case.needs_torchvision:
        return {"input_ids": torch.tensor([[40, 41, 42, 43, 44, 45]])}
    return dict(case.processor()(images=[IMAGE], text=[case.prompt], return_tensors="pt"))


def decoder_in(model: Any) -> Decoder:
    return Decoder.of(model, decoder_of(model))


@torch.no_grad()
def cached(model: Any, inputs: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and activations at all hook points."""
    cache: dict[str, Tensor] = {}

    def keep(activation: Tensor, hook: NamedHook) -> None:
        assert hook.name not in cache
        cache[hook.name] = activation.clone()

    with hooks(model, [(None, keep)]):
        logits = model(**inputs, use_cache=False).logits
    return logits, cache


def budget(*states: Tensor) -> float:
    """What a few sums of float32 numbers of this size may be off by."""
    return 32 * 2.0**-24 * max(float(state.abs().max()) for state in states)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_what_is_shown_is_what_is_computed(name: str) -> None:
    model, inputs = CASES[name].model(attn="eager"), inputs_of(CASES[name])
    decoder = decoder_in(model)
    if "pixel_values" not in inputs:
        require_text_pass(model)
    before = model(**inputs, use_cache=False).logits
    seen: dict[tuple[int, str], Tensor] = {}
    handles = watch(decoder, seen)
    logits, cache = cached(model, inputs)
    for handle in handles:
        handle.remove()
    assert torch.equal(logits, before)
    assert list(cache) and set(cache) == set(hook_names(model))
    for index, added in enumerate(branches(decoder)):
        at = {key.split("hook_")[-1]: cache[key] for key in cache if f"blocks.{index}." in key}
        pre, post = at["resid_pre"], at["resid_post"]
        assert torch.equal(pre, seen[index, "in"]) and torch.equal(post, seen[index, "out"])
        assert torch.equal(at["attn_out"], seen[index, "attn"].view_as(pre))
        assert torch.equal(at["mlp_out"], seen[index, "mlp"].view_as(pre))
        if name not in ("granite4_vision", "gemma4", "llama4"):  # they scale, or add more
            total = pre + at["attn_out"] + at["mlp_out"]
            torch.testing.assert_close(post, total, rtol=0, atol=budget(total, pre))
        if "pattern" in at:
            check_attention(at)
        else:
            assert name in ("qwen3_5", "lfm2_vl") and added.attn is not None
        if index and name not in ("qwen3_vl", "granite4_vision"):
            assert torch.equal(pre, cache[f"blocks.{index - 1}.hook_resid_post"])


@pytest.mark.parametrize("name", ["gemma3", "qwen3_5", "qwen2_5_vl"])
@torch.no_grad()
def test_a_part_of_a_layer_that_is_replaced_is_hooked_where_it_is_now(name: str) -> None:
    model, inputs = CASES[name].model(attn="eager"), inputs_of(CASES[name])
    decoder = decoder_in(model)
    _, before = cached(model, inputs)
    for part in (branches(decoder)[3].attn, branches(decoder)[3].mlp):
        place = next(where for where, module in decoder.module.named_modules() if module is part)
        decoder.module.set_submodule(place, copy.deepcopy(part))
    logits, after = cached(model, inputs)
    assert set(after) == set(before) and torch.equal(
        logits, model(**inputs, use_cache=False).logits
    )
    assert all(torch.equal(after[key], before[key]) for key in before)


def check_attention(at: dict[str, Tensor]) -> None:
    """Pattern, values and results of one layer, by the textbook's formula."""
    pattern, scores, q, k = at["pattern"], at["attn_scores"], at["rot_q"], at["rot_k"]
    heads, groups = q.shape[2], q.shape[2] // k.shape[2]
    length = q.shape[1]
    assert pattern.shape == scores.shape == (len(q), heads, length, length)
    torch.testing.assert_close(pattern.sum(-1), torch.ones(pattern.shape[:-1]))
    torch.testing.assert_close(pattern, scores.softmax(-1), rtol=0, atol=1e-6)
    products = torch.einsum("blhe,bshe->bhls", q, k.repeat_interleave(groups, dim=2))
    allowed = pattern > 0
    ratio = (scores / products)[allowed & (products.abs() > 0.1)]
    if ratio.numel() > 1:  # one scale for all
        assert float(ratio.max() - ratio.min()) < 1e-3 * float(ratio.abs().max())
    values = at["v"].repeat_interleave(groups, dim=2)
    z = torch.einsum("bhls,bshe->blhe", pattern, values)
    torch.testing.assert_close(at["z"], z, rtol=0, atol=budget(values))


def watch(decoder: Decoder, seen: dict[tuple[int, str], Tensor]) -> list[Any]:
    """Plain torch hooks on the same modules."""

    def keep(key: tuple[int, str]) -> Callable[..., None]:
        def after(module: nn.Module, args: Any, result: Any) -> None:
            seen[key] = (result if isinstance(result, Tensor) else result[0]).clone()

        return after

    def enter(index: int) -> Callable[..., None]:
        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            seen[index, "in"] = (args[0] if args else kwargs["hidden_states"]).clone()

        return before

    handles = []
    for index, (layer, added) in enumerate(zip(decoder.layers, branches(decoder), strict=True)):
        handles.append(layer.register_forward_pre_hook(enter(index), with_kwargs=True))
        handles.append(layer.register_forward_hook(keep((index, "out"))))
        assert added.attn is not None and added.mlp is not None
        handles.append(added.attn.register_forward_hook(keep((index, "attn"))))
        handles.append(added.mlp.register_forward_hook(keep((index, "mlp"))))
    return handles


@pytest.mark.parametrize("name", ["qwen2_5_vl", "gemma3", "aya_vision", "idefics3", "qwen3_5"])
@torch.no_grad()
def test_z_gives_what_attention_puts_out(name: str) -> None:
    """By the output projection, where it is one linear map of z alone."""
    model, inputs = CASES[name].model(attn="eager"), inputs_of(CASES[name])
    decoder = decoder_in(model)
    projected: dict[int, Tensor] = {}
    for index, layer in enumerate(decoder.layers):
        attention: Any = getattr(layer, "self_attn", None)
        if attention is not None:
            attention.o_proj.register_forward_pre_hook(
                lambda module, args, index=index: projected.update({index: args[0].clone()})
            )
    _, cache = cached(model, inputs)
    assert projected
    for index, rows in projected.items():
        z = cache[f"blocks.{index}.attn.hook_z"].flatten(2)
        gated = name == "qwen3_5"  # z times a gate
        assert torch.equal(z, rows) is not gated


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["qwen3_vl", "gemma3", "kimi_k25", "lfm2_vl", "idefics3"])
@torch.no_grad()
def test_an_edit_acts_from_where_it_is_made(name: str, implementation: str) -> None:
    """Nothing in earlier layers changes, the stream after that layer does, and it ends with the
    hook: the logits are as before, to the last bit."""
    model, inputs = CASES[name].model(attn=implementation), inputs_of(CASES[name])
    before = model(**inputs, use_cache=False).logits
    streams: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(1)

    def blur(activation: Tensor, hook: NamedHook) -> Tensor:
        return activation * torch.rand(activation.shape, generator=generator)

    def keep(activation: Tensor, hook: NamedHook) -> None:
        streams[hook.name] = activation.clone()

    with hooks(model, [("resid_post", keep)]):
        model(**inputs, use_cache=False)
    plain = dict(streams)
    layer = 2
    for point in (name for name in hook_names(model) if name.startswith(f"blocks.{layer}.")):
        with hooks(model, [(point, blur), ("resid_post", keep)]):
            changed = model(**inputs, use_cache=False).logits
        assert (changed - before).abs().max() > 1e-6, point
        if NamedHook(point).kind not in ("hook_attn_scores", "hook_pattern"):  # those by eager
            first = f"blocks.{layer - 1}.hook_resid_post"
            assert torch.equal(streams[first], plain[first]), point
        assert not torch.equal(
            streams[f"blocks.{layer}.hook_resid_post"], plain[f"blocks.{layer}.hook_resid_post"]
        ), point
    assert torch.equal(model(**inputs, use_cache=False).logits, before)
    assert decoder_of(model).config._attn_implementation == implementation
    for module in model.modules():
        assert type(getattr(module, "config", None)).__name__ != "_View"


@pytest.mark.parametrize("name", ["gemma3", "paligemma", "idefics3", "qwen3_5"])
@torch.no_grad()
def test_patterns_are_the_models_own_attentions(name: str) -> None:
    model, inputs = CASES[name].model(attn="eager"), inputs_of(CASES[name])
    attentions = model(**inputs, use_cache=False, output_attentions=True).attentions
    _, cache = cached(model, inputs)
    patterns = [value for key, value in cache.items() if key.endswith("hook_pattern")]
    assert len(patterns) == len(attentions) > 0
    for pattern, own in zip(patterns, attentions, strict=True):
        assert torch.equal(pattern, own)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["qwen2_5_vl", "gemma3", "gemma4", "aya_vision"])
@torch.no_grad()
def test_keys_and_values_are_changed_before_they_are_cached(name: str, implementation: str) -> None:
    """Steps of a generation read what a hook made of the prompt's keys and values: as in one pass
    over all tokens without a cache."""
    model = CASES[name].model(attn=implementation)
    ids = torch.randint(40, 60, (1, 9), generator=torch.Generator().manual_seed(2))
    edited = [f"blocks.0.attn.{kind}" for kind in ("hook_rot_k", "hook_v")]
    shapes: list[int] = []

    def change(activation: Tensor, hook: NamedHook) -> Tensor:
        shapes.append(activation.shape[1])
        return activation * 0.5

    plain = model(input_ids=ids, use_cache=False).logits[:, -1]
    with hooks(model, [(edited, change)]):
        whole = model(input_ids=ids, use_cache=False).logits[:, -1]
        first = model(input_ids=ids[:, :-1], use_cache=True)
        step = model(
            input_ids=ids[:, -1:],
            past_key_values=first.past_key_values,
            attention_mask=torch.ones_like(ids),
            use_cache=True,
        ).logits[:, -1]
    assert shapes == [9, 9, 8, 8, 1, 1]
    assert (whole - plain).abs().max() > 1e-5
    torch.testing.assert_close(step, whole, rtol=0, atol=budget(whole) * 8)


@pytest.mark.parametrize(
    ("name", "text", "sums_to_one"),
    [
        ("paligemma", {"model_type": "gemma2", "attn_logit_softcapping": 2.0}, True),
        ("internvl", {"model_type": "gpt_oss"}, False),
    ],
)
@torch.no_grad()
def test_soft_caps_and_sinks_are_in_the_pattern(
    name: str, text: dict[str, Any], sums_to_one: bool
) -> None:
    """A sink takes a part of each row; it is no token, so it has no column."""
    model = CASES[name].model(attn="eager", text_config=text)
    ids = {"input_ids": torch.tensor([[40, 41, 42, 43, 44, 45]])}
    attentions = model(**ids, use_cache=False, output_attentions=True).attentions
    _, cache = cached(model, ids)
    for layer, own in enumerate(attentions):
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"]
        torch.testing.assert_close(pattern, own, rtol=0, atol=8 * 2.0**-24)
        rows = pattern.sum(-1)
        assert bool((rows < 0.999).any()) is not sums_to_one and float(rows.max()) < 1.00001
        if "attn_logit_softcapping" in text:
            scores = cache[f"blocks.{layer}.attn.hook_attn_scores"]
            assert float(scores[scores > -1e30].abs().max()) <= 2


@pytest.mark.parametrize("name", ["gemma3", "idefics3"])
@torch.no_grad()
def test_only_the_decoders_attention_is_met(name: str) -> None:
    """Every other module has its own config, and runs what it ran before."""
    model, inputs = CASES[name].model(attn="sdpa"), inputs_of(CASES[name])
    configs = {module: getattr(module, "config", None) for module in model.modules()}
    decoder = decoder_in(model).module
    of_decoder = set(decoder.modules())
    met: set[nn.Module] = set()

    def look(*_: Any) -> None:
        for module, own in configs.items():
            if getattr(module, "config", None) is not own:
                met.add(module)

    with hooks(model, [("*", look)]):
        model(**inputs, use_cache=False)
    assert met and met <= of_decoder and decoder not in met
    assert len(met) == decoder_in(model).n_layers


@torch.no_grad()
def test_keys_of_another_layer_cannot_be_changed_with_a_cache() -> None:
    """gemma4's last layers read keys and values of earlier ones."""
    kinds = ["sliding_attention", "full_attention"] * 2
    text = {"num_kv_shared_layers": 2, "layer_types": kinds}
    model = CASES["gemma4"].model(attn="eager", text_config=text)
    ids = torch.tensor([[40, 41, 42, 43]])
    last = decoder_in(model).n_layers - 1
    layer: Any = decoder_in(model).layers[last]
    assert layer.self_attn.is_kv_shared_layer
    with hooks(model, [(f"blocks.{last}.attn.hook_v", lambda v, _: v * 2)]):
        model(input_ids=ids, use_cache=False)
        with pytest.raises(ConfigurationError, match="takes them from another layer"):
            model(input_ids=ids, use_cache=True)
    with hooks(model, [(f"blocks.{last}.attn.hook_v", lambda v, _: None)]):
        model(input_ids=ids, use_cache=True)


@pytest.mark.parametrize("name", ["qwen2_5_vl", "gemma3"])
@torch.no_grad()
def test_a_batch_is_shown_row_by_row(name: str) -> None:
    model = CASES[name].model(attn="eager")
    ids = torch.randint(40, 60, (2, 7), generator=torch.Generator().manual_seed(3))
    _, both = cached(model, {"input_ids": ids})
    for row in range(2):
        _, alone = cached(model, {"input_ids": ids[row : row + 1]})
        for key, value in alone.items():
            torch.testing.assert_close(both[key][row : row + 1], value, rtol=0, atol=1e-4)


def test_names_are_what_exists_and_why_others_do_not() -> None:
    model = CASES["qwen3_5"].model()
    names = hook_names(model)
    attending = [name for name in names if name.endswith("hook_pattern")]
    assert attending == ["blocks.3.attn.hook_pattern"]
    assert {name.split(".")[-1] for name in names} == {*LAYER_POINTS, *ATTENTION_POINTS}
    for wanted, message in (
        ("blocks.0.attn.hook_pattern", "decoder layers 0 do not have it: a gated delta net mixes"),
        ("blocks.[012].attn.hook_z", "decoder layers 0-2 do not have it: a gated delta net mixes"),
        ("blocks.3.attn.hook_q", "layers 3 do not have it: only decoders rebuilt here do: llama"),
        ("resid_mid", "layers 0-3 do not have it: only decoders rebuilt"),
        ("resid_psot", "did you mean resid_post"),
    ):
        with pytest.raises(ConfigurationError, match=message.replace("[012]", r"\[012\]")):
            hooks(model, [(wanted, lambda *_: None)]).__enter__()
    with pytest.raises(ConfigurationError, match=r"are no modules of it.*vlm\.hooks"):
        hook_points(model)


@pytest.mark.parametrize("name", REBUILT)
def test_rebuilt_decoders_keep_all_their_points(name: str) -> None:
    kinds = {name.split(".")[-1] for name in hook_names(CASES[name].model())}
    assert {"hook_q", "hook_resid_mid", "hook_q_text"} <= kinds


@torch.no_grad()
def test_a_layer_that_is_left_out_is_an_error() -> None:
    """A hook that does not run ends the pass."""
    model = CASES["gemma3"].model(attn="sdpa")
    layer: Any = decoder_in(model).layers[1]
    own = layer.self_attn.forward
    with hooks(model, [("blocks.1.attn.hook_z", lambda *_: None)]):
        model(input_ids=torch.tensor([[40, 41]]), use_cache=False)
        layer.self_attn.forward = lambda hidden_states, **_: (hidden_states, None)
        with pytest.raises(ConfigurationError, match="hook_z did not act in this pass"):
            model(input_ids=torch.tensor([[40, 41]]), use_cache=False)
    layer.self_attn.forward = own


@torch.no_grad()
def test_attention_that_does_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the family's own eager attention makes is compared in each pass."""
    from transformers.models.gemma3 import modeling_gemma3

    own = modeling_gemma3.eager_attention_forward

    def more(*args: Any, **kwargs: Any) -> Any:
        z, weights = own(*args, **kwargs)
        return z * 1.001, weights

    monkeypatch.setattr(modeling_gemma3, "eager_attention_forward", more)
    model = CASES["gemma3"].model(attn="eager")
    with hooks(model, [("z", lambda *_: None)]):
        model(input_ids=torch.tensor([[40, 41]]), use_cache=False)
    with (
        hooks(model, [("pattern", lambda *_: None)]),
        pytest.raises(ConfigurationError, match="Gemma3Attention is more than scores"),
    ):
        model(input_ids=torch.tensor([[40, 41]]), use_cache=False)


@torch.no_grad()
def test_hooks_are_called_in_the_order_in_which_they_were_set() -> None:
    model = CASES["gemma3"].model(attn="sdpa")
    calls: list[str] = []
    ids = torch.tensor([[40, 41]])
    with hooks(model, [("z", lambda *_: calls.append("first"))]):
        with hooks(model, [("blocks.0.attn.hook_z", lambda *_: calls.append("second"))]):
            model(input_ids=ids, use_cache=False)
        assert calls[:2] == ["first", "second"] and calls.count("second") == 1
        model(input_ids=ids, use_cache=False)
    assert calls.count("second") == 1
