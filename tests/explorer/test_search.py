"""A searched word: what is said of it, and what the browser gets."""

import numpy as np
from explorer_readings import numbers, reading_of
from tiny_vlm import tiled_vlm

from llavit_lens.explorer.payload import CODES, NATS
from llavit_lens.explorer.places import place_of
from llavit_lens.explorer.search import moving_payload, sentence
from llavit_lens.lens import search as lens


def search(reading, word):
    return lens.search(word, reading.trace, reading.words)


def test_the_best_place_is_said(readings):
    reading = readings[0]
    found = search(reading, "dog")
    layer, patch = found.best
    text = sentence(found, reading, "model")
    layout = reading.words.layout
    assert f"layer {layer} of {reading.depth}" in text
    assert f"row {layout.row[patch]}, column {layout.col[patch]}" in text


def test_places_are_named_as_in_the_browser(image):
    layout = reading_of(tiled_vlm("llava_next"), image).words.layout
    at = {
        number: int(np.flatnonzero((layout.tile == number) & (layout.col > layout.row))[0])
        for number in (0, 2)
    }
    where = {n: f"row {layout.row[i]}, column {layout.col[i]}" for n, i in at.items()}
    assert place_of(layout, at[0]) == f"{where[0]}, whole picture"
    assert place_of(layout, at[2]) == f"{where[2]}, tile 2"


def test_a_word_of_several_tokens_is_said_to_be_one(readings):
    reading = readings[0]
    found = search(reading, "zebrafishery")
    assert "tokens here" in sentence(found, reading, "model")
    assert "is followed" in sentence(found, reading, "model")


def test_what_the_browser_gets(readings):
    found = [(name, r, search(r, "dog")) for name, r in zip("ab", readings, strict=True)]
    sent = moving_payload(" dog", found)
    assert sent["word"] == "dog"
    for pane, (_, reading, each) in zip(sent["panes"], found, strict=True):
        codes = numbers(pane["values"], "<u2").reshape(reading.depth + 2, -1).astype(float)
        assert np.abs(-NATS * codes[1:] / CODES - np.maximum(each.values, -NATS)).max() < 1e-3
        assert np.abs(2 * codes[0] / CODES - 1 - each.cosine).max() < 1e-4
        assert (pane["slot"], pane["patch"]) == (each.best[0] + 1, each.best[1])


def test_nothing_searched():
    assert moving_payload("", None) is None
    assert moving_payload("", []) is None


def test_a_word_that_one_model_lacks_is_still_searched_in_the_other(readings):
    a, b = readings
    sent = moving_payload("dog", [("a", a, None), ("b", b, search(b, "dog"))])
    assert sent["panes"][0] is None and sent["panes"][1]["text"].startswith("b: likeliest")
    assert moving_payload("dog", [("a", a, None), ("b", b, None)]) is None
