"""Trace, lens and answers on pictures in tiles, and `load` with another resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import (
    PATCHES,
    PINPOINTS,
    tiny_image,
    tiny_llava_next,
    tiny_llavit,
    tiny_next_processor,
    tiny_processor,
    tiny_tile_processor,
)
from tiny_vlm import LAYERS, TILED, WIDTH, tiled_vlm
from torch.nn.functional import log_softmax

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.results.words import Words
from llavit_lens.vlm.load import load
from llavit_lens.vlm.vlm import VLM

IMAGE = tiny_image(0, 60, 30)  # a base tile and two tiles


@pytest.fixture(params=TILED)
def vlm(request: pytest.FixtureRequest) -> VLM:
    return tiled_vlm(request.param)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_are_the_models_own(vlm: VLM, dtype: torch.dtype) -> None:
    vlm.model.to(dtype)
    trace = vlm.trace(IMAGE)
    inputs = vlm.processor(images=IMAGE, text=trace.prompt, return_tensors="pt").to(dtype=dtype)
    with torch.no_grad():
        states = vlm.model(**inputs, output_hidden_states=True).hidden_states
        features = vlm.model.get_image_features(
            inputs["pixel_values"], image_sizes=inputs["image_sizes"]
        ).pooler_output[0]
    assert trace.hidden.shape == (LAYERS + 1, len(trace.layout), WIDTH)
    for layer in range(LAYERS):
        assert torch.equal(trace.hidden[layer], states[layer][0, trace.layout.positions])
    offset = min(*trace.layout.positions, *trace.layout.off_image)
    assert torch.equal(trace.hidden[0], features[trace.layout.positions - offset])
    newlines = features[trace.layout.off_image - offset]
    if "unpad" in vlm.name or "next" in vlm.name:
        assert len(newlines) == 4
        assert (newlines == vlm.model.model.image_newline).all()
    assert len(newlines) + len(trace.layout) == len(features)


def test_the_lens_reads_every_tile(vlm: VLM, tmp_path: Path) -> None:
    trace = vlm.trace(IMAGE)
    words = logit_lens(trace, k=3)
    # one word by hand, in a tile
    index = trace.layout.index(1, 2, tile=2)
    assert (trace.layout.tile[index], trace.layout.row[index], trace.layout.col[index]) == (2, 1, 2)
    with torch.no_grad():
        logits = trace.norm(trace.hidden[2, index]) @ trace.unembedding.T
    value, token = log_softmax(logits, dim=0).max(dim=0)
    best = words.at(layer=2, row=1, col=2, tile=2)[0]
    assert best.id == token and best.value == pytest.approx(float(value), abs=1e-5)

    table = words.to_pandas()
    assert len(table) == (LAYERS + 1) * len(trace.layout) * 3
    assert not table.duplicated(["layer", "tile", "row", "col", "rank"]).any()
    assert sorted(table.tile.unique()) == [0, 1, 2]
    assert (table[table.tile == 0].groupby(["row", "col"]).size() == (LAYERS + 1) * 3).all()
    row = table.query("layer == 2 and tile == 2 and row == 1 and col == 2 and rank == 0").iloc[0]
    assert row.id == best.id

    words.save(tmp_path / "words.parquet")
    loaded = Words.load(tmp_path / "words.parquet")
    assert loaded == words
    assert np.array_equal(loaded.layout.off_image, trace.layout.off_image)
    assert len(input_similarity(trace, k=1).layout) == len(trace.layout)


def test_generate_is_the_models_own_greedy_answer(vlm: VLM) -> None:
    text = vlm.format_prompt("What?")
    inputs = vlm.processor(images=IMAGE, text=text, return_tensors="pt")
    ids = vlm.model.generate(**inputs, max_new_tokens=5, do_sample=False)
    answer = ids[0, inputs["input_ids"].shape[1] :]
    expected = vlm.tokenizer.decode(answer, skip_special_tokens=True).strip()
    assert vlm.generate(IMAGE, "What?", max_new_tokens=5) == expected


@pytest.mark.long
@pytest.mark.parametrize("size", [(90, 1), (1, 90), (28, 28), (57, 56), (5, 200)])
def test_odd_shapes(vlm: VLM, size: tuple[int, int]) -> None:
    trace = vlm.trace(tiny_image(0, *size))
    assert trace.layout.image_size == size
    assert logit_lens(trace, k=1).ids.shape[1] == len(trace.layout) >= PATCHES


def test_spatial_unpad_reads_what_llava_next_reads() -> None:
    """The same weights in transformers' class and in ours: the same states at the same patches."""
    theirs = tiled_vlm("llava_next")
    ours = tiled_vlm("spatial_unpad", separate_visual_qkv=False, visual_attention="causal")
    ours.model.load_state_dict(theirs.model.state_dict())
    for size in ((60, 30), (41, 77), (99, 7)):
        one, two = (vlm.trace(tiny_image(0, *size)) for vlm in (ours, theirs))
        assert one.layout == two.layout
        assert torch.equal(one.hidden, two.hidden)


def folder_of(vlm: VLM, folder: Path) -> Path:
    vlm.model.save_pretrained(folder)
    vlm.processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", TILED)
def test_load_from_a_folder(kind: str, tmp_path: Path) -> None:
    saved = tiled_vlm(kind)
    loaded = load(folder_of(saved, tmp_path), device="cpu")
    assert isinstance(saved.model, type(loaded.model))
    assert torch.equal(loaded.trace(IMAGE).hidden, saved.trace(IMAGE).hidden)


def test_another_resolution_reaches_the_processor(tmp_path: Path) -> None:
    folder = folder_of(VLM(tiny_llavit(), tiny_processor(), name="plain"), tmp_path)
    boxes = {"crop": [15, 0, 22.5, 7.5], "stretch": [0, 0, 15, 7.5], "pad": [0, 0, 15, 0]}
    for mode, first in boxes.items():
        vlm = load(folder, device="cpu", image_aspect_ratio=mode)
        assert vlm.model.config.image_aspect_ratio == mode
        assert vlm.trace(IMAGE).layout.boxes[0].tolist() == first
    for merge_type in ("flat", "spatial"):
        vlm = load(
            folder, device="cpu", image_aspect_ratio="anyres", mm_patch_merge_type=merge_type
        )
        assert len(vlm.trace(IMAGE).layout.grid) == 3
    finer = load(folder, device="cpu", image_aspect_ratio="anyres", image_grid_pinpoints=[[84, 84]])
    assert len(finer.trace(IMAGE).layout.grid) == 10


@pytest.mark.long
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"mm_patch_merge_type": "spatial"}, "would change nothing without tiles"),
        ({"image_grid_pinpoints": [[28, 56]]}, "would change nothing without tiles"),
        ({"image_aspect_ratio": "square"}, "is not one of 'crop', 'pad', 'stretch', 'anyres'"),
        (
            {"image_aspect_ratio": "anyres", "mm_patch_merge_type": "spatial_unpad"},
            "missing: model.image_newline",
        ),
        (
            {"image_aspect_ratio": "anyres", "image_grid_pinpoints": [[30, 56]]},
            "multiples of the vision tower's 28 pixels",
        ),
    ],
)
def test_a_resolution_that_cannot_be(
    override: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = folder_of(VLM(tiny_llavit(), tiny_processor(), name="plain"), tmp_path)
    with pytest.raises((ConfigurationError, CheckpointError), match=message):
        load(folder, device="cpu", **override)


def anyres(merge_type: str, pinpoints: Any = PINPOINTS) -> Any:
    return tiny_llavit(
        image_aspect_ratio="anyres", mm_patch_merge_type=merge_type, image_grid_pinpoints=pinpoints
    )


MIXED_UP = {
    "tiles for a model without": lambda: (tiny_llavit(), tiny_tile_processor("flat")),
    "no tiles for a model with": lambda: (anyres("flat"), tiny_processor()),
    # as many tokens, but in another order: only this check can tell
    "other order": lambda: (anyres("spatial"), tiny_tile_processor("flat")),
    "other pinpoints": lambda: (
        anyres("flat", [[28, 56]]),
        tiny_tile_processor("flat", [[56, 28]]),
    ),
    "LLaVA-NeXT's processor": lambda: (anyres("flat"), tiny_next_processor()),
    "LLaVA-NeXT's model": lambda: (tiny_llava_next(), tiny_next_processor([[28, 56]])),
}


@pytest.mark.parametrize("fault", MIXED_UP)
def test_model_and_processor_that_tile_differently(fault: str) -> None:
    model, processor = MIXED_UP[fault]()
    with pytest.raises(CheckpointError, match="do not belong together: the model wants"):
        VLM(model, processor, name="mixed")


def test_pinpoints_may_be_tuples() -> None:
    pinpoints = [tuple(pinpoint) for pinpoint in PINPOINTS]
    VLM(anyres("flat", pinpoints), tiny_tile_processor("flat"), name="tuples").trace(IMAGE)
