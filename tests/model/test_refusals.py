"""Whatever would silently drop Eq. 8 or the routing is refused with one clear line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import (
    PINPOINTS,
    PROMPT,
    tiny_config_arguments,
    tiny_inputs,
    tiny_llavit,
    tiny_tile_processor,
)
from torch import Tensor
from transformers import AttentionInterface, GenerationConfig

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.model import LlavitConfig, LlavitForConditionalGeneration, LlavitProcessor

FLASH = [
    "flash_attention_2",
    "flash_attention_3",
    "kernels-community/flash-attn2",
    {"text_config": "flash_attention_2"},
]


@pytest.mark.parametrize("implementation", FLASH, ids=str)
def test_flash_attention_is_refused(
    implementation: Any, llavit: LlavitForConditionalGeneration
) -> None:
    with pytest.raises(ConfigurationError, match="ignores the mask between visual tokens"):
        llavit.set_attn_implementation(implementation)
    config = LlavitConfig(**tiny_config_arguments())
    config._attn_implementation = implementation
    with pytest.raises(ConfigurationError, match="use one of eager, sdpa, flex_attention"):
        LlavitForConditionalGeneration(config)


def test_an_attention_that_may_ignore_masks_is_refused(
    llavit: LlavitForConditionalGeneration,
    processor: LlavitProcessor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A registered implementation without a mask function would get no mask at all."""
    registered = AttentionInterface._global_mapping
    monkeypatch.setitem(registered, "unmasked", registered["sdpa"])
    llavit.set_attn_implementation("unmasked")
    with pytest.raises(ConfigurationError, match="'unmasked' is not known to honor the mask"):
        llavit(**tiny_inputs(processor))


def test_ready_made_masks_are_refused_if_bidirectional(
    llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    inputs = tiny_inputs(processor)
    batch, length = inputs["input_ids"].shape
    ready = torch.ones(batch, 1, length, length, dtype=torch.bool).tril()
    for mask in (ready, {"full_attention": ready}):
        with pytest.raises(ConfigurationError, match="attention_mask is a ready-made mask"):
            llavit(**{**inputs, "attention_mask": mask})
        llavit.config.visual_attention = "causal"
        assert llavit(**{**inputs, "attention_mask": mask}).logits.isfinite().all()
        llavit.config.visual_attention = "bidirectional"


@pytest.mark.parametrize("where", ["argument", "config", "default"])
def test_chunked_prefill_is_refused(
    where: str, llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    arguments: dict[str, Any] = {}
    if where == "argument":
        arguments["prefill_chunk_size"] = 8
    elif where == "config":
        arguments["generation_config"] = GenerationConfig(prefill_chunk_size=8)
    else:
        llavit.generation_config.prefill_chunk_size = 8
    with pytest.raises(ConfigurationError, match="prefill_chunk_size splits the prompt"):
        llavit.generate(**tiny_inputs(processor), max_new_tokens=2, **arguments)


@pytest.mark.parametrize(
    "switches",
    [
        {"separate_visual_qkv": True, "visual_attention": "causal"},
        {"separate_visual_qkv": False, "visual_attention": "bidirectional"},
        {"separate_visual_qkv": False, "visual_attention": "none"},
    ],
    ids=str,
)
def test_embeddings_without_visual_positions_are_refused(switches: dict[str, Any]) -> None:
    model = tiny_llavit(**switches)
    embeddings = torch.randn(1, 6, 48)
    with pytest.raises(ValueError, match="inputs_embeds do not say which tokens are visual"):
        model(inputs_embeds=embeddings)
    with pytest.raises(LlavitLensError, match="pass mm_token_type_ids"):
        model.generate(inputs_embeds=embeddings, max_new_tokens=2)
    types = torch.tensor([[0, 1, 1, 1, 0, 0]])
    assert model(inputs_embeds=embeddings, mm_token_type_ids=types).logits.isfinite().all()


def test_the_baseline_needs_no_visual_positions() -> None:
    model = tiny_llavit(separate_visual_qkv=False, visual_attention="causal")
    assert model(inputs_embeds=torch.randn(1, 6, 48)).logits.isfinite().all()


@pytest.mark.parametrize("shape", [(1, 5), (2, 6), (1, 7)], ids=str)
def test_token_types_of_a_wrong_shape_are_refused(
    shape: tuple[int, int], llavit: LlavitForConditionalGeneration
) -> None:
    ids: Tensor = torch.full((1, 6), 9)
    types = torch.zeros(shape, dtype=torch.long)
    with pytest.raises(ConfigurationError, match="mm_token_type_ids has shape"):
        llavit(input_ids=ids, mm_token_type_ids=types)


@pytest.mark.parametrize(
    "spoil",
    [torch.zeros_like, torch.ones_like, lambda types: types.roll(1, dims=1)],
    ids=["zeros", "ones", "rolled"],
)
def test_token_types_that_contradict_the_image_tokens_are_refused(
    spoil: Callable[[Tensor], Tensor],
    llavit: LlavitForConditionalGeneration,
    processor: LlavitProcessor,
) -> None:
    inputs = tiny_inputs(processor)
    inputs["mm_token_type_ids"] = spoil(inputs["mm_token_type_ids"])
    with pytest.raises(ConfigurationError, match="do not mark the image tokens"):
        llavit(**inputs)


@pytest.mark.parametrize("built", [True, False])
def test_projections_that_the_model_was_not_built_with_are_refused(
    built: bool, processor: LlavitProcessor
) -> None:
    model = tiny_llavit(separate_visual_qkv=built)
    model.config.separate_visual_qkv = not built
    with pytest.raises(ConfigurationError, match=rf"\(\.\.\., separate_visual_qkv={not built}\)"):
        model(**tiny_inputs(processor))


def test_a_newline_that_the_model_was_not_built_with_is_refused() -> None:
    tiles: dict[str, Any] = {"image_aspect_ratio": "anyres", "image_grid_pinpoints": PINPOINTS}
    model = tiny_llavit(**tiles, mm_patch_merge_type="spatial")
    model.config.mm_patch_merge_type = "spatial_unpad"
    with pytest.raises(ConfigurationError, match="built without one; reload it"):
        model(**tiny_inputs(tiny_tile_processor("spatial_unpad"), [PROMPT]))


def test_image_sizes_without_tiles_are_refused(
    llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    with pytest.raises(ConfigurationError, match="'crop' sees it whole; leave them out"):
        llavit(**tiny_inputs(processor, [PROMPT]), image_sizes=torch.tensor([[30, 40]]))


@pytest.mark.parametrize(
    "name", ["assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit"]
)
def test_assisted_generation_is_refused(
    name: str, llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    options: dict[str, Any] = {name: llavit if name == "assistant_model" else 2}
    with pytest.raises(ConfigurationError, match=f"{name} asks for assisted generation"):
        llavit.generate(**tiny_inputs(processor), max_new_tokens=2, **options)
    if name != "assistant_model":
        settings = GenerationConfig(**options, max_new_tokens=2)
        with pytest.raises(ConfigurationError, match=f"{name} asks for assisted generation"):
            llavit.generate(**tiny_inputs(processor), generation_config=settings)


def test_nothing_to_read_is_refused(llavit: LlavitForConditionalGeneration) -> None:
    with pytest.raises(ConfigurationError, match="Pass input_ids or inputs_embeds"):
        llavit()


def test_messages_are_one_line(
    llavit: LlavitForConditionalGeneration, processor: LlavitProcessor
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        llavit.generate(**tiny_inputs(processor, [PROMPT]), prefill_chunk_size=1)
    assert "\n" not in str(caught.value)
