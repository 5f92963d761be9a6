"""Whether a model and a processor belong together: found out before a pass, in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from tiny import (
    PINPOINTS,
    tiny_config_arguments,
    tiny_processor,
    tiny_tile_processor,
)
from transformers import LlavaConfig

from llavit_lens.errors import CheckpointError, ConfigurationError, LlavitLensError
from llavit_lens.model import LlavitConfig, chat
from llavit_lens.model.agreement import check_agreement
from llavit_lens.model.chat import chat_prompt
from llavit_lens.model.checkpoints.sizes import check_sizes
from llavit_lens.model.llava_processors import complete_processor


def config(**changes: Any) -> LlavitConfig:
    return LlavitConfig(**tiny_config_arguments(**changes))


def message_of(change: Callable[[Any], Any], model: Any = None, processor: Any = None) -> str:
    processor = processor or tiny_processor()
    change(processor)
    with pytest.raises(LlavitLensError) as error:
        check_agreement(model or config(), processor, "x")
    message = str(error.value)
    assert message.startswith("x: ") and "\n" not in message and len(message) < 700
    return message


def test_what_belongs_together() -> None:
    check_agreement(config(), tiny_processor(), "x")
    tiles = config(image_aspect_ratio="anyres", image_grid_pinpoints=PINPOINTS)
    check_agreement(tiles, tiny_tile_processor("flat"), "x")


SQUARE = {"height": 28, "width": 28}


@pytest.mark.long
@pytest.mark.parametrize(
    ("part", "changes", "expected"),
    [
        ("processor", {"patch_size": 14}, "the model makes 16 visual tokens"),
        ("processor", {"patch_size": 5}, "the processor expects 25"),
        ("processor", {"patch_size": 0}, "patch_size=0 is no number of pixels"),
        ("processor", {"patch_size": -7}, "patch_size=-7 is no number of pixels"),
        ("processor", {"patch_size": None}, "patch_size=None is no number of pixels"),
        ("processor", {"vision_feature_select_strategy": "full"}, "the processor expects 17"),
        ("processor", {"num_additional_image_tokens": 0}, "the processor expects 15"),
        ("processor", {"num_additional_image_tokens": 3}, "num_additional_image_tokens=3"),
        ("processor", {"image_token_id": 7}, "their image tokens are"),
        ("images", {"crop_size": {"height": 224, "width": 224}}, "224 x 224"),
        ("images", {"crop_size": {"height": -3, "width": 28}}, "crop_size="),
        ("images", {"size": {"shortest_edge": 10**9}}, "size="),
        ("images", {"size": {"shortest_edge": 0}}, "size="),
        ("images", {"size": {"shortest_edge": [1]}}, "size="),
        ("images", {"size": {"shortest_edge": 224}}, "'size' missing or misspelled"),
        ("images", {"size": {"shortest_edge": 20}}, "'size' missing or misspelled"),
        ("images", {"do_resize": False, "do_center_crop": False}, "makes 29 x 58"),
        ("images", {"do_center_crop": False}, "makes 28 x "),
        ("images", {"image_mean": [0.5]}, "its processor fails on an image"),
        ("images", {"image_std": [0.0, 0.0, 0.0]}, "infinite or no numbers"),
        ("images", {"rescale_factor": 0.0}, "the same for black and white"),
        ("images", {"do_rescale": False}, "as large as "),
        ("images", {"resample": 99}, "its processor fails on an image"),
    ],
)
def test_settings_that_contradict_each_other(
    part: str, changes: dict[str, Any], expected: str
) -> None:
    def change(processor: Any) -> None:
        target = processor if part == "processor" else processor.image_processor
        for key, value in changes.items():
            setattr(target, key, value)

    assert expected in message_of(change)


def test_tiles_that_contradict_each_other() -> None:
    tiles = config(image_aspect_ratio="anyres", image_grid_pinpoints=PINPOINTS)
    for pinpoints, expected in [
        ([0.5], "image_grid_pinpoints="),
        ([[10**6, 10**6]], "does not fit a vision tower of 28 pixels"),
        ([[28, 56]], "do not belong together"),
    ]:
        made = tiny_tile_processor("flat")

        def change(processor: Any, pinpoints: Any = pinpoints) -> None:
            processor.image_processor.image_grid_pinpoints = pinpoints

        assert expected in message_of(change, tiles, made)


def test_layers_that_the_tower_lacks() -> None:
    plain = LlavaConfig(**tiny_config_arguments())
    for layer in (9, -9, [10**9], []):
        plain.vision_feature_layer = layer
        with pytest.raises(ConfigurationError, match="the vision tower has layers 0 to 3"):
            check_agreement(plain, tiny_processor(), "x")


def test_a_processor_that_does_not_name_the_class_token_is_completed() -> None:
    processor = tiny_processor()
    processor.num_additional_image_tokens = 0  # as transformers reads it where it is not there
    complete_processor(processor, config())
    assert processor.num_additional_image_tokens == 1
    check_agreement(config(), processor, "x")


@pytest.mark.long
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% for", "chat template is broken (TemplateSyntaxError"),
        ("{{ a.b.c }}", "chat template is broken (UndefinedError"),
        ("{{ ''.__class__.__mro__ }}", "chat template is broken (SecurityError"),
        ("{{ raise_exception('no') }}", "chat template is broken"),
        ("{{ 1 % 0 }}", "chat template is broken (ZeroDivisionError"),
        ("{% include '/etc/passwd' %}", "chat template is broken"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "chat template is broken (Recursion"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "end"),
        ("{{ 'x' * 900000 }}", "writes more than any prompt has"),
        ("{{ 'x' * 10000000000 }}", "numbers that no prompt needs"),
        ("{{ 'x' * 10**10 }}", "numbers that no prompt needs"),
        ("no image", "writes the image token <image> 0 times"),
        ("<image><image>", "writes the image token <image> 2 times"),
    ],
)
def test_broken_chat_templates(
    template: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "_SECONDS", 2.0)  # a deep recursion takes part of it
    assert expected in message_of(lambda p: setattr(p, "chat_template", template))


def test_tags_that_transformers_adds_to_templates_are_no_fault() -> None:
    """Templates that were written for training mark what the assistant says."""
    processor = tiny_processor()
    processor.chat_template = (
        "{%- for message in messages -%}{%- if message.role == 'assistant' -%}"
        "{% generation %}{{ message.content }}{% endgeneration %}{% continue %}{%- endif -%}"
        "USER: <image>\n{{ message.content[1].text }}{%- endfor %} ASSISTANT:"
    )
    assert chat_prompt(processor, "Why?", "x") == "USER: <image>\nWhy? ASSISTANT:"


def test_a_debugger_goes_on_tracing_in_a_template() -> None:
    before = sys.gettrace()
    seen: list[str] = []

    def trace(frame: Any, event: str, argument: Any) -> Any:
        seen.append(frame.f_code.co_filename)
        return trace

    sys.settrace(trace)
    try:
        chat_prompt(tiny_processor(), "Why?", "x")
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert "<template>" in seen


def test_a_question_is_put_into_the_template_if_there_is_one() -> None:
    processor = tiny_processor()
    assert chat_prompt(processor, "Why?", "x") == "USER: <image>\nWhy? ASSISTANT:"
    processor.chat_template = None
    assert chat_prompt(processor, "Why?", "x") is None


def test_sizes_that_no_weights_have() -> None:
    fields = {"text_config": {"num_hidden_layers": 3, "hidden_size": 48}, "rope_theta": 1e9}
    check_sizes("x", fields, {"a": 0, "b": 0, "c": 0})
    check_sizes("x", fields)
    for part, said in [
        ({"num_hidden_layers": 4}, "text_config.num_hidden_layers=4, but its files hold 3 weights"),
        ({"num_experts": 10**9}, "text_config.num_experts"),
        ({"hidden_size": 10**12}, "text_config.hidden_size"),
        ({"vocab_size": -1}, "text_config.vocab_size=-1"),
        ({"intermediate_size": float("inf")}, "text_config.intermediate_size"),
    ]:
        with pytest.raises(CheckpointError) as error:
            check_sizes("x", {"text_config": part}, ["a", "b", "c"])
        assert said in str(error.value)
    with pytest.raises(CheckpointError, match="no model has as many"):
        check_sizes("x", {"vision_config": {"num_hidden_layers": 10**9}})
