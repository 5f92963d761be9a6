"""Attention patterns: the weights that attention uses, of the tokens that were asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny import PROMPT, tiny_image, tiny_llava
from tiny_vlm import LAYERS, WIDTH, tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.attention import attention_patterns

IMAGE = tiny_image(1)
HEADS, GROUPS = 4, 2
QUERIES = ["last", "image", 3, (1, 2)]


@torch.no_grad()
def test_equals_transformers_own_attentions() -> None:
    vlm = tiny_vlm("llava")
    prepared = vlm.prepare(IMAGE, PROMPT)
    found = attention_patterns(vlm, IMAGE, PROMPT, queries=QUERIES)
    untouched = tiny_llava()
    untouched.load_state_dict(vlm.model.state_dict())
    untouched.set_attn_implementation({"text_config": "eager"})
    attentions = untouched(**prepared.inputs, output_attentions=True).attentions
    visual = prepared.layout.positions
    assert found.weights.shape == (LAYERS, HEADS, len(QUERIES), len(visual))
    for layer, of_layer in enumerate(attentions):
        for index, token in enumerate(found.queries):
            expected = of_layer[0, :, token.position].numpy()
            assert np.array_equal(found.weights[layer, :, index], expected[:, visual])
            np.testing.assert_allclose(
                found.share_on_visual[layer, :, index], expected[:, visual].sum(1), rtol=1e-6
            )


def test_equals_a_naive_float64_attention() -> None:
    vlm = tiny_vlm("llavit")
    visual = vlm.prepare(IMAGE, PROMPT).layout.positions.tolist()
    found = attention_patterns(vlm, IMAGE, PROMPT, queries=QUERIES)
    _, cache = vlm.run_with_cache(IMAGE, PROMPT, ["*.hook_rot_q", "*.hook_rot_k"])
    for layer in range(LAYERS):
        queries, keys = (cache[name, layer][0].double().numpy() for name in ("rot_q", "rot_k"))
        for index, token in enumerate(found.queries):
            i = token.position
            for head in range(HEADS):
                scores = {}
                for j in range(len(keys)):
                    if j <= i or (i in visual and j in visual):
                        key = keys[j, head // (HEADS // GROUPS)]
                        scores[j] = float(queries[i, head] @ key) / math.sqrt(WIDTH // HEADS)
                top = max(scores.values())
                total = sum(math.exp(score - top) for score in scores.values())
                weights = [math.exp(scores[j] - top) / total if j in scores else 0 for j in visual]
                # scores of some tens, rounded in float32, before the exponential
                np.testing.assert_allclose(
                    found.weights[layer, head, index], weights, rtol=1e-4, atol=1e-6
                )


def test_only_what_is_asked_for_is_kept() -> None:
    vlm = tiny_vlm("llavit")
    everything = attention_patterns(vlm, IMAGE, PROMPT, queries=QUERIES)
    part = attention_patterns(vlm, IMAGE, PROMPT, layers=[-1, 0], heads=3, queries=(1, 2))
    assert (part.layers, part.heads) == ([0, LAYERS - 1], [3])
    assert part.weights.shape == (2, 1, 1, 16)
    assert np.array_equal(part.weights[:, :, 0], everything.weights[[0, -1]][:, [3], 3])
    assert vlm.model.model.language_model.config._attn_implementation == "sdpa"


def test_reading_and_tables() -> None:
    vlm = tiny_vlm("llavit")
    found = attention_patterns(vlm, IMAGE, PROMPT, queries=QUERIES)
    weights = found.weights[LAYERS - 1, :, 3]
    assert np.array_equal(found.at((1, 2), -1, "mean"), weights.mean(0))
    assert np.array_equal(found.at((1, 2), LAYERS - 1, "max"), weights.max(0))
    assert np.array_equal(found.at((1, 2), -1, 2), weights[2])
    assert np.array_equal(found.at(-1), found.at("last"))
    assert found.share("last", 0, 1) == found.share_on_visual[0, 1, 0]
    last = vlm.prepare(IMAGE, PROMPT).length - 1
    assert found.query("last").position == found.query(last).position == last
    assert found.query("image").name == "token 30 ' image'" or found.query("image").text
    assert found.query((1, 2)).name == "patch at row 1, column 2"
    table = found.to_pandas()
    assert len(table) == found.weights.size
    chosen = table[
        (table.layer == 1)
        & (table["head"] == 2)
        & (table.query_position == last)
        & (table.row == 3)
    ]
    assert np.array_equal(chosen.weight, found.weights[1, 2, 0, 12:])
    assert set(chosen.share_on_visual) == {found.share_on_visual[1, 2, 0]}


def test_the_first_query_is_the_default() -> None:
    found = attention_patterns(tiny_vlm("llavit"), IMAGE, PROMPT, queries=[(2, 3), "last"])
    assert found.query() == found.query((2, 3)) and found.share() == found.share((2, 3))
    assert np.array_equal(found.at(), found.at((2, 3)))
    assert found.share() != found.share("last")
    assert any("patch at row 2, column 3" in text.get_text() for text in found.plot().texts)


def test_tiles_and_newlines() -> None:
    vlm = tiled_vlm("spatial_unpad")
    wide = tiny_image(0, 60, 30)
    found = attention_patterns(vlm, wide, PROMPT, queries=["last", (1, 1, 2)])
    off = vlm.prepare(wide, PROMPT).layout.off_image
    assert len(off) and (found.share_on_visual > found.weights.sum(-1)).any()
    assert found.queries[1].name == "patch at row 1, column 1 of tile 2"
    newline = attention_patterns(vlm, wide, PROMPT, queries=int(off[0]))
    assert newline.queries[0].name == f"token {off[0]}, off the image"


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 3}, "numbered 0 to 2"),
        ({"heads": [-5]}, "numbered 0 to 3"),
        ({"layers": []}, "no layer is chosen"),
        ({"heads": ["first"]}, "a head is a whole number"),
        ({"queries": []}, "queries is empty"),
        ({"queries": "dog"}, "says 'dog' nowhere"),
        ({"queries": "i"}, "says 'i' nowhere as whole tokens|at tokens"),
        ({"queries": ":"}, "at tokens"),
        ({"queries": 99}, "there is no token 99"),
        ({"queries": [(1,)]}, "is no patch; give .row, column."),
        ({"queries": 1.5}, "is no token"),
        ({"queries": (7, 7)}, "no patch at row 7"),
    ],
)
def test_mistakes_are_named(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        attention_patterns(tiny_vlm("llavit"), IMAGE, PROMPT, **options)


def test_what_was_not_kept_is_refused() -> None:
    found = attention_patterns(tiny_vlm("llavit"), IMAGE, PROMPT, layers=[0], heads=[1])
    for arguments, message in (
        (((0, 0), 0), "no pattern of \\(0, 0\\) was kept, only of 'last'"),
        (("last", -1), "only of layers 0"),
        (("last", 0, 0), "only of heads 1"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            found.at(*arguments)


def test_patches_of_a_model_without_visual_attention_have_no_pattern() -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.config.visual_attention = "none"
    attention_patterns(vlm, IMAGE, PROMPT)
    with pytest.raises(ConfigurationError, match="attend to nothing"):
        attention_patterns(vlm, IMAGE, PROMPT, queries=(0, 0))
