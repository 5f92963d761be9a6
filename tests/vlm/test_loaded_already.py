"""Models that are in memory already: taken as they are, whatever was done to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from family_cases import CASES
from tiny import tiny_image, tiny_llavit, tiny_processor
from torch import nn

import llavit_lens as ll
from llavit_lens.errors import CheckpointError, ConfigurationError

IMAGE = tiny_image(width=90, height=60)
CASE = CASES["qwen2_vl"]


class Adapted(nn.Module):
    """A linear map and what an adapter adds to it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.share = base, nn.Linear(base.in_features, base.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.share(x)  # type: ignore[no-any-return]


class Wrapper(nn.Module):
    """As PEFT's: the model inside, and all of its attributes."""

    def __init__(self, model: nn.Module, prompts: bool = False) -> None:
        super().__init__()
        self.base_model = nn.Module()
        self.base_model.model = model
        if prompts:
            self.prompt_encoder = nn.Module()

    def get_base_model(self) -> Any:
        return self.base_model.model

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base_model").model, name)


def last_words_are_the_models(vlm: Any) -> None:
    trace = vlm.trace(IMAGE, CASE.prompt)
    words = ll.logit_lens(trace, k=3, layers=[-1])
    own = vlm.run(IMAGE, CASE.prompt)[0, torch.as_tensor(trace.layout.positions)]
    assert torch.equal(torch.as_tensor(words.ids[0]), own.topk(3).indices)


def test_a_model_and_its_processor() -> None:
    model, processor = CASE.model(), CASE.processor()
    vlm = ll.load(model, processor=processor)
    assert vlm.model is model and vlm.processor is processor
    assert vlm.name == "Qwen2VLForConditionalGeneration"
    last_words_are_the_models(vlm)


def test_a_model_that_was_changed() -> None:
    model = CASE.model()
    before = ll.load(model, processor=CASE.processor()).run(IMAGE, CASE.prompt)
    torch.manual_seed(0)
    model.lm_head = Adapted(model.lm_head)
    vlm = ll.load(model, processor=CASE.processor())
    assert not torch.equal(vlm.run(IMAGE, CASE.prompt), before)
    last_words_are_the_models(vlm)


def test_the_model_in_pefts_wrapper_is_read_with_its_adapter() -> None:
    model = CASE.model()
    model.lm_head = Adapted(model.lm_head)
    vlm = ll.load(Wrapper(model), processor=CASE.processor())
    assert vlm.model is model
    last_words_are_the_models(vlm)
    with pytest.raises(ConfigurationError, match="learned tokens before the prompt"):
        ll.load(Wrapper(model, prompts=True), processor=CASE.processor())


def test_peft_itself() -> None:
    peft = pytest.importorskip("peft", reason="PEFT is not installed")
    torch.manual_seed(3)
    config = peft.LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "lm_head"])
    last_words_are_the_models(
        ll.load(peft.get_peft_model(CASE.model(), config), processor=CASE.processor())
    )


def test_the_processor_is_found_where_the_model_came_from(tmp_path: Path) -> None:
    model = CASE.model()
    with pytest.raises(ConfigurationError, match="does not say where it came from"):
        ll.load(model)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="its processor cannot be loaded from there"):
        ll.load(loaded)
    CASE.processor().save_pretrained(tmp_path)
    vlm = ll.load(loaded)
    assert vlm.name == str(tmp_path)
    assert torch.equal(vlm.run(IMAGE, CASE.prompt), ll.load(tmp_path).run(IMAGE, CASE.prompt))


@pytest.mark.parametrize(
    "given", [None, 3, ["a", "b"], {"model": 1}, object()], ids=lambda given: type(given).__name__
)
def test_what_is_neither_a_name_nor_a_model(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"is no model; give a name, a folder, or a model"):
        ll.load(given)


def test_a_model_without_a_head_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="Qwen2VLModel is not supported: it has no output"):
        ll.load(CASE.model().model, processor=CASE.processor())


def test_a_processor_without_a_tokenizer() -> None:
    processor = CASE.processor()
    processor.tokenizer = None
    with pytest.raises(ConfigurationError, match="this Qwen2VLProcessor has no tokenizer"):
        ll.load(CASE.model(), processor=processor)


def test_other_wrong_types() -> None:
    model, processor = tiny_llavit(), tiny_processor()
    with pytest.raises(ConfigurationError, match="Linear has no config of transformers"):
        ll.load(nn.Linear(2, 2), processor=processor)
    with pytest.raises(ConfigurationError, match="is no processor for images and text"):
        ll.load(model, processor=processor.image_processor)
    with pytest.raises(ConfigurationError, match="device, separate_visual_qkv cannot be changed"):
        ll.load(model, processor=processor, device="cpu", separate_visual_qkv=True)
    with pytest.raises(CheckpointError, match="do not belong together"):
        ll.load(CASES["gemma3"].model(), processor=CASE.processor())
