"""A searched word: its map and its best place."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_vlm import tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.search import search
from llavit_lens.lens.token_strings import token_strings


@pytest.fixture(scope="module")
def trace(image):
    return tiny_vlm("llava").trace(image)


def test_the_map_adds_both_forms_of_a_word(trace):
    table = token_strings(trace.tokenizer)
    word = next(t for t in table if t and t.strip() == t and f" {t}" in table)
    found = search(word, trace, logit_lens(trace, 1))
    tracked = logit_lens(trace, 1, tracked=[word, f" {word}"]).tracked
    assert len(set(tracked.words)) == 2
    both = np.log(np.exp(tracked.values.astype(np.float64)).sum(-1))
    assert np.abs(found.values - both).max() < 1e-4
    layer, patch = found.best
    assert found.values[layer, patch] == found.values.max()
    v, w = trace.hidden[0].double(), trace.embedding[list(found.tokens.ids)].double()
    cosine = (v @ w.T / v.norm(dim=1)[:, None] / w.norm(dim=1)).max(1).values
    assert np.abs(found.cosine - cosine.detach().numpy()).max() < 1e-5


def test_words_of_another_lens_are_refused(trace):
    with pytest.raises(ConfigurationError, match="not the logit lens"):
        search("dog", trace, input_similarity(trace, 1))


def test_a_word_that_no_token_can_spell(trace, monkeypatch):
    tokenizer = trace.tokenizer
    monkeypatch.setattr(
        type(tokenizer), "__call__", lambda *a, **k: {"input_ids": [tokenizer.unk_token_id]}
    )
    with pytest.raises(ConfigurationError, match="not in this model's vocabulary"):
        search("zebrafishery", trace, logit_lens(trace, 1))


def test_padding_is_no_best_place(trace):
    found = search("dog", trace, logit_lens(trace, 1))
    patch = found.best[1]
    seen = np.arange(found.values.shape[1]) != patch
    other = replace(found, on_image=seen)
    assert other.best[1] != patch
    assert other.values[other.best] == found.values[:, seen].max()
