"""Questions in chat formats: templates that take a message in parts, and those that take a text."""

from __future__ import annotations

from typing import Any

import pytest
from family_cases import CASES
from tiny import tiny_processor

from llavit_lens.errors import CheckpointError
from llavit_lens.model.chat import chat_prompt, image_mark, take_template

IN_PARTS = (
    "{% for message in messages %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
IN_TEXT = "{% for message in messages %}USER: {{ message.content }}{% endfor %} ASSISTANT:"
TRIMMED = "{{ messages[0]['content'] | trim }}"
ADDED = "{{ 'USER: ' + messages[0]['content'] }}"


def with_template(template: Any) -> Any:
    processor = tiny_processor()
    processor.chat_template = template
    return processor


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (IN_PARTS, ["Why?", "<image>Why?", "<image><image>Why?"]),
        (
            IN_TEXT,
            [
                "USER: Why? ASSISTANT:",
                "USER: <image>\nWhy? ASSISTANT:",
                "USER: <image>\n<image>\nWhy? ASSISTANT:",
            ],
        ),
        (TRIMMED, ["Why?", "<image>\nWhy?", "<image>\n<image>\nWhy?"]),
        (ADDED, ["USER: Why?", "USER: <image>\nWhy?", "USER: <image>\n<image>\nWhy?"]),
        ({"default": IN_PARTS, "tool_use": IN_TEXT}, ["Why?", "<image>Why?", "<image><image>Why?"]),
    ],
    ids=["parts", "text", "trimmed", "added", "several"],
)
def test_a_template_writes_one_place_for_each_image(template: Any, expected: list[str]) -> None:
    processor = with_template(template)
    assert [chat_prompt(processor, "Why?", "x", images) for images in range(3)] == expected


@pytest.mark.parametrize(("images", "times"), [(0, "for 0 images"), (2, "for 2 images")])
def test_a_template_that_has_one_place_always(images: int, times: str) -> None:
    processor = with_template("<image>{{ messages[0]['content'][-1]['text'] }}")
    assert chat_prompt(processor, "Why?", "x") == "<image>Why?"
    with pytest.raises(CheckpointError, match=f"image token <image> 1 times {times}"):
        chat_prompt(processor, "Why?", "x", images)


def test_the_text_that_stands_for_an_image_may_be_another_token() -> None:
    """Gemma 3's prompts hold the token that begins an image."""
    processor = CASES["gemma3"].processor()
    mark = image_mark(processor)
    assert (
        processor.tokenizer.convert_tokens_to_ids(mark)
        != CASES["gemma3"].model().config.image_token_id
    )
    processor.chat_template = IN_PARTS.replace("<image>", mark)
    assert chat_prompt(processor, "Why?", "x") == f"{mark}Why?"
    processor.chat_template = IN_PARTS
    with pytest.raises(CheckpointError, match=f"writes the image token {mark} 0 times"):
        chat_prompt(processor, "Why?", "x")


def test_a_tokenizers_template_is_taken_if_it_knows_images() -> None:
    processor = with_template(None)
    take_template(processor, "x")
    assert processor.chat_template is None
    processor.tokenizer.chat_template = IN_TEXT
    take_template(processor, "x")
    assert chat_prompt(processor, "Why?", "x") == "USER: <image>\nWhy? ASSISTANT:"
    processor.tokenizer.chat_template = IN_PARTS
    take_template(processor, "x")
    assert processor.chat_template == IN_TEXT  # its own stays
    for no_use in ("{{ 'Hello' }}", "{% for", "{{ raise_exception('text only') }}"):
        processor.chat_template, processor.tokenizer.chat_template = None, no_use
        take_template(processor, "x")
        assert processor.chat_template is None
