"""One forward pass: the right states at the right positions, hooks seen, nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from tiny import PATCHES, tiny_image
from tiny_vlm import FAMILIES, LAYERS, WIDTH, tiny_vlm
from torch import nn

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.images.open import pixel_sha256
from llavit_lens.vlm.vlm import VLM


@pytest.fixture(params=FAMILIES)
def vlm(request: pytest.FixtureRequest) -> VLM:
    return tiny_vlm(request.param)


def model_states(vlm: VLM, image: Image.Image, text: str) -> tuple[torch.Tensor, ...]:
    """transformers' own record: all positions; the last state is after the final norm."""
    inputs = vlm.processor(images=image, text=text, return_tensors="pt")
    with torch.no_grad():
        return vlm.model(
            **inputs.to(dtype=vlm.model.dtype), output_hidden_states=True
        ).hidden_states


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_are_the_models_own(vlm: VLM, dtype: torch.dtype) -> None:
    vlm.model.to(dtype)
    trace = vlm.trace(tiny_image())
    theirs = model_states(vlm, tiny_image(), trace.prompt)
    visual = torch.as_tensor(trace.layout.positions)
    assert trace.hidden.shape == (LAYERS + 1, PATCHES, WIDTH)
    assert trace.hidden.dtype == dtype
    assert trace.n_layers == LAYERS
    for layer in range(LAYERS):
        assert torch.equal(trace.hidden[layer], theirs[layer][0, visual])
    assert torch.equal(trace.norm(trace.hidden[LAYERS]), theirs[LAYERS][0, visual])
    assert not torch.equal(trace.hidden[LAYERS], theirs[LAYERS][0, visual])


def test_layer_0_is_the_projector_output(vlm: VLM) -> None:
    trace = vlm.trace(tiny_image())
    pixels = vlm.processor(images=tiny_image(), text=trace.prompt, return_tensors="pt")[
        "pixel_values"
    ]
    with torch.no_grad():
        features = vlm.model.get_image_features(pixels).pooler_output
    assert torch.equal(trace.hidden[0], features[0])


def zero_visual(positions: Any, output: Any) -> Any:
    output = output.clone()
    output[:, positions] = 0
    return output


def test_edits_of_a_layers_output_are_in_the_trace(vlm: VLM) -> None:
    plain = vlm.trace(tiny_image())
    layer = vlm.model.model.language_model.layers[1]  # decoder layer 2, as we count
    edit = layer.register_forward_hook(
        lambda module, args, output: zero_visual(plain.layout.positions, output)
    )
    edited = vlm.trace(tiny_image())
    edit.remove()
    assert torch.equal(edited.hidden[:2], plain.hidden[:2])
    assert not edited.hidden[2].any()
    assert edited.hidden[3].any() and not torch.equal(edited.hidden[3], plain.hidden[3])
    assert torch.equal(vlm.trace(tiny_image()).hidden, plain.hidden)


def test_edits_of_a_layers_input_are_in_the_trace(vlm: VLM) -> None:
    plain = vlm.trace(tiny_image())

    def edit(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (zero_visual(plain.layout.positions, args[0]), *args[1:]), kwargs
        hidden = zero_visual(plain.layout.positions, kwargs["hidden_states"])
        return args, {**kwargs, "hidden_states": hidden}

    handle = vlm.model.model.language_model.layers[2].register_forward_pre_hook(
        edit, with_kwargs=True
    )
    edited = vlm.trace(tiny_image())
    handle.remove()
    assert torch.equal(edited.hidden[:2], plain.hidden[:2])
    assert not edited.hidden[2].any()


def hooks_of(model: nn.Module) -> int:
    # of the decoder: transformers leaves hooks of its own on the vision tower
    decoder = model.model.language_model
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in decoder.modules())


def test_nothing_is_left_behind(vlm: VLM) -> None:
    before = hooks_of(vlm.model)
    trace = vlm.trace(tiny_image())
    assert hooks_of(vlm.model) == before
    tensors = (trace.hidden, trace.unembedding, trace.embedding)
    assert not any(tensor.requires_grad for tensor in tensors)
    assert (
        trace.hidden.untyped_storage().nbytes() == (LAYERS + 1) * PATCHES * WIDTH * 4
    )  # visual rows only


def test_nothing_is_left_behind_after_a_failure(vlm: VLM) -> None:
    before = hooks_of(vlm.model)

    def fail(*_: Any) -> None:
        raise RuntimeError("in the middle")

    handle = vlm.model.model.language_model.layers[2].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        vlm.trace(tiny_image())
    handle.remove()
    assert hooks_of(vlm.model) == before


def test_provenance(vlm: VLM) -> None:
    trace = vlm.trace(tiny_image(), "Where?")
    assert trace.prompt == "USER: <image>\nWhere? ASSISTANT:"
    assert trace.provenance["model"] == vlm.name
    assert trace.provenance["revision"] is None
    assert trace.provenance["prompt"] == trace.prompt
    assert trace.provenance["n_layers"] == LAYERS
    assert trace.provenance["image_sha256"] == pixel_sha256(tiny_image())
    assert trace.provenance["versions"]["torch"] == torch.__version__
    assert set(trace.provenance["versions"]) == {"llavit_lens", "torch", "transformers"}


def test_text_around_the_image_moves_the_positions(vlm: VLM) -> None:
    near, far = vlm.trace(tiny_image(), "<image>"), vlm.trace(tiny_image(), "a b c d <image>")
    shift = far.layout.positions - near.layout.positions
    assert (shift == shift[0]).all() and shift[0] > 0
    assert (far.input_ids[far.layout.positions] == vlm.image_token_id).all()


@pytest.mark.parametrize("prompt", ["<image> and <image>"])
def test_one_image_token_only(vlm: VLM, prompt: str) -> None:
    with pytest.raises(ConfigurationError, match="once, but has it 2 times"):
        vlm.trace(tiny_image(), prompt)


def test_prompt_without_a_chat_template(vlm: VLM) -> None:
    vlm.processor.chat_template = None
    assert vlm.format_prompt("Why?") == "USER: <image>\nWhy? ASSISTANT:"


def test_start_token_is_not_doubled(vlm: VLM) -> None:
    vlm.tokenizer.add_bos_token = True
    written = vlm.trace(tiny_image(), "<s>USER: <image>\nWhy? ASSISTANT:").input_ids
    assert (written == vlm.tokenizer.bos_token_id).sum() == 1


def test_bad_image(vlm: VLM) -> None:
    with pytest.raises(ImageError, match="no such file"):
        vlm.trace("nowhere.png")


def test_model_that_bends_its_logits_is_refused(vlm: VLM) -> None:
    head = vlm.model.lm_head
    softcap = head.register_forward_hook(lambda module, args, output: 5 * torch.tanh(output / 5))
    with pytest.raises(ConfigurationError, match="remove the hooks on its output embedding"):
        vlm.trace(tiny_image())
    softcap.remove()
    forward = vlm.model.forward

    def bent(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        output.logits = 5 * torch.tanh(output.logits / 5)
        return output

    vlm.model.forward = bent
    with pytest.raises(ConfigurationError, match="would misread"):
        vlm.trace(tiny_image())


def test_a_mild_soft_cap_is_seen_in_bfloat16(vlm: VLM) -> None:
    vlm.model.to(torch.bfloat16)
    vlm.trace(tiny_image())
    forward = vlm.model.forward

    def bent(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        cap = 2 * output.logits.abs().max()  # bends the largest logit by 8 %
        output.logits = cap * torch.tanh(output.logits / cap)
        return output

    vlm.model.forward = bent
    with pytest.raises(ConfigurationError, match="would misread"):
        vlm.trace(tiny_image())


def test_overflow_is_named(vlm: VLM) -> None:
    with torch.no_grad():
        vlm.model.model.language_model.layers[1].mlp.down_proj.weight.fill_(float("inf"))
    weight = "model.language_model.layers.1.mlp.down_proj.weight"
    with pytest.raises(
        ConfigurationError, match=f"NaN or infinity at layer 2 .* its weight {weight}"
    ):
        vlm.trace(tiny_image())


def test_generate_is_the_models_own_greedy_answer(vlm: VLM) -> None:
    text = vlm.format_prompt("What?")
    inputs = vlm.processor(images=tiny_image(), text=text, return_tensors="pt")
    ids = vlm.model.generate(**inputs, max_new_tokens=5, do_sample=False)
    answer = ids[0, inputs["input_ids"].shape[1] :]
    expected = vlm.tokenizer.decode(answer, skip_special_tokens=True).strip()
    assert vlm.generate(tiny_image(), "What?", max_new_tokens=5) == expected
    assert vlm.generate(tiny_image(), "What?", max_new_tokens=5, use_cache=False) == expected
