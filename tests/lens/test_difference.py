"""The difference of two readings, against loops written from its definition."""

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from explorer_results import result_of
from tiny_vlm import tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens import difference as module
from llavit_lens.lens.difference import difference
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.token_strings import token_strings
from llavit_lens.results.matching import matched_layer, partners

BUDGET = 1e-5  # probabilities from float32 logits up to 30: exp doubles no relative error of 1e-6


@pytest.fixture(scope="module")
def readings(image):
    """Two models' readings of the same picture."""
    return result_of(tiny_vlm("llava"), image), result_of(tiny_vlm("llavit"), image)


def apart(a, b):
    """By cosine at the input, then by the logit lens at each layer."""
    pairs = ((a.similarity, b.similarity), (a.words, b.words))
    return np.concatenate([difference(x, y, a.trace, b.trace) for x, y in pairs])


def probabilities(reading):
    """float64 [layers, n, vocab]."""
    trace = reading.trace
    with torch.no_grad():
        logits = trace.norm(trace.hidden).double() @ trace.unembedding.double().T
    return logits.softmax(-1).numpy()


def cosines(reading):
    """float64 [n, vocab]."""
    v = reading.trace.hidden[0].double()
    w = reading.trace.embedding.double()
    return (v @ w.T / v.norm(dim=1)[:, None] / w.norm(dim=1)[None]).numpy()


def test_it_is_what_its_definition_says(readings):
    a, b = readings
    found = apart(a, b)
    n = len(a.words.layout)
    assert found.shape == (a.depth + 2, n)
    p_a, p_b, c_a, c_b = probabilities(a), probabilities(b), cosines(a), cosines(b)
    for patch in range(n):
        w, u = a.similarity.ids[0, patch, 0], b.similarity.ids[0, patch, 0]
        each = c_a[patch, w] - c_b[patch, w] + c_b[patch, u] - c_a[patch, u]
        assert abs(found[0, patch] - np.clip(each / 2, 0, 1)) < BUDGET
        for layer in range(a.depth + 1):
            w, u = a.words.ids[layer, patch, 0], b.words.ids[layer, patch, 0]
            pa, pb = p_a[layer, patch], p_b[layer, patch]
            each = pa[w] - pb[w] + pb[u] - pa[u]
            assert abs(found[layer + 1, patch] - np.clip(each / 2, 0, 1)) < BUDGET


def test_nothing_differs_from_itself(readings):
    assert apart(readings[0], readings[0]).max() < BUDGET


def test_words_that_the_other_does_not_have_count_as_ruled_out(readings, image, monkeypatch):
    a, b = readings
    table = token_strings(b.trace.tokenizer)
    monkeypatch.setattr(
        module,
        "token_strings",
        lambda tokenizer: table if tokenizer is b.trace.tokenizer else [f"~{t}" for t in table],
    )
    found = apart(a, b)
    top_a, top_b = np.exp(a.words.values[:, :, 0]), np.exp(b.words.values[:, :, 0])
    assert np.abs(found[1:] - (top_a + top_b) / 2).max() < BUDGET


@pytest.mark.parametrize("tiled", [False, True])
def test_partners_lie_nearest(image, tiled):
    small = result_of(tiny_vlm("llava"), image).words.layout
    other = result_of(tiled_vlm("spatial"), image).words.layout if tiled else small
    found = partners(small, other)
    centers = [(x.boxes[:, :2] + x.boxes[:, 2:]) / 2 for x in (small, other)]
    for patch, partner in enumerate(found):
        apart = ((centers[1] - centers[0][patch]) ** 2).sum(1)
        base = other.tile == 0
        assert other.tile[partner] == 0
        assert apart[partner] <= apart[base].min() + 1e-9
    back = partners(other, small)
    assert len(back) == len(other) and back.max() < len(small)


def test_models_of_other_depth_and_grid(readings, image):
    tiles = result_of(tiled_vlm("llava_next"), image)
    for a, b in ((readings[0], tiles), (tiles, readings[0])):
        found = apart(a, b)
        assert found.shape == (a.depth + 2, len(a.words.layout))
        assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


def test_words_that_cannot_be_held_against_each_other(readings):
    a, b = readings
    with pytest.raises(ConfigurationError, match="cannot be held against"):
        difference(a.words, b.similarity, a.trace, b.trace)
    some = logit_lens(b.trace, 2, layers=[1, 2])
    with pytest.raises(ConfigurationError, match="all layers and patches of their trace"):
        difference(a.words, some, a.trace, b.trace)


def test_no_partner_is_padding(image):
    tall = image.resize((40, 100))  # on a grid of tiles that it does not fill
    whole, padded = (result_of(tiled_vlm(k), tall).words.layout for k in ("llava_next", "spatial"))
    assert not padded.on_image[padded.tile > 0].all()
    found = partners(whole, padded)
    assert padded.on_image[found].all()
    assert ((padded.tile[found] > 0) == (whole.tile > 0)).all()
    centers = [(x.boxes[:, :2] + x.boxes[:, 2:]) / 2 for x in (whole, padded)]
    for patch, partner in enumerate(found):
        apart = ((centers[1] - centers[0][patch]) ** 2).sum(1)
        same = padded.on_image & ((padded.tile > 0) == (whole.tile[patch] > 0))
        assert apart[partner] <= apart[same].min() + 1e-9


def test_layers_are_matched_by_depth():
    for depth, other in ((6, 3), (3, 6), (4, 6), (32, 40), (7, 7), (1, 5)):
        every = np.arange(depth + 1)
        exact = [floor(Fraction(i * other, depth) + Fraction(1, 2)) for i in every.tolist()]
        assert matched_layer(every, depth, other).tolist() == exact
        assert [matched_layer(i, depth, other) for i in every.tolist()] == exact
        assert exact[0] == 0 and exact[-1] == other


def test_ids_past_the_end_of_the_other_vocabulary_count_as_ruled_out(readings):
    a, _ = readings
    rows = int(a.words.ids[:, :, 0].max())  # the vocabulary's matrix of the other ends before it
    short = replace(
        a.trace, readout=replace(a.trace.readout, unembedding=a.trace.unembedding[:rows])
    )
    words = replace(a.words, ids=np.minimum(a.words.ids, rows - 1))
    found = difference(a.words, words, a.trace, short)
    gone = a.words.ids[:, :, 0] >= rows
    assert gone.any() and np.isfinite(found).all()
    top, p = np.exp(a.words.values[:, :, 0]), probabilities(a)
    own = np.take_along_axis(p, words.ids[:, :, :1], 2)[:, :, 0]
    assert np.abs(found - (top + top - own) / 2)[gone].max() < BUDGET
