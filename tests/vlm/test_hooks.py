"""Hook points: what they show is what attention computes, and what is put there takes effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny import DECODER_FAMILIES, tiny_inputs, tiny_llava, tiny_llavit, tiny_text_config
from tiny_vlm import FAMILIES, LAYERS, WIDTH, tiny_vlm
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.model import LlavitProcessor
from llavit_lens.model.decoders import add_hook_points
from llavit_lens.model.hook_points import ATTENTION_HOOKS, BLOCK_HOOKS
from llavit_lens.vlm.hooks import SHORT_NAMES, NamedHook, full_name, hook_points, select
from llavit_lens.vlm.vlm import VLM

PICTURE = torch.randint(0, 255, (28, 28, 3), generator=torch.Generator().manual_seed(0))
IMAGE = PICTURE.to(torch.uint8).numpy()
HEADS, GROUPS, HEAD_WIDTH = 4, 2, WIDTH // 4


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", DECODER_FAMILIES)
@torch.no_grad()
def test_transformers_own_models_get_them_and_stay_the_same(
    family: str, implementation: str, processor: LlavitProcessor
) -> None:
    model = tiny_llava(text_config=tiny_text_config(family))
    model.set_attn_implementation(implementation)
    inputs = tiny_inputs(processor)
    del inputs["mm_token_type_ids"]  # which LLaVA does not know
    settings = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    before, keys = model(**inputs).logits, list(model.state_dict())
    said = model.generate(**inputs, **settings)
    add_hook_points(model)
    layer = model.model.language_model.layers[1]
    seen: list[Tensor] = []
    layer.self_attn.hook_z.register_forward_hook(lambda *call: seen.append(call[-1]))
    assert (model(**inputs).logits - before).abs().max() == 0.0
    assert list(model.state_dict()) == keys and len(seen) == 1
    assert torch.equal(model.generate(**inputs, **settings), said)
    add_hook_points(model)
    assert model.model.language_model.layers[1] is layer


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cache_holds_every_point_in_its_shape(family: str) -> None:
    vlm = tiny_vlm(family)
    logits, cache = vlm.run_with_cache(IMAGE)
    assert set(cache) == set(vlm.hook_names)
    assert {name.rsplit(".", 1)[-1] for name in cache} == {
        *BLOCK_HOOKS,
        *(name for name in ATTENTION_HOOKS if family == "llavit" or "visual" not in name),
    }
    visual = len(vlm.prepare(IMAGE).layout)
    length = logits.shape[1]
    text = length - visual if family == "llavit" else length
    assert cache["q_text", 0].shape == (text, HEADS, HEAD_WIDTH)
    assert cache["v", 1].shape == cache["rot_k", 1].shape == (1, length, GROUPS, HEAD_WIDTH)
    assert cache["q", -1].shape == cache["z", 2].shape == (1, length, HEADS, HEAD_WIDTH)
    assert cache["pattern", 0].shape == cache["attn_scores", 0].shape == (1, HEADS, length, length)
    assert cache["resid_mid", 0].shape == (1, length, WIDTH)
    if family == "llavit":
        assert cache["k_visual", 0].shape == (visual, GROUPS, HEAD_WIDTH)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_what_is_shown_is_what_is_computed(family: str) -> None:
    """Each activation from those before it, by the layer's own parts and the textbook's formula."""
    vlm = tiny_vlm(family)
    logits, cache = vlm.run_with_cache(IMAGE)
    positions = torch.as_tensor(vlm.prepare(IMAGE).layout.positions)
    decoder = vlm.model.model.language_model
    budget = 64 * 2.0**-24 * cache["resid_post", -1].abs().max()
    for index, layer in enumerate(decoder.layers):
        at = {name: value for name, value in cache.items() if name.startswith(f"blocks.{index}.")}
        of = {name.rsplit("hook_", 1)[-1]: value for name, value in at.items()}
        normed = layer.input_layernorm(of["resid_pre"])
        q = layer.self_attn.q_proj(normed)
        if family == "llavit":
            q[:, positions] = layer.self_attn.q_proj_visual(normed)[:, positions]
            assert torch.equal(of["q_visual"], of["q"][0, positions])
        torch.testing.assert_close(of["q"].flatten(-2), q, rtol=0, atol=float(budget))
        keys = of["rot_k"].repeat_interleave(HEADS // GROUPS, dim=2)
        scores = torch.einsum("blhe,bshe->bhls", of["rot_q"], keys) / HEAD_WIDTH**0.5
        allowed = of["pattern"] > 0
        torch.testing.assert_close(
            of["attn_scores"][allowed], scores[allowed], rtol=0, atol=float(budget)
        )
        torch.testing.assert_close(of["pattern"], of["attn_scores"].softmax(-1), rtol=0, atol=1e-6)
        values = of["v"].repeat_interleave(HEADS // GROUPS, dim=2)
        z = torch.einsum("bhls,bshe->blhe", of["pattern"], values)
        torch.testing.assert_close(of["z"], z, rtol=0, atol=float(budget))
        assert torch.equal(layer.self_attn.o_proj(of["z"].flatten(-2)), of["attn_out"])
        assert torch.equal(of["resid_mid"], of["resid_pre"] + of["attn_out"])
        mlp = layer.mlp(layer.post_attention_layernorm(of["resid_mid"]))
        assert torch.equal(of["mlp_out"], mlp)
        assert torch.equal(of["resid_post"], of["resid_mid"] + of["mlp_out"])
        if index:
            assert torch.equal(of["resid_pre"], cache["resid_post", index - 1])
    assert torch.equal(vlm.model.lm_head(decoder.norm(cache["resid_post", -1])), logits)


def test_causal_and_bidirectional_patterns() -> None:
    for family, later in (("llava", False), ("llavit", True)):
        vlm = tiny_vlm(family)
        _, cache = vlm.run_with_cache(IMAGE, names_filter="*.hook_pattern")
        positions = vlm.prepare(IMAGE).layout.positions
        among = cache["pattern", 1][0][:, positions][:, :, positions]
        assert bool((among.triu(1) > 0).any()) is later


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_at_any_point_takes_effect(family: str, implementation: str) -> None:
    vlm = tiny_vlm(family)
    vlm.model.set_attn_implementation({"text_config": implementation})
    before = vlm.run(IMAGE)
    generator = torch.Generator().manual_seed(1)

    def blur(activation: Tensor, hook: NamedHook) -> Tensor:
        # times a factor of its own for each number: a shift of all scores would change nothing
        return activation * torch.rand(activation.shape, generator=generator)

    for name in vlm.hook_names:
        changed = vlm.run_with_hooks(IMAGE, fwd_hooks=[(name, blur)])
        assert (changed - before).abs().max() > 1e-5, name
    assert torch.equal(vlm.run(IMAGE), before)
    assert vlm.model.model.language_model.config._attn_implementation == implementation


@torch.no_grad()
def test_an_edit_of_resid_mid_reaches_the_skip_branch_and_the_mlp() -> None:
    vlm = tiny_vlm("llavit")
    layer = vlm.model.model.language_model.layers[1]
    new = torch.randn(1, vlm.run(IMAGE).shape[1], WIDTH)
    seen: dict[str, Tensor] = {}
    with vlm.hooks(
        [
            ("blocks.1.hook_resid_mid", lambda *_: new),
            ("blocks.1.hook_resid_post", lambda out, hook: seen.update(post=out)),
        ]
    ):
        vlm.run(IMAGE)
    assert torch.equal(seen["post"], new + layer.mlp(layer.post_attention_layernorm(new)))


def test_hooks_take_part_in_generation_and_in_traces() -> None:
    vlm = tiny_vlm("llavit")
    calls: list[str] = []
    with vlm.hooks([("blocks.2.attn.hook_z", lambda z, hook: calls.append(hook.name))]):
        vlm.generate(IMAGE, max_new_tokens=3, min_new_tokens=3)
    assert calls == ["blocks.2.attn.hook_z"] * 3
    flat = torch.ones(WIDTH)
    with vlm.hooks([(full_name("resid_pre", 0), lambda x, _: x * 0 + flat)]):
        trace = vlm.trace(IMAGE)
    assert (trace.hidden[0] == 1).all()
    assert len(logit_lens(trace).layers) == LAYERS + 1


def keep(activation: Tensor, hook: NamedHook) -> None:
    """A hook that changes nothing."""


@pytest.mark.parametrize("short", SHORT_NAMES)
def test_short_names_mean_all_layers(short: str) -> None:
    vlm = tiny_vlm("llavit")
    full = [full_name(short, layer) for layer in range(LAYERS)]
    for name in (short, f"hook_{short}"):
        assert select(name, vlm.hook_names) == full
    _, cache = vlm.run_with_cache(IMAGE, names_filter=[short, "blocks.1.hook_mlp_out"])
    assert set(cache) == {*full, "blocks.1.hook_mlp_out"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("resid_post", LAYERS), r"no layer 3; layers are numbered 0 to 2"),
        (("resid_post", -LAYERS - 1), "no layer -4"),
        (("resid_post", "1"), "no layer '1'"),
        (("resid_post",), "no layer None"),
        (("resid_pots", 1), "did you mean resid_post"),
        (("resid_post", 1, "mlp"), "is no key of a cache"),
        (("z", 1), r"^'blocks.1.attn.hook_z' is not in this cache; .*hook_resid_post"),
        ("resid_post", r"say of which layer: cache\['resid_post', 0\]"),
        ("unknown", "'unknown' is not in this cache; there are blocks"),
    ],
)
@pytest.mark.parametrize("kind", [ConfigurationError, KeyError])
def test_what_a_cache_does_not_hold(key: Any, message: str, kind: type[Exception]) -> None:
    _, cache = tiny_vlm("llavit").run_with_cache(IMAGE, names_filter="resid_post")
    with pytest.raises(kind, match=message):
        cache[key]


def test_keys_of_a_cache() -> None:
    _, cache = tiny_vlm("llavit").run_with_cache(IMAGE, names_filter="pattern")
    last = cache[f"blocks.{LAYERS - 1}.attn.hook_pattern"]
    assert cache["pattern", -1] is cache["pattern", np.int64(LAYERS - 1), "attn"] is last


@pytest.mark.long
@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda vlm: vlm.run_with_cache(IMAGE, names_filter="blocks.0.hook_resid_mdi"),
            "did you mean",
        ),
        (lambda vlm: vlm.run_with_cache(IMAGE, names_filter="blocks.9.*"), "has no hook point"),
        (
            lambda vlm: vlm.run_with_hooks(
                IMAGE, fwd_hooks=[("blocks.0.*", lambda x, _: x[:, :1])]
            ),
            "returned a tensor of shape",
        ),
        (lambda vlm: full_name("queries", 0), "there is no hook point"),
        (lambda vlm: full_name("patern", 0), "did you mean pattern"),
        (lambda vlm: vlm.run_with_cache(IMAGE, names_filter="resid_pots"), "mean resid_post"),
        (lambda vlm: vlm.run_with_cache(IMAGE, names_filter=lambda _: False), "chooses none"),
        (lambda vlm: vlm.run_with_cache(IMAGE, names_filter=["z", 3]), "no hook point 3"),
        (lambda vlm: vlm.run_with_cache(IMAGE, names_filter=3), "3 is no name"),
        (lambda vlm: vlm.hooks({"z": keep}).__enter__(), "are a list of pairs"),
        (lambda vlm: vlm.hooks(("z", keep)).__enter__(), "are a list of pairs"),
        (lambda vlm: vlm.hooks([(keep, "z")]).__enter__(), "are a list of pairs"),
        (lambda vlm: vlm.hooks([("z", lambda z: z)]).__enter__(), "must take two arguments"),
        (lambda vlm: vlm.hooks([("z", [].append)]).__enter__(), "must take two arguments"),
        (
            lambda vlm: vlm.run_with_hooks(IMAGE, fwd_hooks=[("z", lambda z, hook: 0)]),
            "returned a int; return a tensor",
        ),
    ],
)
def test_mistakes_are_named_and_leave_nothing_behind(
    act: Callable[[VLM], object], message: str
) -> None:
    vlm = tiny_vlm("llavit")
    before = vlm.run(IMAGE)
    with pytest.raises(ConfigurationError, match=message):
        act(vlm)
    assert torch.equal(vlm.run(IMAGE), before)


def test_a_pattern_that_is_never_made_is_refused() -> None:
    vlm = tiny_vlm("llavit")
    attention = vlm.model.model.language_model.layers[1].self_attn
    handle = attention.hook_pattern.register_forward_hook(lambda *_: None)
    with pytest.raises(ConfigurationError, match="hook_pattern of layer 1 has a hook, but"):
        vlm.run(IMAGE)
    handle.remove()
    vlm.run(IMAGE)


def test_replaced_layers_are_refused(processor: LlavitProcessor) -> None:
    model = tiny_llava()
    model.model.language_model.layers[1].self_attn.forward = lambda *_: None
    for _ in range(2):  # no layer is changed before all are known to fit
        with pytest.raises(ConfigurationError, match="was replaced on the instance"):
            add_hook_points(model)
    with pytest.raises(ConfigurationError, match="has no hook points"):
        add_hook_points(torch.nn.Linear(2, 2))


def test_no_hook_point_is_in_the_state_dict() -> None:
    assert not any("hook" in name for name in tiny_llavit().state_dict())


def test_names_can_be_read_without_hook_points() -> None:
    """The model stays as transformers made it until hook points are wanted."""
    vlm = tiny_vlm("llava")
    layers = vlm.decoder.layers
    before = [(type(layer), type(layer.self_attn)) for layer in layers]
    names = vlm.hook_names
    assert [(type(layer), type(layer.self_attn)) for layer in layers] == before
    assert not any(hasattr(layer, "hook_resid_pre") for layer in layers)
    vlm.add_hook_points()
    assert [(type(layer), type(layer.self_attn)) for layer in layers] != before
    assert list(hook_points(vlm.model)) == names == vlm.hook_names
