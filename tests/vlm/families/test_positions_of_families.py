"""In every family: the visual tokens of a layout are those that other pixels change."""

from __future__ import annotations

import numpy as np
import pytest
from family_cases import CASES, READ
from family_images import TALL, WIDE, first_state, noise, read_only_vlm


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
