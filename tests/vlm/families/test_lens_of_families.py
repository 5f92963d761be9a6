"""In every family: what the lens reads after the last layer is what the model itself would say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from family_cases import CASES, READ
from family_images import noise, read_only_trace, read_only_vlm

import llavit_lens as ll
from llavit_lens.vlm.mixers import mixers


@pytest.mark.parametrize("name", READ)
def test_the_last_words_are_the_models_own(name: str) -> None:
    vlm, trace = read_only_vlm(name), read_only_trace(name)
    words = ll.logit_lens(trace, k=5, layers=-1)
    logits = vlm.run(noise(), CASES[name].prompt)[0, torch.as_tensor(words.layout.positions)]
    expected = logits.double().log_softmax(-1)
    ids, values = torch.as_tensor(words.ids[0]), torch.as_tensor(words.values[0])
    # the product, the sum over all words and their difference round once each, at this size
    budget = 4 * np.finfo(np.float32).eps * float(logits.abs().clamp(max=1e4).max())
    torch.testing.assert_close(values.double(), expected.gather(-1, ids), rtol=0, atol=budget)
    # equal words may come in either order
    torch.testing.assert_close(values.double(), expected.topk(5).values, rtol=0, atol=budget)
    entropy = -(expected.exp() * expected.clamp(min=-1e4)).sum(-1)
    torch.testing.assert_close(
        torch.as_tensor(words.entropy[0]).double(), entropy, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", READ)
def test_layers_differ(name: str) -> None:
    """States are those of each layer: no two are one state read twice."""
    hidden = read_only_trace(name).hidden
    for lower, upper in itertools.pairwise(hidden):
        assert not torch.equal(lower, upper)


@pytest.mark.parametrize("name", READ)
def test_a_trace_says_what_is_out_of_the_usual(name: str) -> None:
    provenance = read_only_trace(name).provenance
    assert ("logit_map" in provenance) == CASES[name].after_head
    assert ("features_added_to_states" in provenance) == CASES[name].added_later


@pytest.mark.parametrize("name", READ)
def test_the_layout_is_of_the_kind_that_its_family_says(name: str) -> None:
    case, vlm, layout = CASES[name], read_only_vlm(name), read_only_trace(name).layout
    if case.kind != "one grid" or vlm.family.kind != "tiles":  # Gemma 3 without pan-and-scan
        assert vlm.family.kind == case.kind
    assert layout.precision == vlm.family.precision
    large = vlm.prepare(noise((300, 180)), case.prompt).layout if name == "lfm2_vl" else layout
    assert (len(large.grid) > 1) == case.several_views
    assert vlm.visual_attention == ("bidirectional" if case.sees_itself else "causal")


@pytest.mark.parametrize("name", READ)
def test_layers_that_no_mask_reaches_are_known(name: str) -> None:
    vlm = read_only_vlm(name)
    vlm.run(noise(), CASES[name].prompt)
    assert all(mixer.takes_mask for mixer in mixers(vlm.decoder)) == CASES[name].maskable
