"""The words that come first at any layer, followed through all: equal to the whole softmax."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_image
from tiny_vlm import FAMILIES, tiny_vlm

import llavit_lens as ll
from llavit_lens.lens import leaders as lens_leaders
from llavit_lens.lens.leaders import leaders_of
from llavit_lens.lens.topk import topk_unembed
from llavit_lens.results.leaders import Leaders
from llavit_lens.vlm.logit_map import LogitMap

ROUNDING = 2.0**-24


def naive_leaders(whole_LNV: np.ndarray, first_LN: np.ndarray) -> list[dict[int, list[float]]]:
    """Of each token: the words that come first, in order, each with its values."""
    n_layers, n = first_LN.shape
    found: list[dict[int, list[float]]] = [{} for _ in range(n)]
    for token in range(n):
        for layer in range(n_layers):
            word = int(first_LN[layer, token])
            found[token][word] = [float(whole_LNV[at, token, word]) for at in range(n_layers)]
    return found


def check_leaders(leaders: Leaders, whole_LNV: np.ndarray, first_LN: np.ndarray, budget: float):
    naive = naive_leaders(whole_LNV, first_LN)
    assert leaders.ids.shape[1] == max(map(len, naive))
    for token, words in enumerate(naive):
        count = len(words)
        assert leaders.ids[token].tolist() == [*words] + [-1] * (leaders.ids.shape[1] - count)
        expected = np.array([*words.values()]).T
        assert np.abs(leaders.values[:, token, :count] - expected).max() <= budget
        assert (leaders.values[:, token, count:] == -np.inf).all()


def whole(trace: Any, logit_map: LogitMap) -> np.ndarray:
    """log softmax over the vocabulary, float64 [layers, n, V]."""
    with torch.no_grad():
        logits = trace.readout.norm(trace.hidden).double() @ trace.readout.unembedding.double().T
        if trace.readout.unembedding_bias is not None:
            logits += trace.readout.unembedding_bias.double()
        logits *= logit_map.scale
        if logit_map.cap is not None:
            logits = logit_map.cap * torch.tanh(logits / logit_map.cap)
        if logit_map.barred is not None:
            logits = logits.masked_fill(logit_map.barred, -torch.inf)
    return logits.log_softmax(-1).numpy()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mapped", [False, True], ids=["plain", "capped, barred, biased"])
def test_leaders_equal_the_whole_softmax(family: str, mapped: bool) -> None:
    trace = tiny_vlm(family).trace(tiny_image())
    vocabulary, width = trace.readout.unembedding.shape
    if mapped:
        barred = torch.arange(vocabulary) % 5 == 3
        barred[0] = True  # the word that fills rows of ids
        bias = torch.linspace(-1, 1, vocabulary)
        changed = {"logit_map": LogitMap(0.7, 4.0, barred), "unembedding_bias": bias}
        trace = replace(trace, readout=replace(trace.readout, **changed))
    words = ll.logit_lens(trace, k=2)
    log_probabilities = whole(trace, trace.readout.logit_map)
    budget = 16 * width * ROUNDING * np.abs(words.logsumexp).max()
    check_leaders(words.leaders, log_probabilities, words.ids[:, :, 0], budget)
    assert len(words.leaders.ids[0]) > 1  # else there would be nothing to follow


@st.composite
def cases(draw: st.DrawFn) -> dict[str, int]:
    size = {name: draw(st.integers(1, 6)) for name in ("layers", "n", "width")}
    vocabulary = draw(st.integers(1, 12))
    k = draw(st.integers(1, vocabulary))
    return {**size, "vocabulary": vocabulary, "k": k, "seed": draw(st.integers(0, 999))}


@settings(max_examples=60, deadline=None)
@given(case=cases(), budget_bytes=st.sampled_from([1, 200, 10**6]))
def test_any_states_give_the_leaders_of_a_plain_loop(
    case: dict[str, int], budget_bytes: int
) -> None:
    generator = torch.Generator().manual_seed(case["seed"])
    normed = torch.randn(case["layers"], case["n"], case["width"], generator=generator)
    weight = torch.randn(case["vocabulary"], case["width"], generator=generator)
    top = topk_unembed(normed.flatten(0, 1), weight, case["k"])
    shape = normed.shape[:2]
    ids = top.ids.view(*shape, -1).numpy()
    values = (top.logits - top.logsumexp[:, None]).view(*shape, -1).numpy()
    readout: Any = SimpleNamespace(unembedding=weight, unembedding_bias=None, logit_map=LogitMap())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lens_leaders, "BUDGET_BYTES", budget_bytes)
        leaders = leaders_of(normed, readout, ids, values, top.logsumexp.view(shape).numpy())
    expected = (normed.double() @ weight.double().T).log_softmax(-1).numpy()
    check_leaders(leaders, expected, ids[:, :, 0], 64 * 8 * ROUNDING)
    # where a leader is among the k best, there is one value; elsewhere it has none above theirs
    for layer, token in np.ndindex(*shape):
        kept = dict(zip(ids[layer, token].tolist(), values[layer, token].tolist(), strict=True))
        for word, value in zip(
            leaders.ids[token].tolist(), leaders.values[layer, token].tolist(), strict=True
        ):
            if word in kept:
                assert value == kept[word]
            elif word >= 0:
                assert value <= min(kept.values())


def test_leaders_only_add() -> None:
    trace = tiny_vlm("llava").trace(tiny_image())
    words, without = ll.logit_lens(trace), ll.logit_lens(trace, leaders=False)
    assert without.leaders is None
    assert words != without
    assert replace(words, leaders=None) == without
    assert repr(words.leaders) == (
        f"Leaders(1 to {words.leaders.ids.shape[1]} words of each of 16 tokens, 4 layers)"
    )


def test_chosen_layers_are_the_layers_that_are_followed() -> None:
    trace = tiny_vlm("llava").trace(tiny_image())
    words = ll.logit_lens(trace, k=1, layers=[1, 3])
    whole_LNV = whole(trace, LogitMap())[[1, 3]]
    check_leaders(words.leaders, whole_LNV, words.ids[:, :, 0], 1e-4)
    one = ll.logit_lens(trace, k=1, layers=2)
    assert np.array_equal(one.leaders.values, one.values)


def test_tokens_of_text_have_leaders() -> None:
    trace = tiny_vlm("llava").trace(tiny_image(), tokens="all").text
    words = ll.logit_lens(trace, k=2)
    check_leaders(words.leaders, whole(trace, LogitMap()), words.ids[:, :, 0], 1e-4)
