"""Questions to ask with one click."""

from llavit_lens.explorer.suggestions import GENERAL, suggestions
from llavit_lens.explorer.view import OWN
from llavit_lens.miniature.benchmark.learned_questions import suggested_questions
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE, example_truth


def test_they_are_of_the_scene_and_of_what_all_models_have_learned() -> None:
    scene = example_truth(FIRST_EXAMPLE).scene
    one = suggestions(FIRST_EXAMPLE, ("demo:llavit",))
    assert one == suggested_questions(scene, ["llavit"]) and len(one) == 4
    two = suggestions(FIRST_EXAMPLE, ("demo:llavit", "demo:baseline"))
    assert two == suggested_questions(scene, ["llavit", "baseline"]) != one


def test_other_images_and_models() -> None:
    assert suggestions(OWN, ("demo:llavit",)) == []
    for image in (OWN, FIRST_EXAMPLE):
        assert suggestions(image, ("owner/name",)) == list(GENERAL)
        assert suggestions(image, ("demo:llavit", "owner/name")) == list(GENERAL)
    assert suggestions("no such scene", ("demo:llavit",)) == []
