"""All attention backends compute Eq. 8, Eq. 5 and knockouts, on any device and in any precision."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import flash_attn_stub
import pytest
import torch
from on_device import (
    BATCH,
    HEADS,
    LAYERS,
    LONG_PROMPT,
    PROMPT,
    allowed_pairs,
    attend_by,
    check_attention,
    float32_budget,
    float64_logits,
    inputs_for,
    logit_error,
    recorded_attention,
    vlm_on,
)
from tiny import tiny_image
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

import llavit_lens as ll
from llavit_lens.model.attention.mask import FLASH_IN_RUNS

BACKENDS = ("eager", "sdpa", "llavit_sdpa", "llavit_fa2", "flex_attention")
DTYPES = (torch.float32, torch.bfloat16)
IMAGE = tiny_image(1)


@pytest.fixture
def backend(
    request: pytest.FixtureRequest, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> str:
    """flash-attn is simulated on the CPU; flex_attention compiles there for minutes."""
    name: str = request.param
    if name == FLASH_IN_RUNS:
        if device.type == "cpu":
            flash_attn_stub.install(monkeypatch)
        elif importlib.util.find_spec("flash_attn") is None:
            pytest.skip("needs the package flash-attn")
    if name == "flex_attention":
        if device.type == "cpu":
            pytest.skip("compiled on the CPU in tests/model and tests/vlm")
        torch.compiler.reset()  # after too many shapes it would run without being compiled
    return name


def skip_what_flash_attention_lacks(backend: str, dtype: torch.dtype) -> None:
    if backend == FLASH_IN_RUNS and dtype == torch.float32:
        pytest.skip("flash-attn has no float32")


def prompt_for(backend: str) -> str:
    """A prompt that the backend can read."""
    return LONG_PROMPT if backend == "flex_attention" else PROMPT


def compile_once(backend: str, usual: bool) -> None:
    """Every shape and mask is compiled on its own, so flex_attention is tried on the usual ones."""
    if backend == "flex_attention" and not usual:
        pytest.skip("flex_attention is compiled for one side of padding and one mode")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_every_layer_attends_as_written_in_float64(
    padding_side: str, backend: str, dtype: torch.dtype, device: torch.device
) -> None:
    """From its own queries, keys and values, in a padded batch; the causal mask would not do."""
    skip_what_flash_attention_lacks(backend, dtype)
    compile_once(backend, padding_side == "left")
    vlm = vlm_on(device, dtype)
    attend_by(vlm, backend)
    inputs = inputs_for(vlm, padding_side=padding_side)
    real = inputs["attention_mask"].cpu().bool()
    layers = recorded_attention(vlm, lambda: vlm.model(**inputs, use_cache=False))
    for layer in layers:
        eager = backend == "eager"
        allowed = allowed_pairs(vlm, inputs, "bidirectional")
        check_attention(layer, allowed, dtype, eager=eager, real=real)
        with pytest.raises(AssertionError, match="over the budget"):
            causal = allowed_pairs(vlm, inputs, "causal")
            check_attention(layer, causal, dtype, eager=eager, real=real)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_logits_are_those_of_float64(
    backend: str, dtype: torch.dtype, device: torch.device
) -> None:
    """In float32 within its roundings; in bfloat16, where those of all layers add up in no simple
    way, as near as eager attention, within a factor of 2. The causal mask is 10 times as far."""
    skip_what_flash_attention_lacks(backend, dtype)
    vlm = vlm_on(device, dtype)
    inputs = inputs_for(vlm)
    expected = float64_logits(vlm, inputs)
    if dtype == torch.float32:
        budget = float32_budget(expected)
    else:
        attend_by(vlm, "eager")
        budget = 2 * logit_error(vlm, inputs, expected)
    attend_by(vlm, backend)
    assert logit_error(vlm, inputs, expected) <= budget
    vlm.model.config.visual_attention = "causal"
    assert logit_error(vlm, inputs, expected) > 10 * budget


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
@pytest.mark.parametrize("mode", ["bidirectional", "causal", "none"])
def test_who_attends_to_whom_is_exact(
    mode: str, backend: str, dtype: torch.dtype, device: torch.device
) -> None:
    """Every pair of tokens, to the last bit; and the check finds the wrong mode."""
    skip_what_flash_attention_lacks(backend, dtype)
    compile_once(backend, mode == "bidirectional")
    vlm = vlm_on(device, dtype, visual_attention=mode)
    attend_by(vlm, backend)
    prompt = prompt_for(backend)
    report = ll.check_visual_attention(vlm, IMAGE, prompt)
    assert report.passed and report.implementation == backend
    assert (report.n_layers, report.n_heads, report.n_visual) == (LAYERS, HEADS, 64)
    other = "causal" if mode == "bidirectional" else "bidirectional"
    assert not ll.check_visual_attention(
        vlm, IMAGE, prompt, mode=other, raise_on_failure=False
    ).passed


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_knockouts_cut_exactly_their_edges(
    backend: str, dtype: torch.dtype, device: torch.device
) -> None:
    """Verified by the weights, and by results in float64; other layers and heads are untouched."""
    skip_what_flash_attention_lacks(backend, dtype)
    vlm = vlm_on(device, dtype)
    attend_by(vlm, backend)
    inputs = inputs_for(vlm)
    real = inputs["attention_mask"].cpu().bool()
    is_visual = inputs["input_ids"].cpu() == vlm.image_token_id
    text = real & ~is_visual
    with ll.knock_out(vlm, "text->visual", layers=[1], heads=[0, 2], verify=True):
        layers = recorded_attention(vlm, lambda: vlm.model(**inputs, use_cache=False))
    whole = allowed_pairs(vlm, inputs, "bidirectional")[:, None].expand(-1, HEADS, -1, -1)
    cut = whole.clone()
    cut[:, [0, 2]] &= ~(text[:, None, :, None] & is_visual[:, None, None])
    for index, layer in enumerate(layers):
        allowed = cut if index == 1 else whole
        check_attention(layer, allowed, dtype, eager=backend == "eager", real=real)
    with pytest.raises(AssertionError, match="over the budget"):
        check_attention(layers[1], whole, dtype, eager=backend == "eager", real=real)


@pytest.mark.parametrize("backend", ["eager", "sdpa", "llavit_sdpa"], indirect=True)
@pytest.mark.parametrize("mode", ["causal", "bidirectional", "self", "none"])
@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_visual_tokens_attend_as_an_intervention_says(
    family: str, mode: Any, backend: str, device: torch.device
) -> None:
    vlm = vlm_on(device, family=family)
    attend_by(vlm, backend)
    before = vlm.run(IMAGE, PROMPT)
    with ll.visual_attention(vlm, mode, verify=True):
        vlm.run(IMAGE, PROMPT)
        assert ll.check_visual_attention(vlm, IMAGE, PROMPT, mode=mode).passed
    assert torch.equal(vlm.run(IMAGE, PROMPT), before)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_equation_5_is_the_model_configured_so(
    backend: str, dtype: torch.dtype, device: torch.device
) -> None:
    """To the last bit, alone and in a padded batch; the update of visual tokens is exactly zero."""
    skip_what_flash_attention_lacks(backend, dtype)
    trained = vlm_on(device, dtype)
    none = vlm_on(device, dtype, visual_attention="none")
    none.model.load_state_dict(trained.model.state_dict())
    for vlm in (trained, none):
        attend_by(vlm, backend)
    prompt = prompt_for(backend)
    for prompts in (BATCH, (prompt,)):
        inputs = inputs_for(trained, prompts)
        real = inputs["attention_mask"].bool()
        with torch.no_grad(), ll.ablate_visual_attention(trained):
            logits = trained.model(**inputs, use_cache=False).logits
        with torch.no_grad():
            expected = none.model(**inputs, use_cache=False).logits
            without = trained.model(**inputs, use_cache=False).logits
        assert torch.equal(logits[real], expected[real])
        assert not torch.equal(logits[real], without[real])
    visual = trained.prepare(IMAGE, prompt).layout.positions.tolist()
    with ll.ablate_visual_attention(trained, layers=[0, 2]):
        _, cache = trained.run_with_cache(IMAGE, prompt, names_filter="*.hook_attn_out")
    for layer in range(LAYERS):
        silent = (cache["attn_out", layer][0] == 0).all(-1).nonzero().squeeze(1).tolist()
        assert silent == ([] if layer == 1 else visual)


@pytest.mark.parametrize("backend", ["eager", "sdpa", "llavit_sdpa", "llavit_fa2"], indirect=True)
@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("intervention", ["none", "Eq. 5", "knockout"])
def test_padding_changes_nothing(
    intervention: str, padding_side: str, backend: str, device: torch.device
) -> None:
    """Each prompt of a batch gets the logits that it gets alone, at the same rotary positions."""
    dtype = torch.bfloat16 if backend == FLASH_IN_RUNS else torch.float32
    vlm = vlm_on(device, dtype)
    attend_by(vlm, backend)
    batch = inputs_for(vlm, padding_side=padding_side)
    mask = batch["attention_mask"]
    batch["position_ids"] = (mask.cumsum(1) - 1).masked_fill(mask == 0, 1)

    def opened() -> AbstractContextManager[None]:
        if intervention == "none":
            return nullcontext()
        if intervention == "Eq. 5":
            return ll.ablate_visual_attention(vlm, layers=[1])
        return ll.knock_out(vlm, "last->visual", verify=True)

    with torch.no_grad(), opened():
        together = vlm.model(**batch, use_cache=False).logits
    first_image = 0
    for row, prompt in enumerate(BATCH):
        alone = inputs_for(vlm, (prompt,), first_image=first_image)
        first_image += prompt.count("<image>")
        with torch.no_grad(), opened():
            expected = vlm.model(**alone, use_cache=False).logits[0]
        if dtype == torch.float32:
            budget = 2 * float32_budget(expected)
        else:
            budget = 2 * logit_error(vlm, alone, float64_logits(vlm, alone))
        assert (together[row][mask[row].bool()] - expected).abs().max() <= budget


def test_a_backend_that_drops_masks_is_found(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`verify` reads the weights on this device."""

    def without_mask(
        module: Any, q: Any, k: Any, v: Any, mask: Any, *args: Any, **kwargs: Any
    ) -> Any:
        return sdpa_attention_forward(module, q, k, v, None, *args, **kwargs)

    vlm = vlm_on(device)
    attend_by(vlm, "sdpa")
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", without_mask)
    with (
        pytest.raises(ll.ConfigurationError, match="an edge was not cut"),
        ll.knock_out(vlm, "text->visual", verify=True),
    ):
        vlm.run(IMAGE, PROMPT)
