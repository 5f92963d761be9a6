"""A searched word: its sentence, and what the browser gets."""

from __future__ import annotations

import numpy as np
from explorer_results import numbers, result_of
from PIL import Image
from tiny_vlm import tiled_vlm

from llavit_lens.explorer.lens_cache import LensResult
from llavit_lens.explorer.search_payload import search_payload, sentence
from llavit_lens.lens import search as lens
from llavit_lens.lens.search import Found
from llavit_lens.viewer.payload import CODES, NATS
from llavit_lens.viewer.wording import patch_name


def search(result: LensResult, word: str) -> Found:
    return lens.search(word, result.trace, result.words)


def test_the_best_place_is_said(results: tuple[LensResult, LensResult]) -> None:
    result = results[0]
    found = search(result, "dog")
    layer, patch = found.best
    text = sentence(found, result, "model")
    layout = result.words.layout
    assert f"layer {layer} of {result.depth}" in text
    assert f"row {layout.row[patch]}, column {layout.col[patch]}" in text


def test_places_are_named_as_in_the_browser(image: Image.Image) -> None:
    layout = result_of(tiled_vlm("llava_next"), image).words.layout
    at = {
        number: int(np.flatnonzero((layout.tile == number) & (layout.col > layout.row))[0])
        for number in (0, 2)
    }
    where = {n: f"row {layout.row[i]}, column {layout.col[i]}" for n, i in at.items()}
    assert patch_name(layout, at[0]) == f"{where[0]}, whole image"
    assert patch_name(layout, at[2]) == f"{where[2]}, tile 2"


def test_a_word_of_several_tokens_is_said_to_be_one(results: tuple[LensResult, LensResult]) -> None:
    result = results[0]
    found = search(result, "zebrafishery")
    assert "tokens here" in sentence(found, result, "model")
    assert "is followed" in sentence(found, result, "model")


def test_what_the_browser_gets(results: tuple[LensResult, LensResult]) -> None:
    found = [(name, r, search(r, "dog")) for name, r in zip("ab", results, strict=True)]
    sent = search_payload(" dog", found)
    assert sent["word"] == "dog"
    for pane, (_, result, each) in zip(sent["panes"], found, strict=True):
        codes = numbers(pane["values"], "<u2").reshape(result.depth + 2, -1).astype(float)
        assert np.abs(-NATS * codes[1:] / CODES - np.maximum(each.values, -NATS)).max() < 1e-3
        assert np.abs(2 * codes[0] / CODES - 1 - each.cosine).max() < 1e-4
        assert (pane["slot"], pane["patch"]) == (each.best[0] + 1, each.best[1])


def test_nothing_searched() -> None:
    assert search_payload("", []) is None


def test_a_word_that_one_model_lacks_is_still_searched_in_the_other(
    results: tuple[LensResult, LensResult],
) -> None:
    a, b = results
    sent = search_payload("dog", [("a", a, None), ("b", b, search(b, "dog"))])
    assert sent["panes"][0] is None and sent["panes"][1]["text"].startswith("b: likeliest")
    assert search_payload("dog", [("a", a, None), ("b", b, None)]) is None
