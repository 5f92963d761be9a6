"""Any-Res in the model: LLaVA-NeXT bit for bit, plain loops for the other orders, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import (
    PATCHES,
    PINPOINTS,
    SHORT_PROMPT,
    TWO_IMAGES_PROMPT,
    tiny_image,
    tiny_inputs,
    tiny_llava_next,
    tiny_llavit,
    tiny_processor,
    tiny_tile_processor,
)
from torch import Tensor
from transformers import BatchFeature

from llavit_lens.errors import ConfigurationError
from llavit_lens.model import LlavitForConditionalGeneration, LlavitModel

OFF = {"separate_visual_qkv": False, "visual_attention": "causal"}
ANYRES = {"image_aspect_ratio": "anyres", "image_grid_pinpoints": PINPOINTS}
UNPAD = {**ANYRES, "mm_patch_merge_type": "spatial_unpad"}
NEW = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
BUDGET = 1e-5
"""Largest difference of float32 logits (of order 1) when sums run in another order."""


def batch(merge_type: str, **options: Any) -> BatchFeature:
    """Two prompts, three images of 3, 5 and 4 tiles."""
    processor = tiny_tile_processor(merge_type)
    images = [tiny_image(0, 60, 30), tiny_image(1, 70, 66), tiny_image(2, 20, 90)]
    return processor(
        images=images,
        text=[SHORT_PROMPT, TWO_IMAGES_PROMPT],
        padding=True,
        return_tensors="pt",
        **options,
    )


def untyped(inputs: BatchFeature) -> dict[str, Tensor]:
    """Without what LLaVA-NeXT does not know."""
    return {key: value for key, value in inputs.items() if key != "mm_token_type_ids"}


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("layer", [-2, [1, 2, -1]], ids=str)
def test_all_switches_off_is_llava_next(layer: int | list[int], implementation: str) -> None:
    theirs = tiny_llava_next(vision_feature_layer=layer)
    ours = tiny_llavit(vision_feature_layer=layer, seed=1, **OFF, **UNPAD)
    ours.load_state_dict(theirs.state_dict())  # strict: the very same names
    inputs = batch("spatial_unpad")
    assert inputs["pixel_values"].shape[:2] == (3, 5)
    for model in (ours, theirs):
        model.set_attn_implementation(implementation)
    with torch.no_grad():
        expected = theirs(**untyped(inputs), labels=inputs["input_ids"])
        found = ours(**inputs, labels=inputs["input_ids"])
        assert (found.logits - expected.logits).abs().max() == 0.0
        assert found.loss == expected.loss
        # and with all tiles in a row, which both take as well
        sizes, pixels = inputs["image_sizes"], inputs["pixel_values"]
        rows = torch.cat([pixels[0, :3], pixels[1, :5], pixels[2, :4]])
        again = ours(**{**inputs, "pixel_values": rows})
        assert torch.equal(again.logits, expected.logits)
        features = [
            model.get_image_features(pixels, image_sizes=sizes).pooler_output
            for model in (ours, theirs)
        ]
    assert all(torch.equal(a, b) for a, b in zip(*features, strict=True))
    for settings in (NEW, {**NEW, "num_beams": 2, "num_return_sequences": 2}):
        assert torch.equal(
            ours.generate(**inputs, **settings), theirs.generate(**untyped(inputs), **settings)
        )


def test_gradients_reach_the_newline() -> None:
    theirs, ours = tiny_llava_next(), tiny_llavit(seed=1, **OFF, **UNPAD)
    ours.load_state_dict(theirs.state_dict())
    inputs = batch("spatial_unpad")
    for model in (ours, theirs):
        model(**untyped(inputs), labels=inputs["input_ids"]).loss.backward()
    gradients = [model.model.image_newline.grad for model in (ours, theirs)]
    # summed over all rows in another order: a few roundings of float32
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-6 * gradients[1].abs().max()


@pytest.mark.parametrize("merge_type", ["flat", "spatial"])
def test_other_orders_by_loops(merge_type: str) -> None:
    model = tiny_llavit(**ANYRES, mm_patch_merge_type=merge_type)
    inputs = batch(merge_type)
    with torch.no_grad():
        images = model.get_image_features(
            inputs["pixel_values"], image_sizes=inputs["image_sizes"]
        ).pooler_output
        tower = tiny_llavit()  # the same weights, for whole images
        tower.load_state_dict(model.state_dict())
        for pixels, tokens, (rows, cols) in zip(
            inputs["pixel_values"], images, [(1, 2), (2, 2), (3, 1)], strict=True
        ):
            tiles = tower.get_image_features(pixels[: 1 + rows * cols]).pooler_output
            expected = list(tiles[0])
            if merge_type == "flat":
                expected += [patch for tile in tiles[1:] for patch in tile]
            else:
                for y in range(4 * rows):
                    for x in range(4 * cols):
                        expected.append(tiles[1 + y // 4 * cols + x // 4][y % 4 * 4 + x % 4])
            # the tower runs on other batches: sums may be in another order
            assert (torch.stack(expected) - tokens).abs().max() < BUDGET


@pytest.mark.long
@pytest.mark.parametrize("merge_type", ["flat", "spatial", "spatial_unpad"])
def test_the_order_of_tokens_matters_and_counts_agree(merge_type: str) -> None:
    """With all switches on: a batch is its samples, and a cache costs nothing."""
    model = tiny_llavit(**ANYRES, mm_patch_merge_type=merge_type)
    processor = tiny_tile_processor(merge_type)
    inputs = batch(merge_type)
    with torch.no_grad():
        logits = model(**inputs).logits[1]
        alone = processor(
            images=[tiny_image(1, 70, 66), tiny_image(2, 20, 90)],
            text=TWO_IMAGES_PROMPT,
            return_tensors="pt",
        )
        assert (model(**alone).logits[0] - logits[-alone["input_ids"].shape[1] :]).abs().max() < (
            BUDGET
        )
    answer = model.generate(**inputs, **NEW)
    assert torch.equal(answer, model.generate(**inputs, **NEW, use_cache=False))


def test_newlines_are_visual_tokens() -> None:
    """Eq. 6 and 8 hold for them: another newline changes what the first patch makes of it."""
    model = tiny_llavit(**UNPAD)
    inputs = tiny_tile_processor("spatial_unpad")(
        images=tiny_image(0, 60, 60), text=SHORT_PROMPT, return_tensors="pt"
    )
    first = int(inputs["mm_token_type_ids"][0].nonzero()[0])
    with torch.no_grad():
        before = model(**inputs).logits[0, first]
        model.model.image_newline.neg_()
        assert not torch.equal(model(**inputs).logits[0, first], before)
        causal = tiny_llavit(**UNPAD, visual_attention="causal")
        before = causal(**inputs).logits[0, first]
        causal.model.image_newline.neg_()
        assert torch.equal(causal(**inputs).logits[0, first], before)


def test_the_newline_is_there_where_rows_end_with_it() -> None:
    for merge_type in ("flat", "spatial"):
        model = tiny_llavit(**ANYRES, mm_patch_merge_type=merge_type)
        assert not any("newline" in name for name in model.state_dict())
    assert "model.image_newline" in tiny_llavit(**UNPAD).state_dict()
    # the merge type of a model without tiles means nothing
    plain = tiny_llavit(mm_patch_merge_type="spatial_unpad")
    assert not any("newline" in name for name in plain.state_dict())


@pytest.mark.long
def test_the_newline_starts_as_llavas() -> None:
    newline = torch.cat(
        [tiny_llavit(seed=seed, **UNPAD).model.image_newline.detach() for seed in range(20)]
    )
    assert abs(newline.mean()) < 0.02 and abs(newline.std() * 48**0.5 - 1) < 0.1


@pytest.mark.parametrize("original_format", [True, False], ids=["legacy keys", "native keys"])
def test_llava_next_weights_load(original_format: bool, tmp_path: Path) -> None:
    theirs = tiny_llava_next()
    theirs.save_pretrained(tmp_path, save_original_format=original_format)
    ours, report = LlavitForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True, **OFF, **UNPAD
    )
    assert not any(report.values())
    inputs = batch("spatial_unpad")
    with torch.no_grad():
        assert torch.equal(ours.eval()(**inputs).logits, theirs(**untyped(inputs)).logits)


def test_saved_and_loaded(tmp_path: Path) -> None:
    model = tiny_llavit(**UNPAD)
    model.save_pretrained(tmp_path)
    loaded, report = LlavitForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report.values())
    for key in UNPAD:
        assert getattr(loaded.config, key) == UNPAD[key]
    inputs = batch("spatial_unpad")
    with torch.no_grad():
        assert torch.equal(loaded.eval()(**inputs).logits, model(**inputs).logits)
    # without newlines the parameter is left on disk, with them it has to be there
    flat, report = LlavitForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True, mm_patch_merge_type="flat"
    )
    assert flat.model.image_newline is None and not any(report.values())
    flat.save_pretrained(tmp_path)
    fresh, report = LlavitForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True, mm_patch_merge_type="spatial_unpad"
    )
    assert report["missing_keys"] == {"model.image_newline"}
    assert abs(fresh.model.image_newline.std() * 48**0.5 - 1) < 0.4


def test_pixels_that_do_not_fit_are_refused() -> None:
    tiled, whole = tiny_llavit(**UNPAD), tiny_llavit()
    inputs = batch("spatial_unpad")
    with pytest.raises(ConfigurationError, match="are tiles, but image_aspect_ratio='crop'"):
        whole(**inputs)
    with pytest.raises(ConfigurationError, match="needs image_sizes"):
        tiled(**{**inputs, "image_sizes": None})
    for pixels in (inputs["pixel_values"][:, :4], inputs["pixel_values"][:2]):
        with pytest.raises(ConfigurationError, match=r"do not hold the \[3, 5, 4\] tiles"):
            tiled(**{**inputs, "pixel_values": pixels})
    plain = tiny_inputs(tiny_processor(), [SHORT_PROMPT])
    with pytest.raises(ConfigurationError, match=r"do not hold the \[3\] tiles"):
        tiled(**plain, image_sizes=torch.tensor([[30, 60]]))
    with pytest.raises(ConfigurationError, match="keeps the class token of every tile"):
        tiled(**inputs, vision_feature_select_strategy="full")
    images = {key: inputs[key] for key in ("pixel_values", "image_sizes")}
    with pytest.raises(ConfigurationError, match=f"gives {PATCHES + 1} features of each"):
        tiled.model.get_image_features(**images, vision_feature_select_strategy="full")
    flatter = inputs["image_sizes"].clone()
    flatter[1, 0] = 60  # as many tiles, fewer rows of patches
    with pytest.raises(ValueError, match="do not match"):  # transformers' own
        tiled(**{**inputs, "image_sizes": flatter})


def test_pinpoints_of_another_tower_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="multiples of the vision tower's 28 pixels"):
        tiny_llavit(image_aspect_ratio="anyres", image_grid_pinpoints=[[28, 336], [30, 56]])


def test_auto_model_without_a_head() -> None:
    config = tiny_llavit(**UNPAD).config
    assert LlavitModel(config).image_newline is not None
