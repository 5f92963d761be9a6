"""The right answer of every question that the world asks is found again from its words."""

import random
from collections import Counter

import pytest

from llavit_lens.miniature.world.questions import questions
from llavit_lens.miniature.world.right_answers import is_right, right_answers, true_besides
from llavit_lens.miniature.world.scenes import Scene, Thing, sample_scene

SCENE = Scene(
    0,
    (
        Thing("object", "dog", 20, 20, 34, 34, "small"),
        Thing("object", "rose", 90, 60, 50, 50, "large"),
        Thing("sign", "sign", 40, 95, 56, 22, "wide", word="go"),
    ),
    ("sky", "grass"),
    56,
)
KINDS = 30
"""Templates of questions."""


@pytest.mark.parametrize("benchmark", [False, True])
def test_every_kind_of_question(benchmark: bool):
    kinds: Counter[str] = Counter()
    for seed in range(400):
        scene = sample_scene(seed)
        for question in questions(scene, random.Random(seed), benchmark):
            right = right_answers(scene, question.question)
            assert right and right[0] == question.answer, (question, right)
            assert is_right(question.answer, right) is True
            kinds[question.kind] += 1
    assert len(kinds) == KINDS, kinds
    assert min(kinds.values()) > 10


def test_as_people_write_them():
    assert right_answers(SCENE, "Where is the Dog?") == ("top-left",)
    assert right_answers(SCENE, "Which plant is in the image?") == ("rose",)
    assert right_answers(SCENE, "Is there a dog in the picture?") == ("yes",)
    assert right_answers(SCENE, "Is there a cat?") == ("no",)
    assert set(right_answers(SCENE, "Is there a flower?")) == {"yes", "no"}
    assert right_answers(SCENE, "What is the background at the bottom?") == ("grass",)
    assert right_answers(SCENE, "Which is larger, the dog or the rose?") == ("rose",)


@pytest.mark.parametrize(
    "question",
    [
        "", "What is in the picture?", "Where is the cat?", "Where?", "What is left of the cat?",
        "What is at the center?", "What is the background?", "Why is the dog there?",
        "Which fruit is in the picture?", "Is there a unicorn?", "Is the cat left of the dog?",
        "Which is larger, the dog or the go sign?", "Which number is on a sign?",
    ],
)  # fmt: skip
def test_what_the_truth_does_not_cover(question: str):
    assert right_answers(SCENE, question) == ()


@pytest.mark.parametrize(
    ("answer", "right", "verdict"),
    [
        ("rose", ["rose"], True),
        ("Rose.", ["rose"], True),
        ("dog", ["rose"], False),
        ("bottom right", ["bottom-right"], True),
        ("bottom-left", ["bottom-right"], False),
        ("Yes, there is a dog.", ["yes"], True),
        ("No.", ["yes"], False),
        ("3", ["three"], True),
        ("2", ["three"], False),
        ("The rose is at the right.", ["rose"], None),
        ("", ["rose"], None),
        ("a rose", ["rose"], True),
        ("The dog.", ["rose"], False),
        ("In the bottom right.", ["bottom-right"], True),
        ("at bottom-left", ["bottom-right"], False),
        ("1 sign", ["one"], None),
        ("Slow sign", ["slow"], None),
        ("light blue", ["blue"], None),
        ("plantlet", ["rose"], None),
        ("flower", ["rose"], True),
        ("rose", ["flower"], False),
        ("No idea.", ["yes"], None),
        ("no it is not", ["yes"], None),
        ("dog", ["yes"], None),
        ("No.", ["zero"], None),
    ],
)
def test_answers(answer: str, right: list[str], verdict: bool | None):
    assert is_right(answer, right) is verdict


def test_every_thing_at_a_place_is_a_right_answer():
    assert right_answers(SCENE, "what is at the bottom ?") == ("go", "sign")
    assert right_answers(SCENE, "what is right of the dog ?") == ("rose", "go", "sign")
    unsure = true_besides(SCENE, "what is at the right ?")
    assert is_right("plant", ["rose"], unsure) is None and is_right("sky", ["rose"], unsure) is None
    assert is_right("dog", ["rose"], unsure) is False
    assert not true_besides(SCENE, "where is the dog ?")


def test_the_boards_of_signs_are_white_too():
    assert right_answers(SCENE, "how many things are white ?") == ()
    assert right_answers(SCENE, "how many things are red ?") == ("one",)
    without = Scene(0, SCENE.things[:2], SCENE.backgrounds, SCENE.horizon)
    assert right_answers(without, "how many things are white ?") == ("one",)
