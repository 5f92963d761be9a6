"""The logit lens against the model's own logits, and against its definition in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import tiny_image
from tiny_vlm import FAMILIES, LAYERS, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.topk import topk_unembed
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.vlm import VLM

EPS = torch.finfo(torch.float32).eps


@pytest.fixture(scope="module", params=FAMILIES)
def vlm(request: pytest.FixtureRequest) -> VLM:
    return tiny_vlm(request.param)


@pytest.fixture(scope="module")
def trace(vlm: VLM) -> Trace:
    return vlm.trace(tiny_image(), "What is left?")


def own_logits(vlm: VLM, trace: Trace) -> torch.Tensor:
    """The model's logits at the visual positions, [n, vocab], by transformers alone."""
    inputs = vlm.processor(images=tiny_image(), text=trace.prompt, return_tensors="pt")
    with torch.no_grad():
        logits = vlm.model(**inputs).logits[0]
    return logits[inputs["input_ids"][0] == vlm.processor.image_token_id]


def float64_log_probabilities(trace: Trace, layer: int) -> np.ndarray:
    """log softmax(W norm(h)), the RMS norm written out."""
    h = trace.hidden[layer].double().numpy()
    gain = trace.norm.weight.detach().double().numpy()
    normed = gain * h / np.sqrt((h**2).mean(axis=1, keepdims=True) + trace.norm.variance_epsilon)
    logits = normed @ trace.unembedding.double().numpy().T
    m = logits.max(axis=1, keepdims=True)
    return logits - m - np.log(np.exp(logits - m).sum(axis=1, keepdims=True))


def logit_budget(trace: Trace, layer: int) -> float:
    """Float32 product of d terms, after a norm of relative error 4 eps: (d + 4) eps sum |h w|."""
    normed = trace.norm(trace.hidden[layer]).detach().double().abs()
    return (
        (trace.hidden.shape[-1] + 4)
        * EPS
        * (normed @ trace.unembedding.double().abs().T).max().item()
    )


def test_last_layer_is_the_model(vlm: VLM, trace: Trace) -> None:
    words = logit_lens(trace, k=6, layers=[-1])
    logits = own_logits(vlm, trace)
    order = logits.sort(dim=1, descending=True, stable=True).indices[:, :6]
    assert np.array_equal(words.ids[0], order.numpy())
    expected = logits.double().log_softmax(1).gather(1, order).numpy()
    budget = 2 * logit_budget(trace, trace.n_layers) + 4 * EPS * np.abs(expected).max()
    assert np.abs(words.values[0] - expected).max() <= budget
    assert budget < 1e-3  # else the bound above would say nothing


def test_last_layer_is_the_model_bit_for_bit(vlm: VLM, trace: Trace) -> None:
    # the same product over the same rows: no rounding may differ at all
    inputs = vlm.processor(images=tiny_image(), text=trace.prompt, return_tensors="pt")
    positions = torch.as_tensor(trace.layout.positions)
    with torch.no_grad():
        logits = vlm.model(**inputs, logits_to_keep=positions).logits[0]
        top = topk_unembed(trace.norm(trace.hidden[-1]), trace.unembedding, logits.shape[1])
    assert torch.equal(top.logits, logits.gather(1, top.ids))


def test_every_layer_against_float64(trace: Trace) -> None:
    words = logit_lens(trace, k=7)
    assert words.layers == list(range(LAYERS + 1))
    for layer in words.layers:
        expected = float64_log_probabilities(trace, layer)
        budget = 2 * logit_budget(trace, layer) + 4 * EPS * np.abs(expected).max()
        own = np.take_along_axis(expected, words.ids[layer], axis=1)
        assert np.abs(words.values[layer] - own).max() <= budget
        best = -np.sort(-expected, axis=1)[:, :7]
        assert np.abs(words.values[layer] - best).max() <= budget
        entropy = -(np.exp(expected) * expected).sum(axis=1)
        assert np.abs(words.entropy[layer] - entropy).max() <= 4 * budget * (2 + entropy.max())


def test_the_norm_is_applied_once_and_not_twice(trace: Trace) -> None:
    words = logit_lens(trace, k=3, layers=[-1])
    with torch.no_grad():
        raw = topk_unembed(trace.hidden[-1], trace.unembedding, 3)
        twice = topk_unembed(trace.norm(trace.norm(trace.hidden[-1])), trace.unembedding, 3)
    # the tiny models are spread wide enough that either mistake changes words
    assert not np.array_equal(words.ids[0], raw.ids.numpy())
    assert not np.array_equal(words.ids[0], twice.ids.numpy())


def test_chosen_layers_are_the_same_as_in_all_layers(trace: Trace) -> None:
    every = logit_lens(trace, k=4)
    some = logit_lens(trace, k=4, layers=[-1, 2, 0, -LAYERS - 1, 2])
    assert some.layers == [0, 2, LAYERS]
    assert np.array_equal(some.ids, every.ids[some.layers])
    budget = 2 * max(logit_budget(trace, layer) for layer in some.layers)
    assert np.abs(some.values - every.values[some.layers]).max() <= budget


@pytest.mark.parametrize("layer", [LAYERS + 1, -LAYERS - 2, 100])
def test_layers_that_are_not_there(trace: Trace, layer: int) -> None:
    with pytest.raises(ConfigurationError, match=f"no layer {layer}: .* has layers 0 to {LAYERS}"):
        logit_lens(trace, layers=[layer])


def test_one_layer_is_a_number(trace: Trace) -> None:
    assert logit_lens(trace, k=1, layers=-1).layers == [LAYERS]
    with pytest.raises(ConfigurationError, match="whole numbers"):
        logit_lens(trace, layers=1.0)  # type: ignore[arg-type]


def test_tracked_is_a_list(trace: Trace) -> None:
    with pytest.raises(ConfigurationError, match=r"tracked=\['red'\]"):
        logit_lens(trace, tracked="red")


def test_no_layers(trace: Trace) -> None:
    with pytest.raises(ConfigurationError, match="no layers chosen"):
        logit_lens(trace, layers=[])


def test_k_too_large(trace: Trace) -> None:
    with pytest.raises(ConfigurationError, match="k is 1000"):
        logit_lens(trace, k=1000)


def test_bias_of_the_unembedding_counts(trace: Trace) -> None:
    plain = logit_lens(trace, k=1, layers=[-1])
    bias = torch.zeros(len(trace.unembedding))
    bias[17] = 1000.0
    biased = replace(trace, readout=replace(trace.readout, unembedding_bias=bias))
    assert (logit_lens(biased, k=1, layers=[-1]).ids == 17).all()
    assert not (plain.ids == 17).all()


def test_tracked_words(trace: Trace) -> None:
    words = logit_lens(trace, k=3, tracked=["red", "S"])
    table = {text: token for token, text in enumerate(_strings(trace))}
    assert words.tracked is not None
    assert words.tracked.words == [" red", "S"]  # only ' red' is one token of this tokenizer
    assert words.tracked.ids.tolist() == [table[" red"], table["S"]]
    for layer in words.layers:
        expected = float64_log_probabilities(trace, layer)
        own = expected[:, words.tracked.ids]
        assert (
            np.abs(words.tracked.values[layer] - own).max() <= 2 * logit_budget(trace, layer) + 1e-5
        )
        ranks = (expected[:, None, :] > own[:, :, None]).sum(axis=2)
        assert np.array_equal(words.tracked.ranks[layer], ranks)


def _strings(trace: Trace) -> list[str]:
    return [trace.tokenizer.decode([token]) for token in range(len(trace.tokenizer))]


@pytest.mark.parametrize("word", ["", "hippopotamus", "red square"])
def test_words_of_several_tokens_cannot_be_tracked(trace: Trace, word: str) -> None:
    with pytest.raises(ConfigurationError, match="not one token"):
        logit_lens(trace, tracked=[word])


def test_hooks_on_the_norm_are_not_part_of_the_lens(vlm: VLM, trace: Trace) -> None:
    plain = logit_lens(trace)
    # such a hook edits a position of the sequence, which the lens' rows do not have
    handle = trace.norm.register_forward_hook(lambda module, args, output: output * 0)
    hooked = logit_lens(trace)
    handle.remove()
    assert hooked == plain


def test_half_precision_last_layer_is_the_models(vlm: VLM) -> None:
    half = tiny_vlm("llavit" if "llavit" in vlm.name else "llava")
    half.model.to(torch.bfloat16)
    trace = half.trace(tiny_image())
    words = logit_lens(trace, k=1, layers=[-1])
    inputs = half.processor(images=tiny_image(), text=trace.prompt, return_tensors="pt")
    with torch.no_grad():
        logits = (
            half.model(**inputs.to(dtype=torch.bfloat16)).logits[0, trace.layout.positions].float()
        )
    # the model rounds its logits to 8 bits, the lens does not: its best word is among the model's
    # best within that rounding
    own = logits.gather(1, torch.as_tensor(words.ids[0]))[:, 0]
    assert (own >= logits.max(1).values * (1 - 2**-7)).all()
