"""Activations of one image in another's place, in decoders of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from family_cases import CASES
from family_images import noise, read_only_vlm

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.vlm import VLM

SIZE = (100, 60)
ONE, OTHER = noise(SIZE), noise(SIZE, seed=1)
MIXED = ["qwen2_5_vl", "qwen3_5", "gemma3", "idefics3", "mistral3", "lfm3_vl"]
"""Families whose image enters the decoder at its entry alone."""
LATER = ["qwen3_vl", "granite4_vision", "gemma4"]
"""Families whose image features reach later layers by themselves, too."""


def last_layer(vlm: VLM, point: str) -> str:
    return f"blocks.{vlm.decoder.n_layers - 1}.hook_{point}"


@pytest.mark.parametrize("name", [*MIXED, *LATER])
def test_all_states_of_another_image_make_its_logits(name: str) -> None:
    vlm, prompt = read_only_vlm(name), CASES[name].prompt
    expected, other = vlm.run(ONE, prompt), vlm.run(OTHER, prompt)
    first = "blocks.0.hook_resid_pre"
    with ll.patch(vlm, (ONE, prompt), last_layer(vlm, "resid_post"), positions="all"):
        assert torch.equal(vlm.run(OTHER, prompt), expected)
    with ll.patch(vlm, (ONE, prompt), first, positions="visual"):
        logits = vlm.run(OTHER, prompt)
    assert not torch.equal(logits, other)
    assert torch.equal(logits, expected) == (name in MIXED)


@pytest.mark.parametrize("name", [*MIXED, *LATER])
def test_what_layers_add_is_patched_token_by_token(name: str) -> None:
    vlm, prompt = read_only_vlm(name), CASES[name].prompt
    points = [last_layer(vlm, point) for point in ("resid_pre", "attn_out", "mlp_out")]
    points = [point for point in points if point in vlm.hook_names]
    expected, other = vlm.run(ONE, prompt), vlm.run(OTHER, prompt)
    # of a token that is patched on its way in and in all that is added, nothing else is left
    with ll.patch(vlm, (ONE, prompt), points, positions=[-1]):
        logits = vlm.run(OTHER, prompt)
    assert torch.equal(logits[0, -1], expected[0, -1])
    assert torch.equal(logits[0, :-1], other[0, :-1])
    added = [point for point in points if point.endswith("attn_out")]
    with ll.patch(vlm, (ONE, prompt), added, positions=[-1]):
        assert not torch.equal(vlm.run(OTHER, prompt)[0, -1], other[0, -1])


@pytest.mark.parametrize("name", MIXED[:4])
def test_the_image_restored_is_the_clean_answer(name: str) -> None:
    vlm, prompt = read_only_vlm(name), CASES[name].prompt
    log_probs = [vlm.run(image, prompt)[0, -1].log_softmax(-1) for image in (ONE, OTHER)]
    answer = (log_probs[0] - log_probs[1]).argmax()[None]
    found = ll.restore_map(
        vlm, ONE, OTHER, prompt, answer, layers=[0, -1], places=["visual"], progress=False
    )
    assert np.allclose(found.clean, float(log_probs[0][answer]), atol=1e-4)
    assert np.allclose(found.restored[0], found.clean, atol=1e-4)  # all of the image at the entry
    assert np.all(found.restored[1] < found.clean - 0.005)  # too late for the last layer
    with pytest.raises(ConfigurationError, match="no hook point"):
        ll.restore_map(
            vlm, ONE, OTHER, prompt, answer, point="resid_mid", progress=False, layers=[0]
        )
