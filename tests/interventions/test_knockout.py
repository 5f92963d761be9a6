"""Knockouts, beside attention written out in float64 with every edge decided on its own."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tiny import (
    DECODER_FAMILIES,
    FOUR_TOKENS,
    PROMPT,
    SHORT_PROMPT,
    WINDOW,
    tiny_image,
    tiny_inputs,
    tiny_llavit,
    tiny_text_config,
)
from tiny_vlm import FAMILIES, LAYERS, tiled_vlm, tiny_vlm, trained_as
from torch import Tensor

import llavit_lens as ll
from llavit_lens.vlm.hooks import NamedHook
from llavit_lens.vlm.vlm import VLM

HEADS = 4


@functools.cache
def unchanged_vlm(family: str, implementation: str) -> VLM:
    """One model for all examples of a property; no test may change it."""
    vlm = tiny_vlm(family)
    vlm.model.set_attn_implementation({"text_config": implementation})
    return vlm


def recorded(vlm: VLM, inputs: Mapping[str, Any], stack: Any) -> dict[str, Tensor]:
    """Queries, keys, values and results of every layer, inside of the interventions."""
    seen: dict[str, Tensor] = {}

    def keep(activation: Tensor, hook: NamedHook) -> None:
        seen[hook.name] = activation

    names = ["*.hook_rot_q", "*.hook_rot_k", "*.attn.hook_v", "*.hook_z"]
    with torch.no_grad(), stack, vlm.hooks([(names, keep)]):
        vlm.model(**inputs, use_cache=False)
    return seen


def naive_results(q: Tensor, k: Tensor, v: Tensor, edges: Any) -> Tensor:
    """[B, L, H, E] in float64; `edges(sample, head, i, j)` says whether i attends to j."""
    batch, length, heads, width = q.shape
    z = torch.zeros(q.shape, dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            group = h // (heads // k.shape[2])
            scores = (q[b, :, h].double() @ k[b, :, group].double().T / math.sqrt(width)).numpy()
            values = v[b, :, group].double()
            for i in range(length):
                keys = [j for j in range(length) if edges(b, h, i, j)]
                if keys:
                    weights = np.exp(scores[i, keys] - scores[i, keys].max())
                    z[b, i, h] = torch.from_numpy(weights / weights.sum()) @ values[keys]
    return z


ENDS = st.sampled_from(["visual", "text", "last", "all"]) | st.lists(
    st.integers(0, 40), min_size=1, max_size=5
).filter(lambda places: len(places) != 4)


# not shrunk: each example is a pass of the model beside loops, so that took minutes
@pytest.mark.long
@settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_what_is_left_is_what_a_loop_leaves(data: st.DataObject) -> None:
    family = data.draw(st.sampled_from(FAMILIES), "family")
    implementation = data.draw(st.sampled_from(["eager", "sdpa"]), "implementation")
    padding_side = data.draw(st.sampled_from(["left", "right"]), "padding")
    cuts = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "edges": st.tuples(ENDS, ENDS),
                    "layers": st.lists(st.integers(0, LAYERS - 1), min_size=1),
                    "heads": st.none() | st.lists(st.integers(0, HEADS - 1), min_size=1),
                    "which": st.sampled_from(["any", "earlier", "later"]),
                    "keep_self": st.booleans(),
                }
            ),
            min_size=1,
            max_size=3,
        ),
        "cuts",
    )
    vlm = unchanged_vlm(family, implementation)
    inputs = tiny_inputs(vlm.processor, padding_side=padding_side)
    ids, real = inputs["input_ids"], inputs["attention_mask"].bool()
    visual = ids == vlm.image_token_id
    stack = ExitStack()
    for cut in cuts:
        stack.enter_context(ll.knock_out(vlm, **cut))
    seen = recorded(vlm, inputs, stack)

    def belongs(end: Any, b: int, i: int) -> bool:
        if not real[b, i]:
            return False
        if isinstance(end, list):
            return i in end
        last = i == int(real[b].nonzero().max())
        return {"visual": bool(visual[b, i]), "text": not visual[b, i], "last": last, "all": True}[
            end
        ]

    def is_cut(cut: Any, layer: int, b: int, h: int, i: int, j: int) -> bool:
        queries, keys = cut["edges"]
        return (
            layer in cut["layers"]
            and (cut["heads"] is None or h in cut["heads"])
            and (cut["which"] == "any" or ((cut["which"] == "later") == (j > i) and i != j))
            and not (cut["keep_self"] and i == j)
            and belongs(queries, b, i)
            and belongs(keys, b, j)
        )

    for layer in range(LAYERS):

        def edges(b: int, h: int, i: int, j: int, layer: int = layer) -> bool:
            seen_at_all = j <= i or (family == "llavit" and bool(visual[b, i] and visual[b, j]))
            of_layer = [cut for cut in cuts if is_cut(cut, layer, b, h, i, j)]
            return bool(real[b, j]) and seen_at_all and not of_layer

        q, k, v, z = (
            seen[f"blocks.{layer}.attn.hook_{name}"] for name in ("rot_q", "rot_k", "v", "z")
        )
        expected = naive_results(q, k, v, edges)
        # a score of n terms is off by n roundings of its largest sum, a weight by twice that
        scores = q.norm(dim=-1).max() * k.norm(dim=-1).max() / math.sqrt(q.shape[-1])
        budget = 2.0**-24 * (2 * q.shape[-1] * scores + q.shape[1]) * v.abs().max()
        assert (z - expected)[real].abs().max() <= float(budget)


@pytest.mark.long
@pytest.mark.parametrize("family", DECODER_FAMILIES)
@torch.no_grad()
def test_every_decoder_family_with_any_cache(family: str) -> None:
    """Edges that do not depend on the step: a generation is the same with a cache and without, in
    eager attention and in sdpa, per head too; inside windows as well."""
    for variant in ("llava", "bidirectional"):
        vlm = trained_as(variant, text_config=tiny_text_config(family))
        inputs = tiny_inputs(vlm.processor)
        # an image token would ask for an image
        no_image = {**FOUR_TOKENS, "suppress_tokens": [vlm.image_token_id]}
        said = []
        for implementation in ("eager", "sdpa"):
            vlm.model.set_attn_implementation({"text_config": implementation})
            plain = vlm.model.generate(**inputs, **FOUR_TOKENS)
            with (
                ll.knock_out(vlm, "text->visual", layers=[0, 2], heads=[1, 2]),
                ll.knock_out(vlm, ("text", range(12)), layers=1, heads=-1, keep_self=True),
            ):
                for cache in ({}, {"use_cache": False}, {"cache_implementation": "static"}):
                    settings = {**no_image, "output_logits": True, "return_dict_in_generate": True}
                    got = vlm.model.generate(**inputs, **settings, **cache)
                    said.append(torch.stack(got.logits))
                beams = {"num_beams": 3, "num_return_sequences": 2}
                by_beams = vlm.model.generate(**inputs, **no_image, **beams)
                again = vlm.model.generate(**inputs, **no_image, **beams, use_cache=False)
                assert torch.equal(by_beams, again)
            assert torch.equal(vlm.model.generate(**inputs, **FOUR_TOKENS), plain)
        budget = 512 * 2.0**-24 * said[0].abs().max()
        for logits in said[1:]:
            assert (logits - said[0]).abs().max() <= budget


@pytest.mark.long
@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("family", ["qwen2", "mistral-window"])
@torch.no_grad()
def test_in_a_generation_every_new_token_is_the_last(family: str, cache: str) -> None:
    vlm = trained_as("bidirectional", text_config=tiny_text_config(family))
    inputs = tiny_inputs(vlm.processor, [PROMPT])
    visual = inputs["mm_token_type_ids"][0].bool().nonzero().squeeze(1)
    seen: list[Tensor] = []
    settings = {**FOUR_TOKENS, **({"cache_implementation": "static"} if cache == "static" else {})}
    with (
        ll.knock_out(vlm, "last->visual", layers=1),
        vlm.hooks([("blocks.1.attn.hook_pattern", lambda pattern, _: seen.append(pattern))]),
    ):
        vlm.model.generate(**inputs, **settings)
    own: list[Tensor] = []
    with vlm.hooks([("blocks.1.attn.hook_pattern", lambda pattern, _: own.append(pattern))]):
        vlm.model.generate(**inputs, **settings)
    length = inputs["input_ids"].shape[1]
    assert [pattern.shape[2] for pattern in seen] == [length, 1, 1, 1]
    assert (seen[0][0, :, -1, visual] == 0).all() and (own[0][0, :, -1, visual] > 0).any()
    before_last = [pattern[0][0, :, :-1] for pattern in (seen, own)]
    assert torch.equal(*before_last)
    for step, pattern in enumerate(seen[1:], start=1):
        # the first key that the window still holds
        behind = length + step - WINDOW if family == "mistral-window" else 0
        columns = (visual - behind)[visual >= behind]
        assert (pattern[0, :, 0, columns] == 0).all()
        assert (own[step][0, :, 0, columns] > 0).any() or len(columns) == 0


@pytest.mark.long
@pytest.mark.parametrize("edges", ["last->visual", "all->last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_read_as_it_is_written(family: str, edges: str) -> None:
    """With a cache, without one, and with the whole answer given: the same tokens are cut off."""
    vlm = tiny_vlm(family)
    image = tiny_image()
    prepared = vlm.prepare(image, PROMPT)
    reports = {**FOUR_TOKENS, "output_logits": True, "return_dict_in_generate": True}
    reports["suppress_tokens"] = [vlm.image_token_id]  # it would ask for a picture
    written = []
    with ll.knock_out(vlm, edges), vlm.reading(prepared.layout, length=prepared.length):
        for use_cache in (True, False):
            written.append(vlm.model.generate(**prepared.inputs, **reports, use_cache=use_cache))
    cached, uncached = written
    logits = torch.stack(cached.logits, 1)
    # a logit of n terms in each of a few sums; the cache changes the shapes of the products
    budget = 512 * 2.0**-24 * float(logits.abs().max())
    assert (torch.stack(uncached.logits, 1) - logits).abs().max() <= budget
    answer = cached.sequences[0, prepared.length :]
    said = logits[0].log_softmax(-1)[torch.arange(len(answer)), answer].double().sum()
    with ll.knock_out(vlm, edges):
        given = ll.answer_log_prob(vlm, image, PROMPT, answer.tolist())
    assert abs(given - float(said)) <= 2 * len(answer) * budget
    untouched = ll.answer_log_prob(vlm, image, PROMPT, answer.tolist())
    assert abs(given - untouched) > 100 * len(answer) * budget


def test_behind_padding_the_last_token_is_the_prompts_too() -> None:
    vlm = tiny_vlm("llava")
    inputs = tiny_inputs(vlm.processor, [SHORT_PROMPT, PROMPT])
    real = inputs["attention_mask"].bool()
    length = int(real[0].sum())
    visual = inputs["input_ids"] == vlm.image_token_id
    seen: list[Tensor] = []
    with (
        torch.no_grad(),
        ll.knock_out(vlm, "last->visual", layers=0),
        vlm.hooks([("blocks.0.attn.hook_pattern", lambda pattern, _: seen.append(pattern))]),
        vlm.reading(length=length),
    ):
        vlm.model(**inputs)
    for row, pattern in enumerate(seen[0]):
        on_image = pattern[:, real[row]][..., visual[row]].amax((0, 2)) > 0
        first = int(visual[row][real[row]].int().argmax())
        assert on_image.nonzero().squeeze(1).tolist() == list(range(first, length - 1))


def test_places_from_the_end_of_the_prompt() -> None:
    vlm = tiny_vlm("llavit")
    image = tiny_image()
    length = vlm.prepare(image, PROMPT).length
    scores = []
    for places in ([-1, -3, 2], [length - 1, length - 3, 2], [-2, -3, 2]):
        with ll.knock_out(vlm, (places, "visual")):
            said = vlm.generate(image, PROMPT, max_new_tokens=3)
            scores.append((ll.answer_log_prob(vlm, image, PROMPT, " red square"), said))
    assert scores[0] == scores[1] and scores[0][0] != scores[2][0]
    inputs = vlm.prepare(image, PROMPT).inputs
    with (
        ll.knock_out(vlm, ([-1], "visual")),
        pytest.raises(ll.ConfigurationError, match="the prompt length is unknown"),
    ):
        vlm.model(**inputs)
    with (
        ll.knock_out(vlm, ([-length - 1], "visual")),
        pytest.raises(ll.ConfigurationError, match=f"no token -{length + 1}: the prompt has"),
    ):
        vlm.run(image, PROMPT)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_an_object_of_the_picture(family: str) -> None:
    vlm = tiny_vlm(family)
    image = tiny_image(width=40, height=30)
    layout = vlm.prepare(image).layout
    mask = np.zeros((30, 40), dtype=bool)
    mask[3:20, 6:25] = True
    left, top, right, bottom = layout.boxes.T
    across, down = (
        np.minimum(right, 25) - np.maximum(left, 6),
        np.minimum(bottom, 20) - np.maximum(top, 3),
    )
    half = (right - left) * (bottom - top) / 2
    positions = layout.positions[across.clip(0) * down.clip(0) >= half]
    assert 1 < len(positions) < len(layout)
    logits = []
    box = (6, 3, 25, 20)
    for end in (ll.Box(*box), box, ll.Mask(mask), mask, positions, torch.as_tensor(positions)):
        with ll.knock_out(vlm, ("all", end)):
            logits.append(vlm.run(image))
            logits.append(vlm.trace(image).hidden)
            answer = vlm.generate(image, max_new_tokens=3)
        assert torch.equal(logits[-2], logits[0]) and torch.equal(logits[-1], logits[1])
    assert not torch.equal(logits[0], vlm.run(image))
    with ll.knock_out(vlm, ("all", ll.Box(*box))):
        inputs = vlm.prepare(image).inputs
        with vlm.reading(layout):  # beams of one sample
            vlm.model.generate(**inputs, max_new_tokens=3, num_beams=2)
        assert answer == vlm.generate(image, max_new_tokens=3)


def test_objects_of_a_padded_batch() -> None:
    vlm = tiny_vlm("llavit")
    prompts = [SHORT_PROMPT, PROMPT]
    images = [tiny_image(seed) for seed in range(2)]
    prepared = [vlm.prepare(image, text) for image, text in zip(images, prompts, strict=True)]
    box = ll.Box(0, 0, 15, 15)
    with ll.knock_out(vlm, ("text", box)):
        alone = [vlm.run(image, text) for image, text in zip(images, prompts, strict=True)]
        for side in ("left", "right"):
            inputs = tiny_inputs(vlm.processor, prompts, padding_side=side)
            with torch.no_grad(), vlm.reading(*(one.layout for one in prepared)):
                together = vlm.model(**inputs).logits
            for row, one in enumerate(alone):
                real = together[row][inputs["attention_mask"][row].bool()]
                assert (real - one[0]).abs().max() <= 64 * 2.0**-24 * one.abs().max()
        one_layout, other = prepared[0].layout, vlm.prepare(images[0], "Q " + SHORT_PROMPT).layout
        for layouts, message in (
            ((), "needs to know where the patches lie"),
            ((one_layout,) * 3, "there are 3 layouts for a batch of 2"),
            ((other,) * 2, "visual tokens of sample 1|visual tokens of sample 0"),
        ):
            inputs = tiny_inputs(vlm.processor, prompts, padding_side="right")
            with (
                pytest.raises(ll.ConfigurationError, match=message),
                vlm.reading(*layouts),
            ):
                vlm.model(**inputs)
    vlm.run(images[0])


@pytest.mark.parametrize("kind", ["llava_next", "spatial_unpad"])
def test_tiles(kind: str) -> None:
    """A region is cut in every tile; tokens that end rows are visual, but in no region."""
    vlm = tiled_vlm(kind)
    image = tiny_image(width=40, height=30)
    layout = vlm.prepare(image).layout
    whole = ll.Box(0, 0, 40, 30)
    columns = torch.as_tensor([*layout.positions, *layout.off_image])
    for edge, cut in (
        (("all", whole), layout.positions[layout.on_image]),
        ("all->visual", columns.numpy()),
    ):
        with ll.knock_out(vlm, edge):
            _, cache = vlm.run_with_cache(image, names_filter="*.hook_pattern")
        for pattern in cache.values():
            none = (pattern[0] == 0).all(0).all(0).nonzero().squeeze(1)
            assert none.tolist() == sorted(cut)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_interventions_add_up_in_any_order(implementation: str) -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.set_attn_implementation({"text_config": implementation})
    image = tiny_image()
    before = vlm.run(image)
    makers: list[Any] = [
        lambda: ll.ablate_visual_attention(vlm, layers=[0, 1]),
        lambda: ll.knock_out(vlm, "last->visual", layers=[1, 2], heads=[0]),
        lambda: ll.knock_out(vlm, "text->text", keep_self=True, layers=[1], heads=[0, 3]),
        lambda: ll.visual_attention(vlm, "causal", layers=[1, 2]),
        lambda: ll.visual_attention(vlm, "bidirectional", layers=[2]),
    ]
    logits = []
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        with ExitStack() as stack:
            for one in order:
                stack.enter_context(makers[one]())
            logits.append(vlm.run(image))
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])
    for left_out in range(3):
        with ExitStack() as stack:
            for one in {0, 1, 2, 3} - {left_out}:
                stack.enter_context(makers[one]())
            assert not torch.equal(vlm.run(image), logits[0])
    assert torch.equal(vlm.run(image), before)


def test_all_is_undone_after_an_error() -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.set_attn_implementation({"text_config": "llavit_sdpa"})
    before = vlm.run(tiny_image())

    def hooks_of() -> list[int]:
        modules = [*vlm.model.model.language_model.modules(), vlm.model.model, vlm.model]
        return [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in modules]

    vlm.add_hook_points()
    own = hooks_of()
    with (
        pytest.raises(KeyError),
        ll.knock_out(vlm, "last->visual"),
        ll.ablate_visual_attention(vlm, heads=0),
        ll.visual_attention(vlm, "self"),
    ):
        vlm.run(tiny_image())
        raise KeyError
    assert vlm.model.model.language_model.config._attn_implementation == "llavit_sdpa"
    assert torch.equal(vlm.run(tiny_image()), before)
    assert hooks_of() == own


def test_a_token_without_any_key_gets_no_update() -> None:
    for implementation in ("eager", "sdpa"):
        vlm = tiny_vlm("llava")
        vlm.model.set_attn_implementation({"text_config": implementation})
        with ll.knock_out(vlm, "last->all", layers=1):
            _, cache = vlm.run_with_cache(tiny_image(), names_filter="blocks.1.*_out")
        assert (cache["attn_out", 1][0, -1] == 0).all()
        assert (cache["attn_out", 1][0, :-1] != 0).any(-1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("visual",), "'visual' is no edge"),
        ((("visual->text", "text->text"),), "no tokens named 'visual->text'"),
        (("image->text",), "no tokens named 'image'; there are visual, text, last, all"),
        (([],), "no edge to cut"),
        ((([0.5], "all"),), "no places in the sequence"),
        ((([], "all"),), "no places in the sequence"),
        (((np.ones(4, dtype=bool), "all"),), "bool .height, width., not bool"),
        ((([True, False], "all"),), "not a mask"),
        ((([10, 20, 30, 40], "all"),), "could be a box or four places"),
        ((((10, 20, 30), "all"),), "is no box; a tuple is"),
        (("all->all", "all", None, False, "before"), "which='before': pass one of any, earlier"),
    ],
)
def test_edges_that_there_are_not(arguments: Any, message: str) -> None:
    with (
        pytest.raises(ll.ConfigurationError, match=message),
        ll.knock_out(tiny_vlm("llava"), *arguments),
    ):
        pass


def test_mistakes_are_found_without_a_with() -> None:
    vlm, image = tiny_vlm("llava"), tiny_image()
    for make, message in (
        (lambda: ll.knock_out(vlm, "last->picture"), "no tokens named 'picture'"),
        (lambda: ll.knock_out(vlm, "last->visual", layers=9), "there is no layer 9"),
        (lambda: ll.visual_attention(vlm, "both"), "mode='both'"),  # type: ignore[arg-type]
        (lambda: ll.visual_attention(vlm, "self", layers=9), "there is no layer 9"),
        (lambda: ll.visual_attention(vlm, "none", layers=9), "there is no layer 9"),
        (lambda: ll.ablate_visual_attention(vlm, heads=9), "there is no head 9"),
        (lambda: ll.patch(vlm, image, "blocks.9.hook_resid_pre"), "no hook point"),
        (lambda: ll.patch(vlm, image, to_region=[(0, 0)]), "give from_region too"),
    ):
        with pytest.raises(ll.ConfigurationError, match=message):
            make()


@pytest.mark.parametrize(
    ("make", "named"),
    [(lambda: "demo:llavit", "'demo:llavit'"), (tiny_llavit, "a Llavit")],
)
def test_what_is_no_vlm_is_named(make: Callable[[], Any], named: str) -> None:
    given = make()
    for intervene in (
        lambda: ll.knock_out(given, "last->visual"),
        lambda: ll.visual_attention(given, "self"),
        lambda: ll.ablate_visual_attention(given),
        lambda: ll.patch(given, tiny_image()),
    ):
        with pytest.raises(ll.ConfigurationError, match=f"{named}.* is no VLM; pass what ll.load"):
            intervene()


def test_places_and_masks_that_do_not_fit_are_refused_in_the_pass() -> None:
    vlm = tiny_vlm("llava")
    inputs = tiny_inputs(vlm.processor, [PROMPT])
    length = inputs["input_ids"].shape[1]
    with (
        ll.knock_out(vlm, ("all", [length])),
        pytest.raises(ll.ConfigurationError, match=f"there is no token {length}"),
    ):
        vlm.model(**inputs)
    halves = torch.full((1, 1, length, length), -0.5).triu(1)
    inputs["attention_mask"] = halves
    with (
        ll.knock_out(vlm, "last->visual"),
        pytest.raises(ll.ConfigurationError, match="neither 0"),
    ):
        vlm.model(**inputs)


def test_cached_tokens_of_before_are_refused() -> None:
    vlm = tiny_vlm("llavit")
    inputs = tiny_inputs(vlm.processor, [PROMPT])
    cache = vlm.model(**inputs, use_cache=True).past_key_values
    next_token = {"input_ids": inputs["input_ids"][:, -1:], "past_key_values": cache}
    with (
        ll.knock_out(vlm, "last->visual"),
        pytest.raises(ll.ConfigurationError, match="it is unknown which of"),
    ):
        vlm.model(**next_token)
