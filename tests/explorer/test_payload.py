"""What the browser draws is what the lens read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from explorer_results import decoded, numbers, result_of
from hypothesis import given
from hypothesis import strategies as st
from made_up_words import made_up_words
from PIL import Image
from tiny_vlm import TILED, tiled_vlm

import llavit_lens as ll
from llavit_lens.explorer.encoded_payload import EncodedPayload
from llavit_lens.explorer.input_image import example_image
from llavit_lens.explorer.lens_cache import LensResult
from llavit_lens.figures.legible import printable
from llavit_lens.viewer import payload
from llavit_lens.viewer.payload import (
    CODES,
    NATS,
    cosine_codes,
    log_probability_codes,
    share_codes,
    words_payload,
)


def check(pane: dict[str, Any], result: LensResult, k: int) -> None:
    strings, values, entropy = decoded(pane)
    words, similarity = result.words, result.similarity
    ids = np.concatenate([similarity.ids, words.ids])[:, :, :k]
    table = {**words.strings, **similarity.strings}
    assert strings.tolist() == [
        [[printable(table[i]) for i in patch] for patch in slot] for slot in ids.tolist()
    ]
    # half a code, and float32
    assert np.abs(values[0] - similarity.values[0, :, :k]).max() <= 1 / CODES + 1e-6
    assert np.abs(values[1:] - words.values[:, :, :k]).max() <= 0.5 * NATS / CODES + 1e-5
    assert np.abs(entropy[1:] - words.entropy).max() <= pane["maxEntropy"] / CODES + 1e-5
    layout = result.words.layout
    boxes = numbers(pane["boxes"], "<f4").reshape(-1, 4)
    assert np.abs(boxes * (2 * layout.image_size) - layout.boxes).max() < 1e-3
    cells = numbers(pane["cells"], "<u2").reshape(-1, 3)
    assert np.array_equal(cells, np.stack([layout.row, layout.col, layout.tile], axis=1))


@pytest.mark.parametrize("k", [1, 4])
def test_it_is_what_the_lens_read(
    results: tuple[LensResult, LensResult], image: Image.Image, k: int
) -> None:
    sent = words_payload([("one", results[0]), ("two", results[1])], image, k)
    json.dumps(sent)
    assert [pane["name"] for pane in sent["panes"]] == ["one", "two"]
    for pane, result in zip(sent["panes"], results, strict=True):
        assert len(pane["slots"]) == result.depth + 2
        check(pane, result, k)


@pytest.mark.parametrize("kind", TILED)
def test_tiles(kind: str, image: Image.Image) -> None:
    result = result_of(tiled_vlm(kind), image)
    (pane,) = words_payload([("one", result)], image, 2)["panes"]
    assert len(pane["grids"]) > 1
    check(pane, result, 2)


def test_it_is_bounded_by_fewer_words(
    results: tuple[LensResult, LensResult], image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = results[0]
    monkeypatch.setattr(payload, "MOST_ENTRIES", 3 * result.words.values[:, :, 0].size)
    (pane,) = words_payload([("one", result)], image, 6)["panes"]
    assert pane["k"] == 2  # the input by cosine takes some of the room


def test_truth(results: tuple[LensResult, LensResult], image: Image.Image) -> None:
    result = results[0]
    top = result.words.strings[int(result.words.ids[1, 0, 0])]
    truth = [{top.upper()}, {"never"}, *[None] * (len(result.words.layout) - 2)]
    (pane,) = words_payload([("one", result)], image, 1, truth)["panes"]
    judged = numbers(pane["truth"], "u1").reshape(result.depth + 2, -1)
    assert judged[2, 0] == payload.TRUE and judged[2, 1] == payload.WRONG
    assert (judged[:, 2:] == payload.UNKNOWN).all()


def test_identity(results: tuple[LensResult, LensResult], image: Image.Image) -> None:
    one, two = (EncodedPayload.of(words_payload([("one", results[0])], image, k)) for k in (1, 2))
    assert one.identity != two.identity
    assert one == EncodedPayload.of(words_payload([("one", results[0])], image, 1))
    assert one.lines().split(b"\n") == [one.identity.encode(), one.body]
    assert EncodedPayload.of(one.payload()) == one


@given(st.floats(-40, 0))
def test_codes_of_log_probabilities(value: float) -> None:
    code = int(log_probability_codes(np.array([value]))[0])
    assert abs(-NATS * code / CODES - max(value, -NATS)) <= 0.5 * NATS / CODES + 1e-9


@given(st.floats(-1.01, 1.01))
def test_codes_of_cosines_and_shares(value: float) -> None:
    code = int(cosine_codes(np.array([value]))[0])
    assert abs(2 * code / CODES - 1 - np.clip(value, -1, 1)) <= 1 / CODES + 1e-9
    share = int(share_codes(np.array([value]))[0])
    assert abs(share / CODES - np.clip(value, 0, 1)) <= 0.5 / CODES + 1e-12


def test_long_and_strange_words_are_made_legible(
    results: tuple[LensResult, LensResult], image: Image.Image
) -> None:
    words = results[0].words
    token = int(words.ids[0, 0, 0])
    text = words.strings[token]
    try:
        words.strings[token] = "\u202e" + "<script>" * 20
        (pane,) = words_payload([("one", results[0])], image, 1)["panes"]
    finally:
        words.strings[token] = text
    strange = [word for word in pane["strings"] if "script" in word]
    assert len(strange) == 1 and strange[0].startswith("\\u202e<script>")
    assert len(strange[0]) == payload.LONGEST_WORD + 1


def test_a_scene_knows_the_patches_of_any_grid() -> None:
    layout = replace(made_up_words(16, 16).layout, image_size=(112, 112))
    layout = replace(layout, boxes=layout.boxes / 2)
    truth = example_image("kite-moon").truth(layout)
    assert truth == ll.example("kite-moon").true_words(layout)
    assert "kite" in set().union(*filter(None, truth))
