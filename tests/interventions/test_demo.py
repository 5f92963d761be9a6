"""On a trained model: an object's patches carry the answer early, the last token late."""

from __future__ import annotations

import pytest

import llavit_lens as ll
from llavit_lens.miniature.world.scenes import example_path, example_truth

QUESTION = "what is at the left ?"
CLEAN, CORRUPTED = example_path("sun-guitar"), example_path("kite-moon")


@pytest.fixture(scope="module")
def vlm() -> ll.VLM:
    return ll.load("demo:llavit")


def box_of(name: str, scene: str) -> tuple[float, float, float, float]:
    """Of an object, in pixels, and a little around it."""
    (thing,) = (thing for thing in example_truth(scene).scene.things if thing.name == name)
    across, down = thing.width / 2 + 6, thing.height / 2 + 6
    return thing.x - across, thing.y - down, thing.x + across, thing.y + down


def test_where_the_answer_is_read_from(vlm: ll.VLM) -> None:
    found = ll.restore_map(
        vlm,
        CLEAN,
        CORRUPTED,
        QUESTION,
        "guitar",
        layers=[0, -1],
        places=["visual", "last"],
        objects={
            "guitar": box_of("guitar", "sun-guitar"),
            "sun": box_of("sun", "sun-guitar"),
        },
        progress=False,
    )
    early, late = found.effect
    whole, last, guitar, sun = range(4)
    assert early[whole] == pytest.approx(1, abs=1e-3) and early[last] == pytest.approx(0, abs=1e-3)
    assert early[guitar] > 0.5 > early[sun] + 0.3
    assert late[last] == pytest.approx(1, abs=1e-3) and abs(late[whole]) < 0.05


def test_an_object_can_be_brought_into_another_picture(vlm: ll.VLM) -> None:
    assert vlm.generate(CORRUPTED, QUESTION) != "guitar" == vlm.generate(CLEAN, QUESTION)
    with ll.patch(vlm, (CLEAN, QUESTION), from_region=box_of("guitar", "sun-guitar")):
        assert vlm.generate(CORRUPTED, QUESTION) == "guitar"


def test_the_demo_checkpoints_attend_as_they_say(vlm: ll.VLM) -> None:
    report = ll.check_visual_attention(vlm, CLEAN, QUESTION)
    assert (report.visual_attention, report.n_visual) == ("bidirectional", 64)
