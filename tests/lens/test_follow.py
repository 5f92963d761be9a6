"""Following chosen tokens: equal to the whole softmax, written out in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_vlm import FAMILIES, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.follow import (
    cosines,
    log_probabilities,
    own_log_probabilities,
    tokens_of,
)
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.token_strings import token_strings
from llavit_lens.vlm.logit_map import LogitMap

# A float32 product of D = 48 terms and a logsumexp over 400: some tens of roundings of numbers that
# are at most 30.
BUDGET = 30 * 40 * 2**-24


@pytest.fixture(scope="module", params=FAMILIES)
def read(request, image):
    trace = tiny_vlm(request.param).trace(image)
    return trace, logit_lens(trace, 5)


def all_log_probabilities(trace):
    """float64 [layers, n, vocab]."""
    with torch.no_grad():
        normed = trace.norm(trace.hidden).double()
        logits = normed @ trace.unembedding.double().T
        if trace.unembedding_bias is not None:
            logits += trace.unembedding_bias.double()
    return logits.log_softmax(-1).numpy()


def test_log_probabilities_equal_the_whole_softmax(read):
    trace, words = read
    ids, patches = [7, 3, 90], [5, 0, 15]
    whole = all_log_probabilities(trace)
    found = log_probabilities(trace, words, ids)
    assert np.abs(found - whole[:, :, ids]).max() < BUDGET
    some = log_probabilities(trace, words, ids, patches)
    assert np.abs(some - whole[:, patches][:, :, ids]).max() < BUDGET


def test_both_do_what_the_model_does_after_its_head(image):
    trace = tiny_vlm("llava").trace(image)
    barred = torch.arange(len(trace.unembedding)) % 5 == 3
    logit_map = LogitMap(0.7, 4.0, barred)
    trace = replace(trace, readout=replace(trace.readout, logit_map=logit_map))
    words = logit_lens(trace, 5)
    with torch.no_grad():
        logits = trace.norm(trace.hidden).double() @ trace.unembedding.double().T
    logits = (4 * torch.tanh(0.7 * logits / 4)).masked_fill(barred, -torch.inf)
    whole = logits.log_softmax(-1).numpy()
    ids = [7, 3, 90]
    found = log_probabilities(trace, words, ids)
    assert np.abs(found[:, :, [0, 2]] - whole[:, :, [7, 90]]).max() < BUDGET
    assert (found[:, :, 1] == -np.inf).all()
    own = own_log_probabilities(trace, words, np.array([ids]), [2], [4, 1, 9])[0]
    assert own[1] == -np.inf
    assert np.abs(own[[0, 2]] - whole[2, [4, 9], [7, 90]]).max() < BUDGET


def test_one_token_for_each_patch_and_layer(read):
    trace, words = read
    generator = np.random.default_rng(0)
    layers, patches = [2, 0, 2], [4, 4, 1, 9]
    ids = generator.integers(-1, len(trace.unembedding), (3, 4))
    ids[0, 0] = -1
    found = own_log_probabilities(trace, words, ids, layers, patches)
    whole = all_log_probabilities(trace)
    for row, layer in enumerate(layers):
        for column, patch in enumerate(patches):
            token = ids[row, column]
            if token < 0:
                assert found[row, column] == -np.inf
            else:
                assert abs(found[row, column] - whole[layer, patch, token]) < BUDGET


def test_the_words_must_be_of_all_layers(read):
    trace, _ = read
    for words in (logit_lens(trace, 1, layers=[1]), input_similarity(trace, 1)):
        with pytest.raises(ConfigurationError, match="all layers"):
            log_probabilities(trace, words, [1])


def test_cosines_equal_input_similarity(read):
    trace, _ = read
    similarity = input_similarity(trace, 4)
    for patch in (0, 7):
        values = cosines(trace, similarity.ids[0, patch].tolist())[patch]
        assert np.abs(values - similarity.values[0, patch]).max() < 1e-6  # both float32, D = 48


def test_a_word_is_both_its_forms(read):
    trace, _ = read
    table = token_strings(trace.tokenizer)
    both = [text for text in table if text.strip() == text and text and f" {text}" in table]
    assert both  # the tiny tokenizer has such words
    found = tokens_of(f"  {both[0]} ", trace)
    assert [table[i] for i in found.ids] == [both[0], f" {both[0]}"] == list(found.texts)
    assert found.pieces == () and found.word == both[0]


def test_a_word_of_several_tokens_says_so(read):
    trace, _ = read
    found = tokens_of("zebrafishery", trace)
    assert len(found.ids) == 1 and len(found.pieces) > 1
    assert "".join(found.pieces).strip() == "zebrafishery"
    assert found.texts == found.pieces[:1]


@pytest.mark.parametrize("nothing", ["", "   ", "\n"])
def test_no_word(read, nothing):
    with pytest.raises(ConfigurationError, match="no word"):
        tokens_of(nothing, read[0])
