"""Answers are marked right and wrong where the truth of the image is known."""

import pytest

from llavit_lens.explorer.marks import marked
from llavit_lens.miniature.world.scenes import example_truth

SCENE = example_truth("house-grapes-stop-robot").scene


def test_a_description_is_marked_by_its_sentences() -> None:
    answer = "there is a gray robot. the robot is left of the house. it is fine."
    judged = marked(SCENE, "What is in the picture?", answer)
    assert [part.right for part in judged.parts] == [True, False, None]
    assert judged.left_out == ("grapes", "stop sign") and judged.is_marked and not judged.right
    text = judged.markdown()
    assert text.count("✓") == 1 and text.count("✗ wrong") == 1
    assert "robot\\. :green[✓] the robot" in text and "not named: grapes, stop sign" in text


def test_a_wrong_answer_comes_with_the_right_one() -> None:
    judged = marked(SCENE, "Where is the robot?", "bottom-left")
    assert [part.right for part in judged.parts] == [False]
    assert set(judged.right) == {"right", "bottom-right"}  # its center is at the edge of both
    text = "bottom\\-left :red-badge[✗ wrong] correct: **right or bottom right**"
    assert judged.markdown() == text


def test_a_right_answer_says_no_more() -> None:
    judged = marked(SCENE, "what does the sign say ?", "stop")
    assert judged.is_marked and judged.right == () and judged.left_out == ()
    assert judged.markdown() == "stop :green[✓]"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Where is the dog?", "top-left"),
        ("Why?", "grapes"),
        ("What is in the picture?", ""),
        ("What is in the picture?", "This image shows a house and a robot."),
        ("What is left of the robot?", "The thing on the left looks like a house to me."),
    ],
)
def test_what_the_truth_does_not_cover_has_no_mark(question: str, answer: str) -> None:
    judged = marked(SCENE, question, answer)
    assert not judged.is_marked and judged.left_out == ()
    assert "✓" not in judged.markdown() and "✗" not in judged.markdown()


def test_a_sentence_in_reply_to_a_question_is_judged_as_a_sentence() -> None:
    judged = marked(SCENE, "What is left of the robot?", "there is a house. there is a dog.")
    assert [part.right for part in judged.parts] == [True, False] and judged.left_out == ()


def test_no_text_of_a_model_is_markup() -> None:
    judged = marked(SCENE, "Which word?", "there is a dog. :red[x] **b** <b>x</b> ![a](b)")
    assert "\\*\\*b" in judged.markdown() and "\\<b\\>" in judged.markdown()


def test_a_sentence_after_yes_or_no_has_its_own_mark() -> None:
    judged = marked(SCENE, "is there a house ?", "Yes, there is a cat. It is nice.")
    assert [(part.text, part.right) for part in judged.parts] == [
        ("Yes,", True), ("there is a cat.", False), ("It is nice.", None)
    ]  # fmt: skip
    judged = marked(SCENE, "is there a house ?", "No idea.")
    assert not judged.is_marked


def test_a_sentence_that_is_repeated_is_marked_once() -> None:
    answer = "the robot is left of the house. " * 3
    judged = marked(SCENE, "What do you see?", answer.strip())
    assert [part.right for part in judged.parts] == [False, None, None]
    assert judged.markdown().count("✗") == 1


@pytest.mark.parametrize("end", ["", "…"])
def test_a_sentence_that_is_cut_off_has_no_mark(end: str) -> None:
    answer = f"there is a robot. the robot is at the bottom{end}"
    judged = marked(SCENE, "What do you see?", answer)
    assert [part.right for part in judged.parts] == [True, None]
    assert not marked(SCENE, "What do you see?", "tags : robot , cat…").is_marked


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("there is a robot.", True),
        ("there is a robot. there is a cat.", False),
        ("there is a robot. it is nice.", None),
        ("there is a robot. there is a house.", None),  # leaves out others
        ("", None),
    ],
)
def test_the_verdict_of_a_whole_answer(answer: str, verdict: bool | None) -> None:
    assert marked(SCENE, "What do you see?", answer).verdict is verdict
