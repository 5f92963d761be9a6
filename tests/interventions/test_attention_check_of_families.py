"""The check of who attends to whom in every family, also where images see themselves by design."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from family_cases import CASES
from family_images import noise, read_only_vlm
from torch import Tensor

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.attention_check import check_visual_attention
from llavit_lens.vlm.expected_attention import expected_mask
from llavit_lens.vlm.mixers import mixers

IMAGE = noise((100, 60))
NAMES = [name for name in CASES if CASES[name].kind != "no map"]


@pytest.mark.parametrize("name", NAMES)
def test_every_family_attends_as_it_should(name: str) -> None:
    vlm, prompt = read_only_vlm(name), CASES[name].prompt
    report = check_visual_attention(vlm, IMAGE, prompt)
    assert report.visual_attention == ("bidirectional" if CASES[name].sees_itself else "causal")
    without = {mixer.layer for mixer in mixers(vlm.decoder) if not mixer.takes_mask}
    assert set(report.unseen) == without
    assert (report.rounding > 0) == CASES[name].experts
    assert ("which have no pattern" in str(report)) == bool(without)


@contextmanager
def masked_by(vlm: Any, edit: Any) -> Iterator[None]:
    """Attention of one layer gets another mask than the model built."""

    def replace(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        mask, length = kwargs["attention_mask"], kwargs["hidden_states"].shape[1]
        if mask is None:
            mask = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
        return args, kwargs | {"attention_mask": edit(mask)}

    attention = vlm.decoder.layers[1].self_attn
    handle = attention.register_forward_pre_hook(replace, with_kwargs=True)
    yield
    handle.remove()


def one_leak(mask: Tensor) -> Tensor:
    """The first token sees the last one."""
    mask = mask.clone()
    mask[..., 0, -1] = True
    return mask


@pytest.mark.parametrize(
    ("name", "edit", "line"),
    [
        ("qwen2_5_vl", one_leak, "layer 1: text token 0 attends to text token"),
        ("qwen3_vl_moe", one_leak, "layer 1: text token 0 attends to text token"),
        ("gemma3", one_leak, "layer 1: text token 0 attends to text token"),
        ("gemma3", torch.tril, "does not attend to visual token 4, later"),
        ("paligemma", torch.tril, "visual token 0 does not attend to text token 16, later"),
    ],
)
def test_another_mask_is_found(name: str, edit: Any, line: str) -> None:
    vlm, prompt = CASES[name].vlm("sdpa"), CASES[name].prompt
    with masked_by(vlm, edit):
        report = check_visual_attention(vlm, IMAGE, prompt, raise_on_failure=False)
    assert any(line in failure for failure in report.failures), report.failures


@pytest.mark.parametrize("mode", ["causal", "self", "bidirectional", "none"])
@pytest.mark.parametrize(("name", "attn"), [("gemma3", "eager"), ("paligemma", "sdpa")])
def test_modes_are_checked(name: str, attn: str, mode: Any) -> None:
    vlm, prompt = CASES[name].vlm(attn), CASES[name].prompt
    with ll.visual_attention(vlm, mode):
        assert check_visual_attention(vlm, IMAGE, prompt, mode=mode).passed
    if mode != vlm.visual_attention:
        with pytest.raises(ConfigurationError, match="does not attend as it should"):
            check_visual_attention(vlm, IMAGE, prompt, mode=mode)


def test_blocks_of_the_models_own_design() -> None:
    is_visual = torch.tensor([0, 1, 1, 0, 1, 1, 0], dtype=torch.bool)
    blocks = torch.tensor([-1, 0, 0, -1, 1, 1, -1])  # two images
    own = expected_mask(is_visual, None, blocks=blocks)
    later = own & ~torch.ones_like(own).tril()
    assert later.nonzero().tolist() == [[1, 2], [4, 5]]
    assert torch.equal(expected_mask(is_visual, "causal", blocks=blocks), own.tril())
    both = expected_mask(is_visual, "bidirectional", blocks=blocks)
    assert bool(both[1, 5]) and not bool(both[0, 1])
    # a token that starts the image belongs to its block, and is causal again with it
    blocks = torch.tensor([0, 0, 0, -1, 1, 1, -1])
    assert bool(expected_mask(is_visual, None, blocks=blocks)[0, 2])
    assert torch.equal(expected_mask(is_visual, "causal", blocks=blocks), own.tril())
    # a question that sees itself does so still
    blocks = torch.zeros(7, dtype=torch.int64)
    is_visual = torch.tensor([1, 1, 0, 0, 0, 0, 0], dtype=torch.bool)
    causal = expected_mask(is_visual, "causal", blocks=blocks)
    assert bool(causal[2, 6]) and not bool(causal[0, 6]) and not bool(causal[0, 1])
