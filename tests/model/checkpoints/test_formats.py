"""Every layout, loaded and converted: logits are those of transformers' LLaVA, at difference 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from llava_layouts import (
    LLAVA_TYPES,
    PINPOINTS,
    TOKENS,
    inputs_of,
    reference,
    write_base,
    write_hugging_face,
    write_original,
    write_projector,
)
from tiny import tiny_image, tiny_tokenizer
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlavaNextConfig

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.model import LlavitConfig, LlavitForConditionalGeneration
from llavit_lens.model.checkpoints.convert import convert
from llavit_lens.model.checkpoints.image_token import grow_table, place_image_token
from llavit_lens.model.checkpoints.prompts import chat_template
from llavit_lens.model.checkpoints.weights import LazyTensor
from llavit_lens.model.decoders import DECODERS
from llavit_lens.vlm.load import load

SERVED = [
    pytest.param(
        family,
        marks=pytest.mark.skipif(
            family not in DECODERS, reason=f"LLaViT has no decoder of type {family} yet"
        ),
    )
    for family in LLAVA_TYPES
]


@torch.no_grad()
def assert_equals(vlm: Any, model: Any) -> None:
    """Every weight and every logit, the image token's too."""
    theirs = model.state_dict()
    for key, value in vlm.model.state_dict().items():
        text = key.replace("_proj_visual.", "_proj.")
        assert torch.equal(value, theirs[text]), key
    inputs = inputs_of(vlm.processor, vlm.model)
    assert (inputs["input_ids"] == TOKENS).sum() >= 16
    mine = vlm.model(**inputs).logits
    inputs.pop("mm_token_type_ids", None)
    assert torch.equal(mine, model(**inputs).logits)


@pytest.mark.long
@pytest.mark.parametrize("tower", [False, True], ids=["tower beside", "tower inside"])
@pytest.mark.parametrize(
    ("suffix", "shards"), [("bin", 1), ("bin", 3), ("safetensors", 1), ("safetensors", 3)]
)
def test_original_folder(suffix: str, shards: int, tower: bool, tmp_path: Path) -> None:
    model = reference()
    folder = write_original(tmp_path / "x", model, tower=tower, suffix=suffix, shards=shards)
    assert_equals(load(folder), model)
    convert(folder, tmp_path / "out", "baseline")
    vlm = load(tmp_path / "out")
    assert type(vlm.model) is LlavitForConditionalGeneration
    assert_equals(vlm, model)


@pytest.mark.long
@pytest.mark.parametrize("family", LLAVA_TYPES)
def test_original_folder_of_every_family(family: str, tmp_path: Path) -> None:
    model = reference(family)
    folder = write_original(tmp_path / "x", model)
    assert_equals(load(folder), model)
    convert(folder, tmp_path / "out", "llava")
    assert_equals(load(tmp_path / "out"), model)


@pytest.mark.long
@pytest.mark.parametrize("family", SERVED)
def test_llavit_of_every_family_starts_as_llava(family: str, tmp_path: Path) -> None:
    model = reference(family)
    folder = write_original(tmp_path / "x", model)
    convert(folder, tmp_path / "out", "separate_qkv")
    vlm = load(tmp_path / "out")
    visual = [key for key in vlm.model.state_dict() if "_visual." in key]
    assert len(visual) >= 3 and vlm.model.config.separate_visual_qkv
    assert_equals(vlm, model)


@pytest.mark.long
@pytest.mark.parametrize("prefix", ["model.", "", "base_model.model.model."])
def test_projector_with_its_base(prefix: str, tmp_path: Path) -> None:
    model = reference()
    folder = write_projector(tmp_path / "x", model, prefix)
    base = write_base(tmp_path / "base", model)
    assert_equals(load(folder, base=base), model)
    convert(folder, tmp_path / "out", "baseline", base=base)
    assert_equals(load(tmp_path / "out"), model)


@pytest.mark.long
@pytest.mark.parametrize("says", [True, None], ids=["said", "not said"])
def test_tied_embeddings_need_no_head(says: bool | None, tmp_path: Path) -> None:
    model = reference(tied=True)
    folder = write_original(tmp_path / "x", model, tie_word_embeddings=says)
    if says is None:
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(config.replace('"tie_word_embeddings": null, ', ""))
        assert "tie_word_embeddings" not in (folder / "config.json").read_text()
    assert_equals(load(folder), model)
    convert(folder, tmp_path / "out", "separate_qkv")
    vlm = load(tmp_path / "out")
    assert vlm.model.lm_head.weight is vlm.model.get_input_embeddings().weight
    assert_equals(vlm, model)


def test_a_spare_row_becomes_the_image_token(tmp_path: Path) -> None:
    """As in Qwen2: the table is larger than the vocabulary."""
    model = reference(spare_rows=9)
    folder = write_original(tmp_path / "x", model, rows=TOKENS + 9)
    vlm = load(folder)
    assert vlm.image_token_id == TOKENS
    assert vlm.model.config.text_config.vocab_size == TOKENS + 9
    assert_equals(vlm, model)
    assert convert(folder, tmp_path / "out", "llava").notes == ()


@torch.no_grad()
def test_the_new_row_never_wins(tmp_path: Path) -> None:
    model = reference()
    vlm = load(write_original(tmp_path / "x", model))
    logits = vlm.model(**inputs_of(vlm.processor, vlm.model)).logits
    assert (logits[..., TOKENS] < logits[..., :TOKENS].max(-1).values).all()
    # 1e-4: float32 rounding of a mean of some 300 logits of size 10
    torch.testing.assert_close(
        logits[..., TOKENS], logits[..., :TOKENS].mean(-1), atol=1e-4, rtol=0
    )


@pytest.mark.long
@pytest.mark.parametrize("layout", ["old", "middle", "new"])
@pytest.mark.parametrize(("suffix", "shards"), [("bin", 2), ("safetensors", 1), ("safetensors", 2)])
def test_hugging_face_folder(layout: str, suffix: str, shards: int, tmp_path: Path) -> None:
    model = reference()
    folder = write_hugging_face(tmp_path / "x", model, layout, suffix, shards)
    assert_equals(load(folder), model)
    for to in ("llava", "separate_qkv"):
        convert(folder, tmp_path / to, to)
        assert_equals(load(tmp_path / to), model)


@pytest.mark.long
def test_original_next(tmp_path: Path) -> None:
    model = reference("llama", next_=True)
    folder = write_original(tmp_path / "x", model, tower=True)
    vlm = load(folder)
    assert isinstance(vlm.model.config, LlavaNextConfig)
    assert_equals(vlm, model)
    convert(folder, tmp_path / "out", "llava")
    assert_equals(load(tmp_path / "out"), model)


@pytest.mark.long
@pytest.mark.parametrize("layout", ["original", "old", "middle", "new"])
def test_llavit_starts_as_llava_next(layout: str, tmp_path: Path) -> None:
    model = reference("llama", next_=True)
    if layout == "original":
        folder = write_original(tmp_path / "x", model, tower=True)
    else:
        folder = write_hugging_face(tmp_path / "x", model, layout, "safetensors", 2)
    assert_equals(load(folder), model)
    for row in ("baseline", "separate_qkv"):
        convert(folder, tmp_path / row, row)
        vlm = load(tmp_path / row)
        assert type(vlm.model) is LlavitForConditionalGeneration
        assert vlm.model.config.mm_patch_merge_type == "spatial_unpad"
        assert vlm.model.config.pinpoints == PINPOINTS
        assert_equals(vlm, model)
    convert(folder, tmp_path / "llavit", "llavit", vision_feature_layer=[1, 2])
    weights = load(tmp_path / "llavit").model.state_dict()
    visual = {key: value for key, value in weights.items() if "_proj_visual." in key}
    assert len(visual) == 9
    for key, value in visual.items():
        assert torch.equal(value, model.state_dict()[key.replace("_visual", "")])


@pytest.mark.long
@pytest.mark.parametrize("merge_type", ["flat", "spatial", None])
def test_tiles_that_only_llavit_knows(merge_type: str | None, tmp_path: Path) -> None:
    """LLaVA's code merges them so without newlines; None is its default, "flat"."""
    plain = reference("llama")
    fields = {
        "image_aspect_ratio": "anyres",
        "image_grid_pinpoints": PINPOINTS,
        "mm_patch_merge_type": merge_type or "flat",
    }
    off = {"separate_visual_qkv": False, "visual_attention": "causal"}
    arguments = {k: v for k, v in plain.config.to_dict().items() if k != "model_type"}
    model = LlavitForConditionalGeneration(LlavitConfig.from_dict({**arguments, **fields, **off}))
    model.eval().load_state_dict(plain.state_dict())
    # LLaVA writes (width, height)
    written = {**fields, "image_grid_pinpoints": [[w, h] for h, w in PINPOINTS]}
    folder = write_original(tmp_path / "x", plain, **written)
    if merge_type is None:
        config = json.loads((folder / "config.json").read_text())
        del config["mm_patch_merge_type"]
        (folder / "config.json").write_text(json.dumps(config))
    assert_equals(load(folder), model)
    convert(folder, tmp_path / "out", "separate_qkv")
    assert_equals(load(tmp_path / "out"), model)
    with pytest.raises(ConfigurationError, match="only LLaViT knows"):
        convert(folder, tmp_path / "no", "llava")


@pytest.mark.long
@pytest.mark.parametrize("layers", [3, 2], ids=["whole, beside", "cut by LLaVA's code, inside"])
@pytest.mark.parametrize("ratio", ["pad", "square"])
def test_siglip_towers(layers: int, ratio: str, tmp_path: Path) -> None:
    """Both give the output of the second of three layers, and no class token."""
    model = reference(siglip=layers)
    folder = write_original(
        tmp_path / "x", model, tower=layers == 2, suffix="safetensors", image_aspect_ratio=ratio
    )
    vlm = load(folder)
    assert vlm.model.config.vision_feature_layer == 1 - layers
    assert_equals(vlm, model)
    pixels = inputs_of(vlm.processor, vlm.model)["pixel_values"]
    assert pixels.shape[-2:] == (28, 28) and pixels.min() >= -1 and pixels.max() <= 1


@torch.no_grad()
def test_half_precision_is_kept(tmp_path: Path) -> None:
    model = reference().half()
    folder = write_original(tmp_path / "x", model)
    convert(folder, tmp_path / "out", "separate_qkv")
    vlm = load(tmp_path / "out", dtype="float16")
    assert vlm.model.config.dtype == torch.float16
    for key, value in vlm.model.state_dict().items():
        theirs = model.state_dict()[key.replace("_visual", "")]
        assert torch.equal(value[:TOKENS], theirs[:TOKENS]), key  # after them is a mean of halves


@pytest.mark.parametrize(
    ("ratio", "pixels"), [("pad", "LlavaImageProcessor"), ("square", "CLIPImageProcessor")]
)
def test_pictures_are_taken_as_in_training(ratio: str, pixels: str, tmp_path: Path) -> None:
    folder = write_original(tmp_path / "x", reference(), image_aspect_ratio=ratio)
    processor = load(folder).processor
    assert type(processor.image_processor).__name__.startswith(pixels)
    values = processor.image_processor(tiny_image(0, 60, 20), return_tensors="pt")["pixel_values"]
    top = values[0, :, 0]
    assert (top == top[:, :1]).all() == (ratio == "pad")  # bars in one color


@pytest.mark.long
def test_the_prompt_is_that_of_llavas_code(tmp_path: Path) -> None:
    vicuna = load(write_original(tmp_path / "a", reference("llama")))
    assert vicuna.format_prompt("Why?") == (
        "A chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions. "
        "USER: <image>\nWhy? ASSISTANT:"
    )
    mistral = load(write_original(tmp_path / "b", reference("mistral")))
    assert mistral.format_prompt("Why?") == "[INST] <image>\nWhy? [/INST]"
    qwen = load(write_original(tmp_path / "c", reference("qwen2")))
    assert qwen.format_prompt("Why?") == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<image>\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    )
    turns = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "R"},
    ]
    text = vicuna.processor.apply_chat_template(turns, add_generation_prompt=True)
    assert text.endswith(" USER: Q ASSISTANT: A</s>USER: R ASSISTANT:")


CHATML = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<image>\nWhy?<|im_end|>\n<|im_start|>assistant\n"
)
TEXT_ONLY = "{% for message in messages %}[{{ message['content'] }}]{% endfor %}"
WITH_IMAGES = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("marker", "template", "prompt"),
    [
        ("<|im_start|>", None, CHATML),
        ("<|im_start|>", TEXT_ONLY, CHATML),
        ("<|start_header_id|>", WITH_IMAGES, "<image>Why?"),
        (None, WITH_IMAGES, "<image>Why?"),
        ("<|start_header_id|>", None, None),
        ("<|start_header_id|>", TEXT_ONLY, None),
        (None, TEXT_ONLY, None),
    ],
)
def test_a_llama_that_is_no_vicuna(
    marker: str | None, template: str | None, prompt: str | None
) -> None:
    tokenizer = tiny_tokenizer(image_token=False)
    if marker is not None:
        tokenizer.add_tokens([marker], special_tokens=True)
    tokenizer.chat_template = template
    if prompt is None:
        with pytest.raises(CheckpointError, match="no chat template that holds an image"):
            chat_template("x", "llama", tokenizer)
        return
    tokenizer.chat_template = chat_template("x", "llama", tokenizer)
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Why?"}]}
    shown = tokenizer.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
    assert shown == prompt


def test_only_the_image_token_may_lack_a_row() -> None:
    for tokens in (["<image>", "<new>"], ["<new>", "<image>"]):
        tokenizer = tiny_tokenizer(image_token=False)
        tokenizer.add_tokens(tokens, special_tokens=True)
        with pytest.raises(CheckpointError, match=f"ids up to {TOKENS + 1}, but there are"):
            place_image_token(tokenizer, TOKENS, "x")
        assert place_image_token(tokenizer, TOKENS + 2, "x")[1] == TOKENS + 2
    tokenizer = tiny_tokenizer(image_token=False)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    assert place_image_token(tokenizer, TOKENS, "x") == (TOKENS, TOKENS + 1)


def test_a_grown_table_is_never_converted_whole() -> None:
    """PyTorch converts all of what it is to sum in another type, inside of the kernel."""
    values = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    table = LazyTensor(tuple(values.shape), values.dtype, Path("x"), "x", values.clone)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            tensors = [each for each in (args[0], result) if isinstance(each, torch.Tensor)]
            if len({each.dtype for each in tensors}) == 2:
                largest = max(largest, args[0].numel())
            return result

    with Watch():
        grown = grow_table(table, 2003).read()
    assert 0 < largest <= values.numel() / 2
    assert torch.equal(grown[:2000], values)
    assert torch.equal(grown[2000:], values.double().mean(0).bfloat16().expand(3, 8))
