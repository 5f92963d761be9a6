"""Visual attention in another way than trained: equal to a model that is configured so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import DECODER_FAMILIES, FOUR_TOKENS, PROMPT, tiny_image, tiny_inputs, tiny_text_config
from tiny_vlm import FAMILIES, configured, tiled_vlm, tiny_vlm, trained_as

import llavit_lens as ll

MODES = ("causal", "bidirectional", "none")


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["llava", "causal", "bidirectional", "none"])
@torch.no_grad()
def test_equals_the_model_configured_so(kind: str, mode: Any, implementation: str) -> None:
    """To the last bit, also under sdpa: it is given the same mask, or none just as well."""
    trained = trained_as(kind, implementation)
    expected = configured(trained, mode)
    single = tiny_inputs(trained.processor, [PROMPT])
    left, right = (tiny_inputs(trained.processor, padding_side=side) for side in ("left", "right"))
    before = trained.model(**single).logits
    with ll.visual_attention(trained, mode):
        for inputs in (single, left, right):
            real = inputs["attention_mask"].bool()
            logits = trained.model(**inputs).logits
            assert (logits - expected.model(**inputs).logits)[real].abs().max() == 0.0
        for settings in ({}, {"cache_implementation": "static"}, {"num_beams": 2}):
            said = trained.model.generate(**left, **FOUR_TOKENS, **settings)
            assert torch.equal(said, expected.model.generate(**left, **FOUR_TOKENS, **settings))
        assert torch.equal(trained.trace(tiny_image()).hidden, expected.trace(tiny_image()).hidden)
    assert torch.equal(trained.model(**single).logits, before)
    assert torch.equal(before, expected.model(**single).logits) is (
        mode == (kind if kind != "llava" else "causal")
    )


@pytest.mark.long
@pytest.mark.parametrize("family", DECODER_FAMILIES)
@torch.no_grad()
def test_every_decoder_family(family: str) -> None:
    for kind, mode in (("llava", "bidirectional"), ("bidirectional", "causal")):
        trained = trained_as(kind, text_config=tiny_text_config(family))
        inputs = tiny_inputs(trained.processor)
        real = inputs["attention_mask"].bool()
        for implementation in ("eager", "sdpa"):
            trained.model.set_attn_implementation({"text_config": implementation})
            expected = configured(trained, mode)
            with ll.visual_attention(trained, mode):
                logits = trained.model(**inputs).logits
                said = trained.model.generate(**inputs, **FOUR_TOKENS)
            assert (logits - expected.model(**inputs).logits)[real].abs().max() == 0.0
            assert torch.equal(said, expected.model.generate(**inputs, **FOUR_TOKENS))


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "llavit_sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_sides_of_the_query(family: str, implementation: str) -> None:
    """The modes are knockouts by edge, too; sides without the diagonal add up to `self`."""
    vlm, image = tiny_vlm(family), tiny_image()
    vlm.model.set_attn_implementation({"text_config": implementation})
    with ll.visual_attention(vlm, "self"):
        alone = vlm.run(image)
    with ll.knock_out(vlm, "visual->visual", keep_self=True):
        assert torch.equal(vlm.run(image), alone)
    with ll.knock_out(vlm, "visual->visual", which="later"):
        causal = vlm.run(image)
        with ll.knock_out(vlm, "visual->visual", which="earlier"):
            assert torch.equal(vlm.run(image), alone)
    with ll.visual_attention(vlm, "causal"):
        # sdpa without a mask is another kernel than with one
        budget = 0 if implementation == "eager" else 256 * 2.0**-24 * causal.abs().max()
        assert (vlm.run(image) - causal).abs().max() <= budget
    assert not torch.equal(alone, causal)


def test_patches_that_see_themselves_alone() -> None:
    vlm = tiled_vlm("spatial_unpad")
    layout = vlm.prepare(tiny_image()).layout
    visual = torch.as_tensor(sorted([*layout.positions, *layout.off_image]))
    with ll.visual_attention(vlm, "self", layers=1):
        _, cache = vlm.run_with_cache(tiny_image(), names_filter="*.hook_pattern")
    for layer, alone in enumerate((False, True, False)):
        among = cache["pattern", layer][0][:, visual][:, :, visual]
        off_diagonal = among - torch.diag_embed(among.diagonal(dim1=1, dim2=2))
        assert bool((off_diagonal == 0).all()) is alone
        assert (cache["pattern", layer][0][:, visual, : visual[0]] > 0).any()


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "llavit_sdpa"])
@pytest.mark.parametrize("mode", ["causal", "bidirectional", "self", "none"])
def test_the_check_of_attention_confirms_it(mode: Any, implementation: str) -> None:
    vlm, image = tiny_vlm("llavit"), tiny_image()
    vlm.model.set_attn_implementation({"text_config": implementation})
    with ll.visual_attention(vlm, mode):
        report = ll.check_visual_attention(vlm, image, mode=mode)
        assert report.passed and report.visual_attention == mode
        for other in {"causal", "bidirectional", "self", "none"} - {mode}:
            with pytest.raises(ll.ConfigurationError, match=f"as it should .*{other}"):
                ll.check_visual_attention(vlm, image, mode=other)
    with pytest.raises(ll.ConfigurationError, match="mode='both': pass one of"):
        ll.check_visual_attention(vlm, image, mode="both")


def test_layers() -> None:
    vlm, image = tiny_vlm("llava"), tiny_image()
    positions = vlm.prepare(image).layout.positions
    with ll.visual_attention(vlm, "bidirectional", layers=[0, -1]):
        _, cache = vlm.run_with_cache(image, names_filter="*.hook_pattern")
    for layer, later in enumerate((True, False, True)):
        among = cache["pattern", layer][0][:, positions][:, :, positions]
        assert bool((among.triu(1) > 0).any()) is later


def test_pictures_after_cached_ones_are_refused() -> None:
    vlm = tiny_vlm("llava")
    first, second = (tiny_inputs(vlm.processor, [PROMPT], first_image=n) for n in (0, 1))
    total = first["input_ids"].shape[1] + second["input_ids"].shape[1]
    second["attention_mask"] = torch.ones(1, total, dtype=torch.int64)
    with ll.visual_attention(vlm, "bidirectional"):
        cache = vlm.model(**first, use_cache=True).past_key_values
        with pytest.raises(ll.ConfigurationError, match="New visual tokens after cached ones"):
            vlm.model(**second, past_key_values=cache)


def test_a_mode_that_there_is_not() -> None:
    with (
        pytest.raises(ll.ConfigurationError, match="mode='both': pass one of causal, bidir"),
        ll.visual_attention(tiny_vlm("llava"), "both"),  # type: ignore[arg-type]
    ):
        pass
