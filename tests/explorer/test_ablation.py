"""The interventions of the page are those of the library."""

from __future__ import annotations

import pytest
import torch
from tiny_vlm import LAYERS, tiny_vlm

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.ablation import Ablation, applied, of_link
from llavit_lens.explorer.ablation_switches import VOID, void_switches
from llavit_lens.explorer.choices import ABLATIONS, OF_PATCHES
from llavit_lens.explorer.input_image import InputImage


def test_layers_of_an_ablation_must_be_there() -> None:
    for first, last in ((2, 1), (0, 3), (3, None), (-1, 0)):
        chosen = [Ablation("visual_attention"), Ablation("causal", first, last)]
        with pytest.raises(ConfigurationError, match="layers"), applied(None, chosen, 3):
            pass


@pytest.mark.long
@pytest.mark.parametrize("kind", ABLATIONS)
def test_every_ablation_runs_and_leaves_no_trace(input_image: InputImage, kind: str) -> None:
    vlm = tiny_vlm("llavit")
    before = vlm.trace(input_image.pixels).hidden
    with applied(vlm, [Ablation(kind, 1)], LAYERS):
        inside = vlm.trace(input_image.pixels).hidden
    assert torch.equal(vlm.trace(input_image.pixels).hidden, before)
    # decoder layer l, counted from 0, puts out state l + 1
    assert torch.equal(inside[:2], before[:2])
    changes = kind in OF_PATCHES and kind != "bidirectional"  # which it is
    assert torch.equal(inside[2], before[2]) != changes


def test_several_interventions_are_those_of_the_library_at_once(input_image: InputImage) -> None:
    vlm = tiny_vlm("llavit")
    chosen = of_link("visual_attention:0-0,visual->text:1-2,text->visual:1-")
    with applied(vlm, chosen, LAYERS):
        found = vlm.run(input_image.pixels)
    with (
        ll.ablate_visual_attention(vlm, layers=0),
        ll.knock_out(vlm, "visual->text", layers=[1, 2]),
        ll.knock_out(vlm, "text->visual", layers=range(1, LAYERS)),
    ):
        expected = vlm.run(input_image.pixels)
    assert torch.equal(found, expected)
    for left_out in range(3):
        some = [a for number, a in enumerate(chosen) if number != left_out]
        with applied(vlm, some, LAYERS):
            assert not torch.equal(vlm.run(input_image.pixels), expected)


@pytest.mark.long
@pytest.mark.parametrize("kind", ABLATIONS)
def test_the_code_that_is_shown_does_the_same(input_image: InputImage, kind: str) -> None:
    vlm = tiny_vlm("llavit")
    for ablation in (Ablation(kind), Ablation(kind, 0, 1)):
        with applied(vlm, [ablation], LAYERS):
            found = vlm.run(input_image.pixels)
        with eval(ablation.code(LAYERS), {"ll": ll, "vlm": vlm}):
            assert torch.equal(vlm.run(input_image.pixels), found)


@pytest.mark.long
@pytest.mark.parametrize(
    ("strong", "weak"), [(strong, weak) for strong, void in VOID.items() for weak in void]
)
@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_what_the_page_calls_void_changes_nothing(
    input_image: InputImage, family: str, strong: str, weak: str
) -> None:
    vlm = tiny_vlm(family)
    with applied(vlm, [Ablation(strong)], LAYERS):
        expected = vlm.run(input_image.pixels)
    with applied(vlm, [Ablation(strong), Ablation(weak)], LAYERS):
        torch.testing.assert_close(vlm.run(input_image.pixels), expected)
    (said,) = void_switches([Ablation(strong), Ablation(weak, 1)], LAYERS)
    assert said.startswith(f"“{ABLATIONS[weak]}” changes nothing: “{ABLATIONS[strong]}”")
    assert not void_switches([Ablation(strong, 0, 0), Ablation(weak, 1)], LAYERS)


def test_titles_of_ablations() -> None:
    assert Ablation("visual_attention").title(6).endswith(", all layers")
    assert Ablation("visual_attention", 0, 5).title(6).endswith(", all layers")
    assert Ablation("text->visual", 2).title(6).endswith(", decoder layers 2 to 5")
    assert Ablation("text->visual", 2, 2).title(6).endswith(", decoder layer 2")


def test_layers_that_end_before_the_last_stay_as_they_are_in_a_deeper_model() -> None:
    assert Ablation("causal", 2, 5).within(6) == Ablation("causal", 2, 5)
    assert Ablation("causal", 2, 9).within(6) == Ablation("causal", 2, 5)
    assert Ablation("causal", 0, 5).within(6) == Ablation("causal")
    assert Ablation("causal", 2).within(6) == Ablation("causal", 2)
    assert Ablation("causal", 8, 9).within(6) == Ablation("causal", 5, 5)
