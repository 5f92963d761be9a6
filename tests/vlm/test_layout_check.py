"""`ll.check_layout`: right layouts pass, and layouts that are wrong by a patch or an order fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_layouts import quarters
from tiny import tiny_image
from tiny_vlm import tiled_vlm, tiny_vlm
from torch import Tensor

import llavit_lens as ll
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm import layout_check
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM


def local(vlm: VLM) -> VLM:
    """With a vision tower whose patches do not see each other: attention there adds nothing."""
    for name, weight in vlm.family.tower(vlm.model).named_parameters():
        if ".out_proj." in name:
            weight.data.zero_()
    return vlm


def gives(monkeypatch: pytest.MonkeyPatch, change: Callable[[VisualLayout], VisualLayout]) -> None:
    """From now on layouts are changed."""
    prepare = VLM.prepare

    def changed(vlm: VLM, *args: object, **options: object) -> object:
        prompt = prepare(vlm, *args, **options)  # type: ignore[arg-type]
        return replace(prompt, layouts=(change(prompt.layout),))

    monkeypatch.setattr(VLM, "prepare", changed)


def swapped(layout: VisualLayout) -> VisualLayout:
    """Each box where row and column have changed places: right for square grids."""
    there = [
        layout.index(c, r, t) for r, c, t in zip(layout.row, layout.col, layout.tile, strict=True)
    ]
    return replace(layout, boxes=layout.boxes[there])


def shifted(layout: VisualLayout) -> VisualLayout:
    """Each box one column to the right; the last is the first."""
    cols = np.array(layout.grid)[layout.tile, 1]
    places = zip(layout.row, (layout.col + 1) % cols, layout.tile, strict=True)
    return replace(layout, boxes=layout.boxes[[layout.index(*place) for place in places]])


def other_order(layout: VisualLayout) -> VisualLayout:
    """The tiles the other way round."""
    number = (len(layout.grid) - layout.tile) % len(layout.grid)
    there = [layout.index(*place) for place in zip(layout.row, layout.col, number, strict=True)]
    return replace(layout, boxes=layout.boxes[there])


def test_the_right_layout_is_found_in_every_token() -> None:
    vlm = local(tiny_vlm("llava"))
    check = ll.check_layout(vlm, tiny_image(0, 64, 40), tokens=16)
    assert check.ok and len(check.painted) == len(check.layout) == 16
    assert np.array_equal(check.found, check.painted)
    assert (check.rank == 0).all() and (check.share > 0.9).all() and not len(check.strays)
    table = check.to_pandas()
    assert table["right"].all() and (table["found_col"] == table["col"]).all()
    assert "ok: each of 16 painted boxes" in repr(check) and "tiny-llava" in repr(check)
    assert "check.to_pandas()" in check._repr_html_()


@pytest.mark.parametrize("wrong", [swapped, shifted])
def test_a_wrong_layout_is_told(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[VisualLayout], VisualLayout]
) -> None:
    vlm = local(tiny_vlm("llava"))
    gives(monkeypatch, wrong)
    check = ll.check_layout(vlm, tiny_image(0, 64, 40), tokens=16)
    assert not check.ok
    on_diagonal = check.layout.row[check.painted] == check.layout.col[check.painted]
    right = check.rank == 0
    assert not right[~on_diagonal].any() and (wrong is not shifted or not right.any())
    assert f"WRONG: {(~right).sum()} of 16 painted boxes changed another token most" in repr(check)


@pytest.mark.parametrize("wrong", [None, shifted, other_order])
def test_tiles_are_checked_and_the_whole_image_too(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[VisualLayout], VisualLayout] | None
) -> None:
    vlm = local(tiled_vlm("llava_next"))
    if wrong is not None:
        gives(monkeypatch, wrong)
    check = ll.check_layout(vlm, tiny_image(0, 60, 30))
    tiles = check.layout.tile[check.painted]
    assert (tiles == 0).sum() == 3 and (tiles > 0).sum() == 7
    assert check.ok == (wrong is None)
    if wrong is other_order:  # the whole image is at its place
        assert (check.rank[tiles == 0] == 0).all() and (check.rank[tiles > 0] > 0).all()


def test_visual_tokens_that_no_layout_knows_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = local(tiny_vlm("llava"))

    def half(layout: VisualLayout) -> VisualLayout:
        kept = {name: getattr(layout, name)[:8] for name in ("positions", "tile", "row", "col")}
        return replace(layout, **kept, boxes=layout.boxes[:8])

    gives(monkeypatch, half)
    check = ll.check_layout(vlm, tiny_image(0, 64, 40), plain=False)
    assert (check.rank == 0).all() and not check.ok
    assert len(check.strays) == 8
    assert "tokens changed that are none of the layout" in check.summary


def test_the_choice_follows_the_seed_and_takes_seconds() -> None:
    vlm, image = local(tiny_vlm("llava")), tiny_image(0, 64, 40)
    first, again, other = (ll.check_layout(vlm, image, tokens=5, seed=s) for s in (3, 3, 4))
    assert np.array_equal(first.painted, again.painted) and len(set(first.painted)) == 5
    assert not np.array_equal(first.painted, other.painted)
    assert first.seconds > 0


def test_no_layer_runs_for_it() -> None:
    vlm = local(tiny_vlm("llava"))
    ran = []
    for layer in vlm.decoder.layers:
        layer.register_forward_hook(lambda *_: ran.append(1))
    ll.check_layout(vlm, tiny_image(0, 64, 40), tokens=2)
    assert not ran
    vlm.trace(tiny_image(0, 64, 40))  # nothing is left behind
    assert len(ran) == vlm.decoder.n_layers


def test_a_token_that_never_changes_is_not_found() -> None:
    layout = tiny_vlm("llava").prepare(tiny_image()).layout
    found, rank, share = layout_check._found(layout, np.array([0, 5]), np.zeros((2, len(layout))))
    assert (found == -1).all() and (rank > 0).all() and (share == 0).all()


def test_a_token_that_changes_with_everything_does_not_hide_the_right_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm, states = local(tiny_vlm("llava")), layout_check._first_states

    def with_register(vlm: VLM, prompt: Prompt) -> Tensor:
        found = states(vlm, prompt)
        pixels = prompt.inputs["pixel_values"]
        found[prompt.layout.positions[7]] += 1e4 * (pixels - pixels.flatten()[0]).abs().mean()
        return found

    monkeypatch.setattr(layout_check, "_first_states", with_register)
    check = ll.check_layout(vlm, tiny_image(0, 64, 40), tokens=16)
    assert (check.rank[check.painted != 7] == 0).all()


def test_another_color_is_tried_where_one_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, changes, used = local(tiny_vlm("llava")), layout_check._changes, []

    def unclear(vlm: VLM, prompt: str, ground: object, paint: object, *rest: Any) -> Any:
        each, strays = changes(vlm, prompt, ground, paint, *rest)  # type: ignore[arg-type]
        if not used:  # with the first color another token changes more
            each[0, 0] = 10 * each[0].max()
        used.append(paint)
        return each, strays

    monkeypatch.setattr(layout_check, "_changes", unclear)
    assert ll.check_layout(vlm, tiny_image(0, 64, 40), tokens=4, seed=1).ok and len(used) == 2
    assert ll.check_layout(vlm, tiny_image(0, 64, 40), tokens=4, seed=1).ok and len(used) == 3


def test_a_layout_that_is_wrong_in_part_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = local(tiny_vlm("llava"))

    def two_change_places(layout: VisualLayout) -> VisualLayout:
        order = np.arange(len(layout))
        order[[5, 10]] = 10, 5
        return replace(layout, boxes=layout.boxes[order])

    gives(monkeypatch, two_change_places)
    check = ll.check_layout(vlm, tiny_image(0, 64, 40), tokens=16)
    assert not check.ok and "UNSURE: 2 of 16 painted boxes" in repr(check)
    assert check.to_pandas()["right"].sum() == 14


def test_what_cannot_be_painted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = tiny_vlm("llava")
    monkeypatch.setattr(VLM, "family", replace(vlm.family, kind="codes"))
    with pytest.raises(ll.ConfigurationError, match="its visual tokens are codes"):
        ll.check_layout(vlm, tiny_image())
    monkeypatch.setattr(VLM, "family", replace(vlm.family, kind="one grid"))
    with pytest.raises(ll.ConfigurationError, match="smaller than a pixel"):
        ll.check_layout(vlm, tiny_image(0, 4, 4))
    with pytest.raises(ll.ConfigurationError, match="tokens=0: give 1 or more"):
        ll.check_layout(vlm, tiny_image(), tokens=0)
    gives(monkeypatch, lambda x: VisualLayout.without_map(x.positions, x.image_size))
    with pytest.raises(ll.ConfigurationError, match="queries that read the whole image"):
        ll.check_layout(vlm, tiny_image())


def test_a_token_has_to_change_most_in_its_own_tile() -> None:
    layout = quarters("last")
    changes = np.full((1, len(layout)), 0.1)
    changes[0, [3, 70]] = 1.0, 5.0  # the same place, in detail and in the whole image
    found, rank, share = layout_check._found(layout, np.array([3]), changes)
    assert (found[0], rank[0]) == (3, 0) and share[0] == pytest.approx(1.0 / 2.5)
