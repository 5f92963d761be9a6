"""What holds for all interventions: what they refuse, and what they leave behind."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
import torch
from tiny_vlm import FAMILIES, tiny_vlm

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError

IMAGE = np.random.default_rng(0).integers(0, 255, (28, 28, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_is_refused(family: str) -> None:
    """Layers would run again when the intervention may be over."""
    vlm = tiny_vlm(family)
    inputs = vlm.prepare(IMAGE).inputs
    vlm.model.gradient_checkpointing_enable()
    vlm.model.train()
    with ll.knock_out(vlm, "text->visual"), pytest.raises(ConfigurationError, match="backward"):
        vlm.model(**inputs)
    vlm.model(**inputs)


def test_a_cut_without_any_edge_is_said() -> None:
    vlm = tiny_vlm("llava")  # causal, and its picture comes before most text
    first = [0]
    with ll.knock_out(vlm, (first, "visual")), pytest.warns(UserWarning, match="nothing to cut"):
        vlm.run(IMAGE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ll.knock_out(vlm, "text->visual"), ll.visual_attention(vlm, "causal"):
            vlm.generate(IMAGE, max_new_tokens=3)


def test_a_mode_inside_of_an_ablation_is_nobodys_fault() -> None:
    vlm = tiny_vlm("llava")
    with ll.ablate_visual_attention(vlm):
        expected = vlm.run(IMAGE)
        with ll.visual_attention(vlm, "bidirectional"):
            assert torch.equal(vlm.run(IMAGE), expected)


def test_a_pass_that_fails_leaves_nothing_behind() -> None:
    vlm = tiny_vlm("llavit")
    before = vlm.run(IMAGE)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with ll.knock_out(vlm, "text->visual"):
        with pytest.raises(ZeroDivisionError), vlm.hooks([("blocks.1.attn.hook_q", fail)]):
            vlm.run(IMAGE)
        vlm.model(input_ids=torch.tensor([[7, 8, 9]]))
    assert torch.equal(vlm.run(IMAGE), before)


def test_masks_are_let_go_of() -> None:
    vlm = tiny_vlm("llavit")
    length = vlm.prepare(IMAGE).length
    with ll.knock_out(vlm, "text->visual", heads=[0]):
        vlm.run(IMAGE)
    gc.collect()
    masks = [
        thing
        for thing in gc.get_objects()
        if type(thing) is torch.Tensor  # not what torch keeps of models that other tests compiled
        and thing.shape[-2:] == (length, length)
    ]
    assert not masks
