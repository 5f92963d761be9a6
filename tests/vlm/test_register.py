"""`ll.register_family`: a layout of one's own is used, looked at, and refused where it is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from family_cases import CASES
from tiny import tiny_image
from tiny_vlm import tiny_vlm

import llavit_lens as ll
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm import families
from llavit_lens.vlm.families.described import OTHER
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.families.views import View, in_views, whole_region
from llavit_lens.vlm.vlm import VLM


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(families, "_FAMILIES", dict(families._FAMILIES))
    monkeypatch.setattr(families, "_WITH_TOWER", dict(families._WITH_TOWER))


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return tiny_vlm("llava")


def one_view(reading: Reading) -> VisualLayout:
    return in_views(reading, [View(whole_region(reading.image_size), 4, 4, whole=True)])


def test_a_layout_of_ones_own_is_used(vlm: VLM) -> None:
    before = vlm.prepare(tiny_image(0, 64, 40)).layout
    family = ll.register_family("llava", layout=one_view)
    layout = vlm.prepare(tiny_image(0, 64, 40)).layout
    assert vlm.family is family and repr(family) == "Family(llava)"
    assert np.array_equal(layout.boxes[0], [0, 0, 16, 10])  # not the middle square, as before
    assert layout != before and np.array_equal(layout.positions, before.positions)


def test_what_is_left_out_stays_as_it_is_known() -> None:
    known, other = (families.family_of_type(kind) for kind in ("llava", "llava_next"))
    family = ll.register_family("llava", plain_prompt="Q: {image} {question} A:")
    assert family.layout is known.layout and family.validate is known.validate
    assert families.family_of_type("llava_next") is other
    new = ll.register_family("mine", visual_attention="bidirectional", tower=lambda model: None)
    assert new.layout is OTHER.layout and new.visual_attention(None) == "bidirectional"
    assert new.tower(object()) is None and families.family_of_type("mine") is new


def test_a_tower_that_decides_goes_on_deciding() -> None:
    image, prompt = tiny_image(0, 64, 40), CASES["pixtral"].prompt
    pixtral = CASES["pixtral"].vlm()
    before, validate = pixtral.prepare(image, prompt).layout, pixtral.family.validate
    ll.register_family("llava", plain_prompt="Q: {image} {question} A:")
    assert pixtral.prepare(image, prompt).layout == before
    assert pixtral.family.plain_prompt == "Q: {image} {question} A:"
    assert pixtral.family.validate is validate
    ll.register_family("llava", layout=lambda reading: replace(before, boxes=before.boxes[::-1]))
    assert np.array_equal(pixtral.prepare(image, prompt).layout.boxes, before.boxes[::-1])


def test_a_prompt_of_ones_own_is_written(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    ll.register_family("llava", plain_prompt="Q: {image} {question} A:")
    monkeypatch.setattr(vlm.processor, "chat_template", None)
    assert vlm.format_prompt("what?") == f"Q: {vlm.processor.image_token} what? A:"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"model_type": ""}, "model_type='': give the model_type"),
        ({"model_type": 3}, "model_type=3: give the model_type"),
        ({"layout": "one grid"}, "layout='one grid': give a function"),
        ({"decoder": 1}, "decoder=1: give a function"),
        ({"plain_prompt": "{question}"}, "that holds {image} and {question}, each once"),
        ({"plain_prompt": "{image}{image}{question}"}, "each once"),
        ({"plain_prompt": "{image}{question}{name}"}, "each once"),
        ({"plain_prompt": "{image"}, "each once"),
        ({"plain_prompt": 7}, "each once"),
        ({"visual_attention": "all"}, "visual_attention='all': give one of 'causal'"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], fault: str) -> None:
    before = dict(families._FAMILIES)
    with pytest.raises(ll.ConfigurationError) as refusal:
        ll.register_family(**{"model_type": "mine", **arguments})
    assert fault in str(refusal.value)
    assert before == families._FAMILIES


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (lambda layout: None, "returned NoneType, no VisualLayout"),
    "boxes": (lambda layout: replace(layout, boxes=layout.boxes + 9), "do not lie on the image"),
    "one cell": (lambda layout: replace(layout, row=0 * layout.row), "two visual tokens on one"),
    "size": (
        lambda layout: replace(layout, image_size=(128, 128)),
        r"image_size=\(128, 128\), but the \(width, height\) of the image is \(64, 40\)",
    ),
    "text": (
        lambda layout: replace(layout, positions=layout.positions - layout.positions[0]),
        "positions that hold no image token",
    ),
    "half": (
        lambda layout: replace(
            layout,
            boxes=layout.boxes[:8],
            **{name: getattr(layout, name)[:8] for name in ("positions", "tile", "row", "col")},
        ),
        "8 visual tokens are those of no image",
    ),
}


@pytest.mark.parametrize("change", WRONG)
def test_a_layout_that_cannot_be_is_refused_where_it_is_used(vlm: VLM, change: str) -> None:
    wrong, fault = WRONG[change]
    ll.register_family("llava", layout=lambda reading: wrong(one_view(reading)))
    with pytest.raises(ll.ConfigurationError, match=fault):
        vlm.prepare(tiny_image(0, 64, 40))


def test_tokens_that_are_no_patches_have_words_by_token(vlm: VLM) -> None:
    ll.register_family(
        "llava",
        layout=lambda reading: VisualLayout.without_map(reading.positions, reading.image_size),
    )
    words = ll.logit_lens(vlm.trace(tiny_image()), k=1)
    assert list(words.by_token().index.names) == ["token", "query"]
    for refused in (words.plot, words.show, lambda: ll.check_layout(vlm, tiny_image())):
        with pytest.raises(ll.ConfigurationError, match=r"queries .* no map"):
            refused()
    with (
        pytest.raises(ll.ConfigurationError, match=r"queries .* no map"),
        ll.knock_out(vlm, ("last", ll.Box(0, 0, 20, 20))),
    ):
        vlm.run(tiny_image())
