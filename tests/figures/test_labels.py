"""What things are called in a figure."""

from __future__ import annotations

import pytest

from llavit_lens.figures.labels import asked, end_of_scale, percent, same_decimals


@pytest.mark.parametrize(
    "prompt",
    [
        "What is it?",
        "USER: <image>\nWhat is it? ASSISTANT:",
        "<|im_start|>user\n<image>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is it?<|im_end|>\n",
        "<s>[INST][IMG][IMG_END]What is it?[/INST]",
    ],
)
def test_the_question_without_the_signs_of_a_chat(prompt: str) -> None:
    assert asked(prompt) == "What is it?"


def test_a_question_before_the_image_stays_with_its_prompt() -> None:
    assert asked("What is it?<image>") == "What is it?<image>"


def test_ends_of_scales() -> None:
    assert [end_of_scale(v, "logit_lens") for v in (0.0, 0.00042, 0.011, 0.38, 0.998)] == [
        "0%",
        "0.042%",
        "1.1%",
        "38%",
        "100%",
    ]
    assert end_of_scale(0.0831, "input_similarity") == "0.083"


def test_values_on_one_scale_have_the_same_decimals() -> None:
    assert same_decimals([0.0, 0.00099999, 0.00199998]) == ["0%", "0.10%", "0.20%"]
    assert same_decimals([0.0, 0.5, 1.0]) == ["0%", "50%", "100%"]
    assert same_decimals([0.0, 0.0, 1e-12])[:2] == ["0%", "0%"]


def test_a_probability_above_nothing_is_not_nothing() -> None:
    assert (percent(0.0001), percent(0.08)) == ("<0.1%", "8.0%")
