"""Attention distance: against a loop over pairs of patches, with mistakes put in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from family_cases import CASES
from tiny import DECODER_FAMILIES, tiny_image, tiny_llavit, tiny_processor, tiny_text_config
from tiny_vlm import LAYERS, tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.attention import attention_patterns
from llavit_lens.studies.attention_distance.measure import (
    MEASURES,
    attention_distances,
    patch_distances,
)
from llavit_lens.vlm.vlm import VLM

IMAGE = tiny_image(1)
HEADS = 4


def naive(vlm: VLM, image: Any, bidirectional: bool, window: int | None = None) -> dict[str, Any]:
    """Per measure: sums [layers, heads] and the sum of uniform attention, pair by pair."""
    prepared = vlm.prepare(image)
    layout = prepared.layout
    patches = [i for i in range(len(layout)) if layout.on_image[i]]
    queries: list = [int(layout.positions[i]) for i in patches]
    found = attention_patterns(vlm, image, queries=queries)
    visual = {*layout.positions.tolist(), *layout.off_image.tolist()}
    base = [layout.boxes[i] for i in patches if layout.tile[i] == 0]
    patch_w = max(box[2] - box[0] for box in base)
    patch_h = max(box[3] - box[1] for box in base)

    def far(i: int, j: int) -> tuple[float, float]:
        (x, y), (u, v) = (
            ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in (layout.boxes[i], layout.boxes[j])
        )
        in_patches = math.hypot((x - u) / patch_w, (y - v) / patch_h)
        return in_patches, math.hypot(x - u, y - v) / layout.image_size[0]

    sums = {name: np.zeros((LAYERS, HEADS)) for name in MEASURES}
    uniform = dict.fromkeys(MEASURES, 0.0)
    for query, i in enumerate(patches):
        at = int(layout.positions[i])
        distances = [far(i, j) for j in patches]
        for layer in range(LAYERS):
            for head in range(HEADS):
                weights = found.weights[layer, head, query].astype(np.float64)[patches]
                for kind in (0, 1):
                    mean = sum(w * d[kind] for w, d in zip(weights, distances, strict=True))
                    sums[MEASURES[kind]][layer, head] += mean / sum(weights)
                sums["visual"][layer, head] += found.share_on_visual[layer, head, query]
                sums["self"][layer, head] += weights[query]
        allowed = [
            k
            for k in range(prepared.length)
            if (k <= at and (window is None or k > at - window))
            or (bidirectional and k in visual and at in visual)
        ]
        of_patches = [d for j, d in zip(patches, distances, strict=True)
                      if int(layout.positions[j]) in allowed]  # fmt: skip
        for kind in (0, 1):
            uniform[MEASURES[kind]] += sum(d[kind] for d in of_patches) / len(of_patches)
        uniform["visual"] += len(visual & set(allowed)) / len(allowed)
        uniform["self"] += 1 / len(allowed)
    return {"sums": sums, "uniform": uniform}


def check(vlm: VLM, image: Any, bidirectional: bool, windows: list[int | None]) -> None:
    found = attention_distances(vlm, image)
    for window in set(windows):
        layers = [layer for layer, own in enumerate(windows) if own == window]
        expected = naive(vlm, image, bidirectional, window)
        for kind, measure in enumerate(MEASURES):
            np.testing.assert_allclose(
                found.sums[kind][layers], expected["sums"][measure][layers], rtol=2e-6
            )
            np.testing.assert_allclose(
                found.uniform[kind][layers], expected["uniform"][measure], rtol=1e-12
            )
    assert (found.counts == found.tokens).all()


@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_equals_a_loop_over_pairs(family: str) -> None:
    """Causal (LLaVA) and bidirectional; the picture is wider than high, so patches are cropped."""
    check(tiny_vlm(family), IMAGE, family == "llavit", [None] * LAYERS)


def test_tiles_newlines_and_padding() -> None:
    vlm, image = tiled_vlm("spatial"), tiny_image(0, 60, 37)
    assert not vlm.prepare(image).layout.on_image.all()
    check(vlm, image, True, [None] * LAYERS)
    vlm, image = tiled_vlm("spatial_unpad", visual_attention="causal"), tiny_image(0, 60, 30)
    assert len(vlm.prepare(image).layout.off_image)
    check(vlm, image, False, [None] * LAYERS)


def test_a_sliding_window_is_in_the_reference() -> None:
    model = tiny_llavit(
        text_config=tiny_text_config("qwen2-window", sliding_window=7), visual_attention="causal"
    )
    window = DECODER_FAMILIES["qwen2-window"][1]["max_window_layers"]
    windows = [None if layer < window else 7 for layer in range(LAYERS)]
    vlm = VLM(model, tiny_processor(), "tiny-window")
    check(vlm, IMAGE, False, windows)
    uniform = attention_distances(vlm, IMAGE).uniform
    assert uniform[0, 0] > uniform[0, -1]


def test_distances_of_known_attention() -> None:
    """Attention that is all on the left neighbor is one patch far; that of the first column, 0."""
    vlm = tiny_vlm("llavit")
    layout = vlm.prepare(IMAGE).layout

    def left(pattern: torch.Tensor, _: Any) -> torch.Tensor:
        new = torch.zeros_like(pattern)
        for i, at in enumerate(layout.positions):
            to = layout.index(layout.row[i], max(0, layout.col[i] - 1))
            new[:, :, at, layout.positions[to]] = 1
        return new

    with vlm.hooks([("blocks.*.attn.hook_pattern", left)]):
        found = attention_distances(vlm, IMAGE)
    assert found.tokens == 16
    np.testing.assert_allclose(found.sums[0], 12)
    np.testing.assert_allclose(found.sums[1], 12 * 7 / 37)  # the model sees 37 pixels of its width
    assert (found.sums[2] == 16).all() and (found.sums[3] == 4).all()


@contextmanager
def pattern_changed(vlm: VLM, change: Any) -> Iterator[None]:
    with vlm.hooks([("blocks.1.attn.hook_pattern", lambda pattern, _: change(pattern))]):
        yield


@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_transposed_attention_is_refused(family: str) -> None:
    vlm = tiny_vlm(family)
    with (
        pattern_changed(vlm, lambda pattern: pattern.transpose(-1, -2)),
        pytest.raises(ConfigurationError, match=r"layer 1: attention weights of visual tokens"),
    ):
        attention_distances(vlm, IMAGE)


def test_attention_to_later_tokens_is_refused() -> None:
    """Rows that sum to 1, but not over what a causal mask allows."""
    vlm = tiny_vlm("llava")
    even = lambda pattern: torch.full_like(pattern, 1 / pattern.shape[-1])  # noqa: E731
    with (
        pattern_changed(vlm, even),
        pytest.raises(ConfigurationError, match="'causal' has none"),
    ):
        attention_distances(vlm, IMAGE)


def test_shuffled_heads_show() -> None:
    vlm = tiny_vlm("llavit")
    found = attention_distances(vlm, IMAGE)
    with pattern_changed(vlm, lambda pattern: pattern.roll(1, dims=1)):
        shuffled = attention_distances(vlm, IMAGE)
    np.testing.assert_allclose(np.roll(found.sums[:, 1], 1, axis=-1), shuffled.sums[:, 1])
    assert np.abs(found.sums[:, 1] - shuffled.sums[:, 1]).max() > 1e-3


def test_a_wrong_layout_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other boxes or later positions give other distances; positions too early are refused."""
    vlm = tiny_vlm("llavit")
    prepared = vlm.prepare(IMAGE)
    layout, right = prepared.layout, attention_distances(vlm, IMAGE)
    order = np.random.default_rng(0).permutation(len(layout))
    for mistaken in (
        replace(layout, boxes=layout.boxes[order]),
        replace(layout, positions=layout.positions + 1),
    ):
        given = replace(prepared, layouts=(mistaken,))
        monkeypatch.setattr(vlm, "prepare", lambda image, given=given: given)
        assert np.abs(attention_distances(vlm, IMAGE).sums[0] / right.sums[0] - 1).max() > 0.01
    early = replace(prepared, layouts=(replace(layout, positions=layout.positions - 1),))
    monkeypatch.setattr(vlm, "prepare", lambda image: early)
    with pytest.raises(ConfigurationError, match="weights of visual tokens go where"):
        attention_distances(vlm, IMAGE)


def test_neighbors_are_one_patch_apart() -> None:
    in_patches, _ = patch_distances(tiny_vlm("llavit").prepare(IMAGE).layout)
    assert in_patches[0, [1, 4, 5]] == pytest.approx([1, 1, math.sqrt(2)])


def test_weights_that_are_zero_are_left_out_of_the_mean() -> None:
    vlm = tiny_vlm("llavit")
    layout = vlm.prepare(IMAGE).layout

    def all_on_text(pattern: torch.Tensor) -> torch.Tensor:
        new = pattern.clone()
        new[0, 2, layout.positions[5]] = 0
        new[0, 2, layout.positions[5], 0] = 1
        return new

    with pattern_changed(vlm, all_on_text):
        found = attention_distances(vlm, IMAGE)
    assert found.counts[:, 1, 2].tolist() == [15, 15, 16, 16]
    assert np.isfinite(found.sums).all()


def test_no_visual_attention_is_refused() -> None:
    model = tiny_llavit(visual_attention="none")
    with pytest.raises(ConfigurationError, match="attend to nothing"):
        attention_distances(VLM(model, tiny_processor(), "tiny-none"), IMAGE)


@pytest.mark.parametrize(
    ("name", "message"),
    [("qwen3_5", "layers 0-2 have no attention pattern"), ("idefics2", "no map")],
)
def test_what_has_no_distances_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        attention_distances(CASES[name].vlm(), IMAGE)


def test_decoders_of_other_families_are_measured() -> None:
    measured = attention_distances(CASES["qwen2_5_vl"].vlm(), IMAGE)
    assert np.isfinite(measured.sums).all() and measured.counts.min() > 0
