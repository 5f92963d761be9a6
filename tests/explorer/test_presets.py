"""Experiments of one click, what they changed, and where the help leads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llavit_lens.explorer import guide
from llavit_lens.explorer.ablation import Ablation
from llavit_lens.explorer.choices import ABLATIONS, HELP
from llavit_lens.explorer.effect import effect, words_changed
from llavit_lens.explorer.lens_cache import LensResult
from llavit_lens.explorer.panes import Pane
from llavit_lens.explorer.presets import ALL, EARLY, LATE, PRESETS, Preset, chosen_preset


def test_a_preset_takes_a_part_of_the_layers() -> None:
    def layers(part: str, depth: int) -> list[int]:
        return [*Preset("", "causal", part, "").ablation(depth).layers(depth)]

    assert (layers(EARLY, 6), layers(LATE, 6)) == ([0, 1, 2], [3, 4, 5])
    assert (layers(EARLY, 5), layers(LATE, 5)) == ([0, 1], [2, 3, 4])
    assert layers(ALL, 3) == [0, 1, 2]
    assert layers(EARLY, 1) == layers(LATE, 1) == [0]


@pytest.mark.parametrize("depth", [2, 6, 32])
def test_a_preset_is_recognised_by_its_layers(depth: int) -> None:
    for preset in (preset for presets in PRESETS.values() for preset in presets):
        assert chosen_preset([preset.ablation(depth)], depth) is preset
    assert chosen_preset([Ablation("self")], depth) is None
    assert chosen_preset([Ablation("causal"), Ablation("self")], depth) is None
    assert chosen_preset([], depth) is None


def test_every_switch_has_its_help() -> None:
    assert list(HELP) == list(ABLATIONS) and len({*HELP.values()}) == len(ABLATIONS)


def test_the_effect_counts_words_and_compares_answers(
    results: tuple[LensResult, LensResult],
) -> None:
    before = results[0]
    ids = before.words.ids.copy()
    ids[1, :3, 0] += 1
    ids[2, :5, 0] += 1
    after = replace(before, words=replace(before.words, ids=ids))
    assert words_changed(before, after).tolist() == [0, 3, 5, 0]
    one, other = (Pane("", None, (), result) for result in (before, after))
    n_patches = len(before.words.layout)
    said = effect(one, other, ("a", "b"), 1)
    assert said == (
        f"The answer changed; words changed on 3 of {n_patches} patches at layer 1 "
        "(most: 5, layer 2)."
    )
    assert effect(one, other, ("a", "a"), 2).endswith(f"5 of {n_patches} patches at layer 2.")
    assert effect(one, other, (None, "a"), 2).startswith("Words changed")
    for verdicts, begins in (
        ((True, True), "The answer is worded differently and still right; "),
        ((True, False), "The answer is now wrong; "),
        ((False, True), "The answer is now right; "),
        ((False, False), "The answer changed; "),
        ((True, None), "The answer changed; "),
    ):
        assert effect(one, other, ("a", "b"), 1, verdicts=verdicts).startswith(begins)
    same = effect(one, other, ("a", "a"), 1, verdicts=(True, True))
    assert same.startswith("The answer stays the same; ")
    assert effect(one, one, ("a", "a"), 2, "so it is").endswith(
        "no word on any patch changed: so it is."
    )


def test_the_repository_is_linked_only_if_the_package_names_it() -> None:
    assert guide.PAPER in guide._links(None) and guide._links(None).count("](") == 1
    links = guide._links("https://example.org/x/")
    assert "(https://example.org/x)" in links and "(https://example.org/x/tree/main/docs/)" in links
