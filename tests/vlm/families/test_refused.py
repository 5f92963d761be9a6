"""Types that cannot be read are refused, each with its own reason, before anything is computed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from any_model import require_type, tiny_config, tiny_model
from family_cases import CASES
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.families.refused import REFUSED, emu3_drops_images, reason_to_refuse
from llavit_lens.vlm.load import load
from llavit_lens.vlm.vlm import VLM


@pytest.mark.parametrize("model_type", ["florence2", "mllama", "git"])
def test_load_refuses_it_with_the_reason(model_type: str, tmp_path: Path) -> None:
    require_type(model_type)
    tiny_model(model_type).save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path)
    assert REFUSED[model_type] in str(error.value)


def test_a_model_in_memory_is_refused_too() -> None:
    require_type("mllama")
    with pytest.raises(ConfigurationError, match="cross-attention"):
        VLM(tiny_model("mllama"), SimpleNamespace(), "tiny")


def test_an_encoder_decoder_that_nobody_named_is_refused() -> None:
    assert "encoder" in reason_to_refuse(SimpleNamespace(model_type="new", is_encoder_decoder=True))
    assert reason_to_refuse(SimpleNamespace(model_type="new", is_encoder_decoder=False)) is None


def test_no_family_of_the_tests_is_refused() -> None:
    assert not REFUSED.keys() & {case.model_type for case in CASES.values()}


def test_emu3_is_refused_where_its_images_are_dropped() -> None:
    """Whether they are is told from a pass: do other pixels change its logits?"""
    config = tiny_config("emu3", **CASES["emu3"].config)
    model, processor = tiny_model("emu3", **CASES["emu3"].config), CASES["emu3"].make_processor()
    prompt = CASES["emu3"].prompt
    first, second = (
        model(
            **processor(
                images=[Image.new("RGB", (48, 40), color)], text=[prompt], return_tensors="pt"
            )
        ).logits
        for color in ("black", "white")
    )
    assert torch.equal(first, second) == emu3_drops_images()
    assert (reason_to_refuse(config) is not None) == emu3_drops_images()
