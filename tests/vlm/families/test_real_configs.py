"""Real checkpoints without their weights (tests/data/real_configs, each with its source).

Parts are found on the meta device. Layouts are those of an image of 1,000 x 700 pixels with the
processor's real settings.

Ids are those of a small tokenizer in memory: what is counted does not depend on them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from any_model import require_type
from family_cases import CASES
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText

from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.families import decoder_of, family_of
from llavit_lens.vlm.families.family import image_positions
from llavit_lens.vlm.families.reading import Reading

CONFIGS = Path(__file__).parents[2] / "data/real_configs"
SIZE = (1000, 700)

LAYERS = {
    "qwen2.5-vl-7b": (28, 3584),
    "qwen3-vl-8b": (36, 4096),
    "gemma-3-4b": (34, 2560),
    "internvl3-8b": (28, 3584),
    "smolvlm2-500m": (32, 960),
    "paligemma2-3b": (26, 2304),
    "pixtral-12b": (40, 5120),
    "llava-onevision-7b": (28, 3584),
    "molmo2-8b": (36, 4096),
}
"""Decoder layers and width."""

GRIDS: dict[str, tuple[str, list[tuple[int, int]], int | None]] = {
    # resized to whole tokens of 28 (32) pixels
    "qwen2.5-vl-7b": ("qwen2_5_vl", [(25, 36)], 0),
    "qwen3-vl-8b": ("qwen3_vl", [(22, 31)], 0),
    "gemma-3-4b": ("gemma3", [(16, 16)], 0),
    # 2 x 3 tiles are nearest in shape, then the whole image
    "internvl3-8b": ("internvl", [(16, 16)] * 7, 6),
    # 2048 x 1434 pixels in tiles of 512, then the whole image
    "smolvlm2-500m": ("smolvlm", [(8, 8)] * 13, 12),
    "paligemma2-3b": ("paligemma", [(32, 32)], 0),
    # patches of 16, the last one of each axis begun
    "pixtral-12b": ("pixtral", [(44, 63)], 0),
    # the whole image, then 2 x 3 tiles, of which the padding left and right has no tokens
    "llava-onevision-7b": ("llava_onevision", [(27, 27)] * 7, 0),
    # the whole image, then overlapping crops, pooled 2 x 2
    "molmo2-8b": ("molmo2", [(14, 14), (23, 42)], 0),
}
"""The case that has a tokenizer and a prompt for it, the grid of each tile, and the whole one."""


PADDING = {"llava-onevision-7b": 54 * (81 - 77)}
"""Cells without a token: the 2 x 3 tiles have 54 x 81 cells, of which the image fills 54 x 77."""

SEEN = {"llava-onevision-7b": 27 * 14 / 384}
"""The part of each axis that whole patches cover: those of 14 pixels leave 6 of 384."""


def read(name: str) -> Any:
    return json.loads((CONFIGS / f"{name}.json").read_text())


def config_of(name: str) -> Any:
    fields = dict(read(name)["config"])
    require_type(fields["model_type"])
    return AutoConfig.for_model(fields.pop("model_type"), **fields)


def processor_of(name: str, case: str) -> Any:
    """The case's processor, made again with the checkpoint's settings."""
    settings, small = read(name), CASES[case].processor()
    own = {key: value for key, value in settings["processor"].items() if not key.endswith("token")}
    images = type(small.image_processor)(**settings["image_processor"])
    if case == "smolvlm":
        own["video_processor"] = None
    return type(small)(image_processor=images, tokenizer=small.tokenizer, **own)


@pytest.mark.parametrize("name", LAYERS)
def test_parts_are_found_without_weights(name: str) -> None:
    config = config_of(name)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    decoder = Decoder.of(model, decoder_of(model))
    layers, width = LAYERS[name]
    assert decoder.n_layers == layers
    assert [tuple(weight.shape) for weight in decoder.norm.parameters()] == [(width,)]
    assert decoder.head.weight.shape[1] == decoder.embedding.embedding_dim == width
    inside = {id(weight) for weight in decoder.layers.parameters()}
    assert not inside & {id(weight) for weight in decoder.norm.parameters()}


@pytest.mark.parametrize("name", GRIDS)
def test_an_image_of_1000_x_700_pixels(name: str) -> None:
    case, grids, whole = GRIDS[name]
    processor, config = processor_of(name, case), config_of(name)
    config.image_token_id = CASES[case].model().config.image_token_id
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    inputs = processor(
        images=[Image.fromarray(noise)], text=[CASES[case].prompt], return_tensors="pt"
    )
    positions = image_positions(inputs, config)
    layout = family_of(config).layout(
        Reading(inputs, processor, config, (SIZE,), positions, text=CASES[case].prompt)
    )
    assert list(layout.grid) == grids and layout.whole == whole
    assert len(layout) == sum(rows * cols for rows, cols in grids) - PADDING.get(name, 0)
    assert layout.precision == "exact"
    np.testing.assert_array_equal(layout.all_positions, positions)
    left, top, right, bottom = layout.boxes[layout.tile == layout.whole].T
    assert (left.min(), top.min()) == (0, 0)
    assert (right.max(), bottom.max()) == pytest.approx(
        tuple(length * SEEN.get(name, 1) for length in SIZE)
    )
    if case in ("internvl", "smolvlm"):  # the tiles show all of the image, and nothing twice
        boxes = layout.boxes[layout.tile != layout.whole]
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        assert area.sum() == pytest.approx(SIZE[0] * SIZE[1])
