"""Saving and loading: what is on disk, what comes back, what is copied, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import PROMPT, tiny_config_arguments, tiny_image, tiny_inputs, tiny_llava, tiny_llavit
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoProcessor,
    GemmaConfig,
)

from llavit_lens.errors import ConfigurationError
from llavit_lens.model import (
    LlavitConfig,
    LlavitForConditionalGeneration,
    LlavitModel,
    LlavitProcessor,
)


def assert_visual_is_text(model: LlavitForConditionalGeneration) -> None:
    for layer in model.model.language_model.layers:
        for name in ("q_proj", "k_proj", "v_proj"):
            text = getattr(layer.self_attn, name)
            visual = getattr(layer.self_attn, f"{name}_visual")
            assert torch.equal(text.weight, visual.weight)
            assert torch.equal(text.bias, visual.bias)


def test_visual_weights_of_a_fresh_model_are_copies() -> None:
    model = tiny_llavit(spread=False)
    assert_visual_is_text(model)
    assert model.model.language_model.layers[0].self_attn.q_proj.weight.std() > 0


@torch.no_grad()
def test_round_trip_is_bit_equal(
    llavit: LlavitForConditionalGeneration, processor: LlavitProcessor, tmp_path: Path
) -> None:
    llavit.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, report = AutoModelForImageTextToText.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is LlavitForConditionalGeneration
    assert not any(report.values())
    assert again.state_dict().keys() == llavit.state_dict().keys()
    for name, value in llavit.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    for switch in ("separate_visual_qkv", "visual_attention", "vision_feature_layer"):
        assert getattr(again.config, switch) == getattr(llavit.config, switch)

    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is LlavitProcessor
    inputs = tiny_inputs(processor)
    inputs_again = tiny_inputs(loaded)
    assert inputs.keys() == inputs_again.keys()
    assert all(torch.equal(inputs[key], inputs_again[key]) for key in inputs)
    assert torch.equal(llavit(**inputs).logits, again.eval()(**inputs).logits)


def test_key_names_on_disk_are_the_modules_names(
    llavit: LlavitForConditionalGeneration, tmp_path: Path
) -> None:
    llavit.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(llavit.state_dict())
    assert AutoConfig.from_pretrained(tmp_path).model_type == "llavit"
    for name in ("q", "k", "v"):
        key = f"model.language_model.layers.0.self_attn.{name}_proj_visual.weight"
        assert key in llavit.state_dict()


def test_the_legacy_format_comes_back_too(
    llavit: LlavitForConditionalGeneration, tmp_path: Path
) -> None:
    llavit.save_pretrained(tmp_path, save_original_format=True)
    assert not set(load_file(tmp_path / "model.safetensors")) & set(llavit.state_dict())
    again, report = LlavitForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report.values())
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in llavit.state_dict().items())


def test_the_body_alone_loads(llavit: LlavitForConditionalGeneration, tmp_path: Path) -> None:
    llavit.save_pretrained(tmp_path)
    body, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(body) is LlavitModel
    assert not report["missing_keys"]
    weights = llavit.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in body.state_dict().items())


@pytest.mark.parametrize("original_format", [True, False], ids=["legacy keys", "native keys"])
def test_a_llava_folder_lacks_only_visual_weights_which_are_copied(
    original_format: bool, tmp_path: Path
) -> None:
    llava = tiny_llava()
    llava.save_pretrained(tmp_path, save_original_format=original_format)
    model, report = LlavitForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True
    )
    visual = {name for name in model.state_dict() if "_proj_visual." in name}
    assert report["missing_keys"] == visual
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    assert_visual_is_text(model)
    for name, value in llava.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    # Saved again, it is a LLaViT.
    model.save_pretrained(tmp_path / "again")
    assert AutoConfig.from_pretrained(tmp_path / "again").model_type == "llavit"


SOME_ON_DISK = {
    "model.vision_tower": "cpu",
    "model.multi_modal_projector": "cpu",
    "model.language_model.embed_tokens": "cpu",
    "model.language_model.norm": "cpu",
    "model.language_model.rotary_emb": "cpu",
    "model.language_model.layers.0": "cpu",
    "model.language_model.layers.1": "disk",
    "model.language_model.layers.2": "cpu",
    "lm_head": "cpu",
}


@pytest.mark.long
@pytest.mark.parametrize("device_map", [{"": "disk"}, SOME_ON_DISK], ids=["all", "a layer"])
def test_a_llava_folder_on_disk_is_to_be_converted_first(
    device_map: dict[str, str], tmp_path: Path
) -> None:
    """Text projections that are not there cannot be copied; a LLaViT needs no copies."""
    options = {"device_map": device_map, "offload_folder": str(tmp_path / "offload")}
    tiny_llava().save_pretrained(tmp_path / "llava")
    with pytest.raises(ConfigurationError, match="`llavit-lens convert SRC OUT` first"):
        LlavitForConditionalGeneration.from_pretrained(tmp_path / "llava", **options)
    tiny_llavit().save_pretrained(tmp_path / "llavit")
    LlavitForConditionalGeneration.from_pretrained(tmp_path / "llavit", **options)


def test_visual_weights_in_the_checkpoint_are_never_overwritten(
    llavit: LlavitForConditionalGeneration, tmp_path: Path
) -> None:
    """One visual weight is missing: it is copied from text, and its neighbors stay as saved."""
    llavit.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    gone = "model.language_model.layers.1.self_attn.k_proj_visual.weight"
    del weights[gone]
    save_file(weights, file, metadata={"format": "pt"})
    again, report = LlavitForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert report["missing_keys"] == {gone}
    for name, value in llavit.state_dict().items():
        source = gone.replace("_visual", "") if name == gone else name
        assert torch.equal(again.state_dict()[name], llavit.state_dict()[source]), name
        if name != gone:
            assert torch.equal(again.state_dict()[name], value)


@pytest.mark.long
@torch.no_grad()
@pytest.mark.parametrize("mode", ["causal", "bidirectional", "none"])
@pytest.mark.parametrize("separate", [True, False])
def test_switches_are_overridden_on_loading(
    separate: bool,
    mode: str,
    llavit: LlavitForConditionalGeneration,
    processor: LlavitProcessor,
    tmp_path: Path,
) -> None:
    llavit.save_pretrained(tmp_path)
    model, report = AutoModelForImageTextToText.from_pretrained(
        tmp_path, separate_visual_qkv=separate, visual_attention=mode, output_loading_info=True
    )
    assert not any(report.values())  # visual weights that are not wanted are no surprise
    assert (model.config.separate_visual_qkv, model.config.visual_attention) == (separate, mode)
    built = tiny_llavit(
        vision_feature_layer=[1, 2, -1], separate_visual_qkv=separate, visual_attention=mode
    )
    built.load_state_dict({name: llavit.state_dict()[name] for name in built.state_dict()})
    inputs = tiny_inputs(processor)
    assert torch.equal(model.eval()(**inputs).logits, built(**inputs).logits)


def test_bfloat16_folder(llavit: LlavitForConditionalGeneration, tmp_path: Path) -> None:
    llavit.to(torch.bfloat16).save_pretrained(tmp_path)
    again = LlavitForConditionalGeneration.from_pretrained(tmp_path, dtype="auto")
    assert again.dtype == torch.bfloat16


@pytest.mark.parametrize("value", ["Bidirectional", "", None, 1])
def test_an_unknown_visual_attention_is_one_clear_error(value: object, tmp_path: Path) -> None:
    message = f"visual_attention={value!r} is not one of 'causal', 'bidirectional', 'none'."
    config = LlavitConfig(**tiny_config_arguments())
    config.save_pretrained(tmp_path)
    for attempt in (
        lambda: LlavitConfig(**tiny_config_arguments(visual_attention=value)),
        lambda: setattr(config, "visual_attention", value),
        lambda: AutoConfig.from_pretrained(tmp_path, visual_attention=value),
    ):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        assert str(caught.value) == message


@pytest.mark.parametrize("value", ["no", None, 1])
def test_separate_visual_qkv_is_a_bool(value: object, tmp_path: Path) -> None:
    LlavitConfig(**tiny_config_arguments()).save_pretrained(tmp_path)
    for attempt in (
        lambda: LlavitConfig(**tiny_config_arguments(separate_visual_qkv=value)),
        lambda: AutoConfig.from_pretrained(tmp_path, separate_visual_qkv=value),
    ):
        with pytest.raises(ConfigurationError, match="is not True or False"):
            attempt()


def test_a_decoder_family_that_is_not_served_is_refused() -> None:
    config = LlavitConfig(**tiny_config_arguments(text_config=GemmaConfig(num_hidden_layers=1)))
    with pytest.raises(
        ConfigurationError, match=r"'gemma' is not supported.*llama, mistral, phi3, qwen2, qwen3"
    ):
        LlavitForConditionalGeneration(config)


def test_processor_says_which_tokens_are_visual(processor: LlavitProcessor) -> None:
    inputs = processor(images=tiny_image(), text=PROMPT, return_tensors="pt")
    expected = (inputs["input_ids"] == processor.image_token_id).long()
    assert torch.equal(inputs["mm_token_type_ids"], expected)
    plain = processor(
        images=tiny_image(), text=PROMPT, return_tensors="pt", return_mm_token_type_ids=False
    )
    assert "mm_token_type_ids" not in plain
    chat = [{"role": "user", "content": [{"type": "image", "image": tiny_image()}]}]
    templated = processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert templated["mm_token_type_ids"].sum() == expected.sum()


def test_saving_gives_only_its_own_files_the_modes_of_new_files(
    llavit: LlavitForConditionalGeneration, tmp_path: Path
) -> None:
    private = tmp_path / "private.safetensors"
    private.touch()
    private.chmod(0o600)
    before = os.umask(0o022)
    try:
        llavit.save_pretrained(tmp_path)
        llavit.save_pretrained(tmp_path)  # again over its own
    finally:
        os.umask(before)
    assert private.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
