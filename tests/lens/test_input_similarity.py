"""Eq. 4 against its definition in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import tiny_image
from tiny_vlm import FAMILIES, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.vlm.trace import Trace


@pytest.fixture(scope="module", params=FAMILIES)
def trace(request: pytest.FixtureRequest) -> Trace:
    return tiny_vlm(request.param).trace(tiny_image())


def test_against_float64(trace: Trace) -> None:
    words = input_similarity(trace, k=9)
    v = trace.hidden[0].double().numpy()
    w = trace.embedding.double().numpy()
    lengths = np.linalg.norm(v, axis=1)[:, None] * np.linalg.norm(w, axis=1)[None]
    cosines = v @ w.T / np.where(lengths > 0, lengths, 1)
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :9]
    assert words.kind == "input_similarity" and words.layers == [0]
    assert np.array_equal(words.ids[0], best)
    # d products and a few divisions in float32, all of numbers below one
    budget = (trace.hidden.shape[-1] + 8) * torch.finfo(torch.float32).eps
    assert np.abs(words.values[0] - np.take_along_axis(cosines, best, axis=1)).max() <= budget
    assert words.logsumexp is None and words.entropy is None
    assert words.at(0, 1, 2)[0].probability is None


def test_a_visual_token_on_a_word_embedding_reads_that_word(trace: Trace) -> None:
    placed = trace.hidden.clone()
    placed[0] = 3 * trace.embedding[100:116]
    words = input_similarity(replace(trace, hidden=placed), k=1)
    assert words.ids[0, :, 0].tolist() == list(range(100, 116))
    assert np.allclose(words.values, 1, atol=1e-6, rtol=0)


def test_zero_vectors_are_like_nothing(trace: Trace) -> None:
    embedding = trace.embedding.clone()
    embedding[5] = 0
    hidden = trace.hidden.clone()
    hidden[0, 0] = 0
    words = input_similarity(
        replace(trace, hidden=hidden, readout=replace(trace.readout, embedding=embedding)),
        k=len(embedding),
    )
    assert np.isfinite(words.values).all()
    assert not words.values[0, 0].any()
    assert (words.values[0][words.ids[0] == 5] == 0).all()


def test_k_too_large(trace: Trace) -> None:
    with pytest.raises(ConfigurationError, match="k is 0"):
        input_similarity(trace, k=0)
