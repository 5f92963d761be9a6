"""Eq. 5 as an intervention: to the last bit the model that is configured so."""

from __future__ import annotations

from typing import Any

import flash_attn_stub
import pytest
import torch
from tiny import (
    DECODER_FAMILIES,
    FOUR_TOKENS,
    PINPOINTS,
    PROMPT,
    tiny_image,
    tiny_inputs,
    tiny_text_config,
)
from tiny_vlm import LAYERS, configured, tiled_vlm, tiny_vlm, trained_as

import llavit_lens as ll
from llavit_lens.model import LlavitProcessor
from llavit_lens.vlm.hooks import NamedHook

STATIC = {**FOUR_TOKENS, "cache_implementation": "static"}
BEAMS = {**FOUR_TOKENS, "num_beams": 3, "num_return_sequences": 2}


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "llavit_sdpa"])
@pytest.mark.parametrize("variant", ["llava", "causal", "bidirectional", "shared bidirectional"])
@torch.no_grad()
def test_equals_the_model_configured_so(variant: str, implementation: str) -> None:
    trained = trained_as(variant, implementation)
    none = configured(trained, "none")
    processor, image = trained.processor, tiny_image()
    single, same_length = tiny_inputs(processor, [PROMPT]), tiny_inputs(processor, [PROMPT] * 2)
    left, right = (tiny_inputs(processor, padding_side=side) for side in ("left", "right"))
    text_only = tiny_inputs(processor, ["USER: What? ASSISTANT:"])
    before = trained.run(image)
    for inputs in (single, same_length, left, right, text_only):
        with ll.ablate_visual_attention(trained):
            logits = trained.model(**inputs).logits
        expected = none.model(**inputs).logits
        real = inputs["attention_mask"].bool()
        assert (logits - expected)[real].abs().max() == 0.0
    for inputs, settings in (
        (single, FOUR_TOKENS),
        (left, FOUR_TOKENS),
        (left, STATIC),
        (left, BEAMS),
    ):
        said = []
        for vlm in (trained, none):
            with ll.ablate_visual_attention(vlm):  # changes nothing in the one configured so
                said.append(vlm.model.generate(**inputs, **settings))
        assert torch.equal(said[0], said[1])
        assert torch.equal(said[1], none.model.generate(**inputs, **settings))
    with ll.ablate_visual_attention(trained):
        hidden = trained.trace(image).hidden
        answer = trained.generate(image, max_new_tokens=4)
    assert torch.equal(hidden, none.trace(image).hidden)
    assert answer == none.generate(image, max_new_tokens=4)
    assert torch.equal(trained.run(image), before)
    assert not torch.equal(before, none.run(image))


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", DECODER_FAMILIES)
@torch.no_grad()
def test_every_decoder_family(family: str, implementation: str) -> None:
    for variant in ("llava", "bidirectional"):
        trained = trained_as(variant, implementation, text_config=tiny_text_config(family))
        none = configured(trained, "none")
        inputs = tiny_inputs(trained.processor)
        real = inputs["attention_mask"].bool()
        with ll.ablate_visual_attention(trained):
            logits = trained.model(**inputs).logits
            said = trained.model.generate(**inputs, **FOUR_TOKENS)
        assert (logits - none.model(**inputs).logits)[real].abs().max() == 0.0
        assert torch.equal(said, none.model.generate(**inputs, **FOUR_TOKENS))


@torch.no_grad()
def test_flash_attention_in_runs(
    monkeypatch: pytest.MonkeyPatch, processor: LlavitProcessor
) -> None:
    flash_attn_stub.install(monkeypatch)
    trained = trained_as("bidirectional")
    none = configured(trained, "none")
    for vlm in (trained, none):
        vlm.model.bfloat16().set_attn_implementation({"text_config": "llavit_fa2"})
    inputs = tiny_inputs(processor).to(dtype=torch.bfloat16)
    with ll.ablate_visual_attention(trained):
        logits = trained.model(**inputs).logits
    real = inputs["attention_mask"].bool()
    assert (logits - none.model(**inputs).logits)[real].abs().max() == 0.0


@pytest.mark.parametrize("kind", ["llava_next", "spatial_unpad"])
def test_tokens_that_end_rows_of_tiles_are_visual_tokens(kind: str) -> None:
    vlm = tiled_vlm(kind)
    assert vlm.model.config.image_grid_pinpoints == PINPOINTS
    layout = vlm.prepare(tiny_image()).layout
    assert len(layout.off_image) > 0
    with ll.ablate_visual_attention(vlm):
        _, cache = vlm.run_with_cache(tiny_image(), names_filter="*.hook_attn_out")
    for update in cache.values():
        silent = (update[0] == 0).all(-1).nonzero().squeeze(1).tolist()
        assert silent == sorted([*layout.positions, *layout.off_image])


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "llavit_sdpa"])
def test_layers_and_heads(implementation: str) -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.set_attn_implementation({"text_config": implementation})
    image, names = tiny_image(), ["*.hook_z", "*.hook_attn_out"]
    visual = torch.as_tensor(vlm.prepare(image).layout.positions)
    _, own = vlm.run_with_cache(image, names_filter=names)
    with ll.ablate_visual_attention(vlm, layers=[1]):
        _, one_layer = vlm.run_with_cache(image, names_filter=names)
    assert torch.equal(one_layer["attn_out", 0], own["attn_out", 0])
    silent = (one_layer["attn_out", 1] == 0).all(-1)[0]
    assert silent.nonzero().squeeze(1).tolist() == visual.tolist()
    assert not (one_layer["attn_out", 2] == 0).all(-1).any()

    seen: dict[str, torch.Tensor] = {}

    def keep(z: torch.Tensor, hook: NamedHook) -> None:
        seen[hook.name] = z

    with ll.ablate_visual_attention(vlm, layers=1, heads=[0, -1]), vlm.hooks([(names[0], keep)]):
        vlm.run(image)
    expected = own["z", 1].clone()
    expected[0, visual[:, None], torch.tensor([0, 3])] = 0
    assert torch.equal(seen["blocks.1.attn.hook_z"], expected)
    assert torch.equal(seen["blocks.0.attn.hook_z"], own["z", 0])


def test_all_heads_are_the_whole_update() -> None:
    """Where an output projection has no bias, as in most decoders."""
    vlm = tiny_vlm("llavit")
    with ll.ablate_visual_attention(vlm):
        whole = vlm.run(tiny_image())
    with ll.ablate_visual_attention(vlm, heads=range(4)):
        by_heads = vlm.run(tiny_image())
    with ll.ablate_visual_attention(vlm, heads="all"):
        assert torch.equal(vlm.run(tiny_image()), whole)
    assert (whole - by_heads).abs().max() <= 64 * 2.0**-24 * whole.abs().max()


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", {0, 1, 2}),
        (-1, {2}),
        (range(2), {0, 1}),
        (slice(1, None), {1, 2}),
        ([0, -1, 0], {0, 2}),
        (torch.tensor([1]), {1}),
    ],
)
def test_layers_as_a_user_names_them(layers: Any, expected: set[int]) -> None:
    vlm = tiny_vlm("llava")
    with ll.ablate_visual_attention(vlm, layers):
        _, cache = vlm.run_with_cache(tiny_image(), names_filter="*.hook_attn_out")
    silent = [layer for layer in range(LAYERS) if (cache["attn_out", layer] == 0).all(-1).any()]
    assert set(silent) == expected


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"layers": 3}, "there is no layer 3: the decoder has 3, numbered 0 to 2"),
        ({"layers": range(1, 5)}, "there is no layer 3"),
        ({"layers": "first"}, "layers='first' is not valid"),
        ({"layers": []}, "no layer is chosen"),
        ({"layers": slice(3, None)}, "no layer is chosen"),
        ({"layers": True}, "a layer is a whole number, not True"),
        ({"layers": 1.0}, "a layer is a whole number, not 1.0"),
        ({"heads": 4}, "there is no head 4: the decoder has 4"),
        ({"heads": []}, "no head is chosen"),
        ({"heads": "first"}, "heads='first' is not valid"),
        ({"heads": {2: [0]}}, "heads={2: .0.}: .* open one intervention for each layer"),
        ({"layers": {2: [0]}}, "layers={2: .0.}: .* open one intervention for each layer"),
    ],
)
def test_places_that_there_are_not(places: dict[str, Any], message: str) -> None:
    vlm = tiny_vlm("llava")
    with (
        pytest.raises(ll.ConfigurationError, match=message),
        ll.ablate_visual_attention(vlm, **places),
    ):
        pass
    with (
        pytest.raises(ll.ConfigurationError, match=message),
        ll.knock_out(vlm, "visual->visual", **places),
    ):
        pass
