"""In every family: the visual tokens of a layout are those that other pixels change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from family_cases import CASES, READ
from family_images import TALL, WIDE, noise, read_only_vlm

from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM


def first_state(vlm: VLM, prompt: Prompt) -> torch.Tensor:
    """What decoder layer 0 is given for a prompt: [seq, D]."""
    kept: list[torch.Tensor] = []

    def keep(module: Any, args: Any, kwargs: Any) -> None:
        kept.append(args[0] if args else kwargs["hidden_states"])

    handle = vlm.decoder.layers[0].register_forward_pre_hook(keep, with_kwargs=True)
    try:
        vlm.forward(prompt)
    finally:
        handle.remove()
    return kept[0][0]


@pytest.mark.parametrize("size", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("name", READ)
def test_other_pixels_change_them_and_no_others(name: str, size: tuple[int, int]) -> None:
    case, vlm = CASES[name], read_only_vlm(name)
    one, other = (vlm.prepare(noise(size, seed), case.prompt) for seed in (0, 1))
    assert one.layout == other.layout
    moved = (first_state(vlm, one) != first_state(vlm, other)).any(-1).cpu().numpy()
    changed = np.flatnonzero(moved)
    if case.kind == "codes":  # another image may be told by the same code words here and there
        assert len(changed) and np.isin(changed, one.layout.positions).all()
    else:
        assert np.array_equal(changed, one.layout.positions)
    assert (len(one.layout.off_image) > 0) == case.newlines
