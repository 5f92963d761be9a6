"""A searched word: its map, its best place, and what is said of it."""

import numpy as np
import pytest
from explorer_readings import numbers

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.payload import CODES, NATS
from llavit_lens.explorer.search import moving_payload, search, sentence
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.token_strings import token_strings


def test_the_map_adds_both_forms_of_a_word(readings):
    reading = readings[0]
    table = token_strings(reading.trace.tokenizer)
    word = next(t for t in table if t and t.strip() == t and f" {t}" in table)
    found = search(reading, word)
    tracked = logit_lens(reading.trace, 1, tracked=[word, f" {word}"]).tracked
    assert len(set(tracked.words)) == 2
    both = np.log(np.exp(tracked.values.astype(np.float64)).sum(-1))
    assert np.abs(found.values - both).max() < 1e-4
    layer, patch = found.best
    assert found.values[layer, patch] == found.values.max()
    text = sentence(found, reading, "model")
    layout = reading.words.layout
    assert f"layer {layer} of {reading.depth}" in text
    assert f"row {layout.row[patch]}, column {layout.col[patch]}" in text


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


def test_a_word_that_no_token_can_spell(readings, monkeypatch):
    tokenizer = readings[0].trace.tokenizer
    monkeypatch.setattr(
        type(tokenizer), "__call__", lambda *a, **k: {"input_ids": [tokenizer.unk_token_id]}
    )
    with pytest.raises(ConfigurationError, match="not in this model's vocabulary"):
        search(readings[0], "zebrafishery")
