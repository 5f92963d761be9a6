"""What is known of each family, and what is assumed of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from family_cases import CASES
from tiny import PROMPT, tiny_image, tiny_processor
from tiny_vlm import TILED, plain_processor, tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.model import VISUAL_ATTENTION_MODES
from llavit_lens.vlm import families
from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.families.described import DESCRIBED, OTHER
from llavit_lens.vlm.families.family import Family
from llavit_lens.vlm.families.llava import LLAVA, LLAVA_NEXT
from llavit_lens.vlm.families.llava_like import LLAVA_LIKE, layout_of, llava_layout
from llavit_lens.vlm.families.llavit import LLAVIT
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.load import load
from llavit_lens.vlm.vlm import VLM


def test_families_go_by_the_type_of_the_model() -> None:
    assert tiny_vlm("llava").family is LLAVA
    assert tiny_vlm("llavit").family is LLAVIT
    assert [tiled_vlm(kind).family for kind in TILED] == [LLAVA_NEXT, LLAVIT, LLAVIT, LLAVIT]
    assert family_of(SimpleNamespace(model_type="vipllava")) is LLAVA_LIKE
    assert family_of(SimpleNamespace(model_type="mine")) is OTHER
    named = [kind for family in DESCRIBED for kind in family.model_types]
    assert len(named) == len(set(named)), "a type is in two lines"
    for kind in named:
        assert kind in family_of(SimpleNamespace(model_type=kind)).model_types


def test_the_vision_tower_decides_where_one_type_has_two_kinds() -> None:
    """A model of type llava may have a Pixtral tower, whose patches stand in rows."""
    pixtral = SimpleNamespace(
        model_type="llava", vision_config=SimpleNamespace(model_type="pixtral")
    )
    assert family_of(pixtral).kind == "rows"
    clip = SimpleNamespace(vision_config=SimpleNamespace(model_type="clip_vision_model"))
    assert family_of(SimpleNamespace(model_type="llava", **vars(clip))) is LLAVA


@pytest.mark.parametrize("mode", VISUAL_ATTENTION_MODES)
def test_visual_attention_is_the_models_own(mode: str) -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.config.visual_attention = mode
    assert vlm.visual_attention == mode
    assert tiny_vlm("llava").visual_attention == "causal"


@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_a_prompt_without_a_template_has_the_plain_form(family: str) -> None:
    vlm = tiny_vlm(family)
    vlm.processor.chat_template = None
    assert vlm.format_prompt("Is {this} it?") == "USER: <image>\nIs {this} it? ASSISTANT:"


def test_visual_tokens_are_those_that_the_config_names() -> None:
    """Processors may have another id for a whole image, and mark more tokens than the patches."""
    processor = tiny_processor()
    inputs = dict(processor(images=tiny_image(), text=PROMPT, return_tensors="pt"))
    inputs["mm_token_type_ids"] = torch.ones_like(inputs["input_ids"])
    config = SimpleNamespace(image_token_id=processor.image_token_id)
    visual = (inputs["input_ids"][0] == config.image_token_id).nonzero()[:, 0].tolist()
    processor.image_token_id = 3
    layout = layout_of(inputs, processor, config, (40, 30))
    assert layout.positions.tolist() == visual


def test_a_family_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tokens may stand in another order, and its prompt may have another form."""

    def backwards(reading: Reading) -> VisualLayout:
        layout = llava_layout(reading)
        return replace(layout, positions=layout.positions[::-1])

    family = Family(
        model_types=("llava",),
        layout=backwards,
        validate=lambda config, processor, name: None,
        plain_prompt="{image}{question}",
        visual_attention=lambda config: "bidirectional",
    )
    monkeypatch.setitem(families._FAMILIES, "llava", family)
    model, processor = tiny_vlm("llava").model, plain_processor()
    processor.chat_template = None
    vlm = VLM(model, processor, "x")
    prompt = vlm.prepare(tiny_image(), "Why?")
    assert prompt.text == "<image>Why?"
    positions = (prompt.inputs["input_ids"][0] == model.config.image_token_id).nonzero()[:, 0]
    assert prompt.layout.positions.tolist() == positions.tolist()[::-1]
    assert vlm.visual_attention == "bidirectional"
    assert vlm.trace(tiny_image(), "Why?").hidden.isfinite().all()


def test_a_model_is_validated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `load` before its weights are read, by `VLM` where it was made by hand."""
    vlm = tiny_vlm("llava")
    vlm.model.save_pretrained(tmp_path)
    plain_processor().save_pretrained(tmp_path)
    images: list[Any] = []
    prepare = type(vlm.processor).__call__

    def count(processor: Any, *args: Any, **options: Any) -> Any:
        images.append(options["images"])
        return prepare(processor, *args, **options)

    monkeypatch.setattr(type(vlm.processor), "__call__", count)
    load(tmp_path)
    assert len(images) == 1
    VLM(vlm.model, vlm.processor, "by hand")
    assert len(images) == 2
    vlm.model = tiny_vlm("llava").model
    assert len(images) == 4  # the new one was made by hand too


def test_options_of_the_processor_are_part_of_each_call() -> None:
    """Gemma 3 crops wide images into parts only if the call asks for it."""
    vlm = CASES["gemma3"].vlm()
    image = tiny_image(width=200, height=60)
    assert len(vlm.prepare(image, "<start_of_image>What?").layout.grid) == 1
    vlm.processor_options = {
        "do_pan_and_scan": True,
        "pan_and_scan_min_crop_size": 16,
        "pan_and_scan_max_num_crops": 4,
        "pan_and_scan_min_ratio_to_activate": 1.2,
    }
    layout = vlm.prepare(image, "<start_of_image>What?").layout
    assert len(layout.grid) == 4 and layout.whole == 0
    assert layout.boxes[layout.tile == 2].min(0)[0] == 67  # 200 pixels in three parts


@pytest.mark.parametrize(
    "options",
    [{"return_tensors": "np"}, {"return_tensors": 3}, {"do_resize": "x"}, {"padding": 3}, {1: 2}],
)
def test_options_that_the_processor_does_not_take_are_named(options: dict[Any, Any]) -> None:
    vlm = CASES["qwen2_5_vl"].vlm()
    vlm.processor_options = options
    with pytest.raises(ConfigurationError) as error:
        vlm.prepare(tiny_image(), CASES["qwen2_5_vl"].prompt)
    assert f"processor does not take processor_options={options} (" in str(error.value)
    assert "\n" not in str(error.value) and error.value.__cause__ is not None


@pytest.mark.parametrize("options", [3, None, "padding", ["padding"]])
def test_options_of_the_processor_are_a_dict(options: Any) -> None:
    vlm = tiny_vlm("llava")
    with pytest.raises(ConfigurationError, match=r"processor_options is .*; give a dict"):
        vlm.processor_options = options
    assert vlm.processor_options == {}


def test_an_image_that_the_processor_does_not_take_is_told_by_its_size() -> None:
    case = CASES["emu3"]
    with pytest.raises(ConfigurationError, match="does not take an image of 1 x 1 pixels") as error:
        case.vlm().prepare(tiny_image(width=1, height=1), case.prompt)
    assert isinstance(error.value.__cause__, ValueError)


def test_what_the_model_does_not_take_of_the_processor_is_told_alike() -> None:
    vlm, case = CASES["gemma3"].vlm(), CASES["gemma3"]
    vlm.processor_options = {"size": {"height": 28, "width": 28}}
    for run in (vlm.trace, vlm.generate):
        with pytest.raises(ConfigurationError, match="model does not take processor_options="):
            run(tiny_image(), case.prompt)
    vlm, case = CASES["mistral3"].vlm(), CASES["mistral3"]
    with pytest.raises(ConfigurationError, match="does not take an image of 1 x 1 pixels"):
        vlm.trace(tiny_image(width=1, height=1), case.prompt)


def test_the_text_for_an_image_may_be_another_token_than_that_of_a_visual_token() -> None:
    """Qianfan-OCR writes `<image>` in prompts, and `<IMG_CONTEXT>` for each visual token."""
    vlm = CASES["qianfan_ocr"].vlm()
    assert vlm.format_prompt("What?") == "<image>\nWhat?"
    assert len(vlm.prepare(tiny_image(width=60, height=60), "What?").layout) % 4 == 0
