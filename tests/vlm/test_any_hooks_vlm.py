"""Hook points, patterns and patches of models of any family, through a `VLM`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from family_cases import CASES
from torch import Tensor

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.ablation import ablate_visual_attention
from llavit_lens.interventions.patching import patch
from llavit_lens.lens.attention import attention_patterns
from llavit_lens.vlm.hooks import NamedHook

RANDOM = np.random.default_rng(0)
IMAGE, OTHER = (RANDOM.integers(0, 255, (60, 90, 3)).astype(np.uint8) for _ in range(2))


@pytest.mark.parametrize("name", ["gemma3", "qwen3_5"])
def test_patterns_are_the_weights_of_the_models_own_eager(name: str) -> None:
    case = CASES[name]
    vlm = case.vlm(attn="sdpa")
    prepared = vlm.prepare(IMAGE, case.prompt)
    found = attention_patterns(vlm, IMAGE, case.prompt, queries=["last", 3])
    assert vlm.decoder.attn_implementation == "sdpa"
    model = case.model(attn="eager")
    model.load_state_dict(vlm.model.state_dict())
    with torch.no_grad():
        own = model(**prepared.inputs, use_cache=False, output_attentions=True).attentions
    assert found.layers == (list(range(4)) if name == "gemma3" else [3])
    visual = prepared.layout.positions
    for of_layer, weights in zip(own, found.weights, strict=True):
        for index, query in enumerate(found.queries):
            expected = of_layer[0, :, query.position].numpy()
            assert np.array_equal(weights[:, index], expected[:, visual])


def test_a_layer_without_a_pattern_is_named_where_it_is_asked_for() -> None:
    case = CASES["qwen3_5"]
    with pytest.raises(ConfigurationError, match=r"layers 1 do not have it: a gated delta net"):
        attention_patterns(case.vlm(), IMAGE, case.prompt, layers=[1, 3])


def test_patterns_on_one_of_several_images() -> None:
    """As the model's weights at that image's tokens; its patches may be queries, too."""
    case = CASES["qwen2_5_vl"]
    vlm = case.vlm(attn="eager")
    mark = case.prompt.split("What")[0]
    prompt = mark + case.prompt
    images = [IMAGE, OTHER]
    prepared = vlm.prepare(images, prompt)
    _, cache = vlm.run_with_cache(images, prompt, names_filter="pattern")
    for number, layout in enumerate(prepared.layouts):
        found = attention_patterns(vlm, images, prompt, queries=["last", (0, 1)], onto=number)
        assert found.queries[1].position == layout.positions[1]
        rows = [query.position for query in found.queries]
        for layer in range(4):
            expected = cache["pattern", layer][0][:, rows][:, :, layout.positions].numpy()
            assert np.array_equal(found.weights[layer], expected)
    with pytest.raises(ConfigurationError, match=r"2 images.*onto=0"):
        attention_patterns(vlm, images, prompt)
    with pytest.raises(ConfigurationError, match="no image 2"):
        attention_patterns(vlm, images, prompt, onto=2)


@pytest.mark.parametrize("name", ["gemma3", "qwen3_vl"])
def test_traces_and_generations_take_hooks(name: str) -> None:
    case = CASES[name]
    vlm = case.vlm(attn="sdpa")
    said = vlm.generate(IMAGE, case.prompt, max_new_tokens=4, min_new_tokens=4)
    calls: list[tuple[int, ...]] = []
    with vlm.hooks([("blocks.2.attn.hook_z", lambda z, hook: calls.append(tuple(z.shape[:2])))]):
        assert vlm.generate(IMAGE, case.prompt, max_new_tokens=4, min_new_tokens=4) == said
    assert [call[1] for call in calls[1:]] == [1, 1, 1] and calls[0][1] > 1

    def flatten(states: Tensor, hook: NamedHook) -> Tensor:
        return torch.ones_like(states)

    with vlm.hooks([("blocks.1.hook_resid_post", flatten)]):
        trace = vlm.trace(IMAGE, case.prompt)
    is_flat = bool((trace.hidden[2] == 1).all())
    assert is_flat is (name != "qwen3_vl")  # which adds features of its tower between layers
    assert not (vlm.trace(IMAGE, case.prompt).hidden[2] == 1).all()


@pytest.mark.parametrize("point", ["blocks.0.hook_resid_pre", "blocks.1.attn.hook_v"])
def test_a_patched_generation_is_the_sources(point: str) -> None:
    """All of the source's activations at a point, in the place of another image's: what follows is
    as with the source's image, wherever nothing else differs. gemma3 has one size for all."""
    case = CASES["gemma3"]
    vlm = case.vlm(attn="sdpa")
    source = vlm.run(OTHER, case.prompt)
    plain = vlm.run(IMAGE, case.prompt)
    with patch(vlm, (OTHER, case.prompt), point, positions="all"):
        patched = vlm.run(IMAGE, case.prompt)
        said = vlm.generate(IMAGE, case.prompt, max_new_tokens=3, min_new_tokens=3)
    if point.endswith("resid_pre"):
        assert torch.equal(patched, source)
        assert said == vlm.generate(OTHER, case.prompt, max_new_tokens=3, min_new_tokens=3)
    else:
        assert not torch.equal(patched, plain)
    assert torch.equal(vlm.run(IMAGE, case.prompt), plain)


@torch.no_grad()
def test_heads_are_silenced_at_visual_tokens_of_any_family() -> None:
    case = CASES["gemma3"]
    vlm = case.vlm(attn="sdpa")
    seen: list[Tensor] = []
    with (
        ablate_visual_attention(vlm, layers=1, heads=[2]),
        vlm.hooks([("blocks.1.attn.hook_z", lambda z, hook: seen.append(z.clone()))]),
    ):
        vlm.run(IMAGE, case.prompt)
    visual = torch.as_tensor(vlm.prepare(IMAGE, case.prompt).layout.positions)
    assert not seen[0][0, visual, 2].any() and seen[0][0, visual][:, [0, 1, 3]].any(-1).all()


@pytest.mark.long
def test_the_bridge_to_transformer_lens_says_whom_it_is_for() -> None:
    pytest.importorskip("transformer_lens")
    vlm = CASES["gemma3"].vlm()
    with pytest.raises(ConfigurationError, match=r"is a Gemma3TextModel: use vlm\.hooks"):
        ll.to_transformer_lens(vlm)
    with pytest.raises(ConfigurationError, match=r"vlm\.hook_names lists them"):
        vlm.add_hook_points()


def test_deepstack_shows_between_layers() -> None:
    """What a layer puts out is what the next reads, but where features are added in between, at
    visual tokens alone."""
    case = CASES["qwen3_vl"]
    vlm = case.vlm()
    _, cache = vlm.run_with_cache(IMAGE, case.prompt, names_filter=["resid_pre", "resid_post"])
    visual = vlm.prepare(IMAGE, case.prompt).layout.positions
    for layer, adds in ((0, True), (1, True), (2, False)):
        moved: Any = (cache["resid_pre", layer + 1] != cache["resid_post", layer])[0].any(-1)
        assert moved.nonzero().flatten().tolist() == (visual.tolist() if adds else [])
