"""Options of a processor: those that it would ignore are refused."""

from __future__ import annotations

from typing import Any

import pytest
from family_cases import CASES
from family_images import noise

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.processor_options import check_options

SIZE = {"height": 112, "width": 112}


@pytest.mark.parametrize(
    "options",
    [{"do_pan_and_scam": True}, {"images_kwargs": {"do_pan_and_scam": True}}],
    ids=["flat", "in a group"],
)
def test_a_typing_mistake_is_named(options: dict[str, Any]) -> None:
    case = CASES["gemma3"]
    vlm = case.vlm()
    if not hasattr(vlm.processor, "valid_processor_kwargs"):
        pytest.skip("the installed transformers does not say what its processors take")
    vlm.processor_options = options
    with pytest.raises(ConfigurationError, match="did you mean do_pan_and_scan"):
        vlm.prepare(noise(), case.prompt)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gemma3", {"do_pan_and_scan": True, "pan_and_scan_max_num_crops": 2}),
        ("gemma3", {"images_kwargs": {"do_pan_and_scan": True}, "size": SIZE}),
        ("internvl", {"images_kwargs": {"max_patches": 2}, "common_kwargs": {}}),
        ("qwen2_5_vl", {"text_kwargs": {"padding": False}, "size": SIZE}),
        ("got_ocr2", {"num_image_tokens": 16}),
        ("llava", {"size": SIZE}),
    ],
)
def test_what_a_processor_takes_is_let_through(name: str, options: dict[str, Any]) -> None:
    check_options(CASES[name].processor(), options, "tiny")
