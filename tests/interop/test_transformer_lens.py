"""A TransformerLens bridge on LLaViT shows, edits and computes what the model does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from tiny import (
    DECODER_FAMILIES,
    TABLE_ROWS,
    tiny_image,
    tiny_inputs,
    tiny_llava,
    tiny_llavit,
    tiny_processor,
    tiny_text_config,
)
from tiny_vlm import LAYERS, TILED, plain_processor, tiled_vlm, tiny_vlm
from torch import Tensor

pytest.importorskip("transformer_lens", reason="TransformerLens is not installed")

from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
from transformer_lens.model_bridge.sources.transformers import helpers

from llavit_lens.errors import ConfigurationError
from llavit_lens.interop.bridge import to_transformer_lens
from llavit_lens.interventions.ablation import ablate_visual_attention
from llavit_lens.interventions.knockout import knock_out
from llavit_lens.interventions.patching import patch
from llavit_lens.interventions.text_projections import text_projections
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.vlm.vlm import VLM

IMAGE = tiny_image()
ARCHITECTURE = "LlavitForConditionalGeneration"

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("error:Hook alias", "error:Failed to load entry point"),
]


@pytest.fixture(autouse=True)
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """TransformerLens may install torchvision while it runs: here it would fail."""

    def refuse(*call: Any, **options: Any) -> None:
        pytest.fail(f"something was to be installed: {call}")

    monkeypatch.setattr(helpers, "_ensure_torchvision", refuse)
    monkeypatch.setattr(subprocess, "check_call", refuse)


def tiny(family: str = "qwen2", **changes: Any) -> VLM:
    """A LLaViT on any decoder family."""
    model = tiny_llavit(text_config=tiny_text_config(family), **changes)
    return VLM(model, tiny_processor(), name=f"tiny-{family}")


def inputs_of(vlm: VLM, image: Any = IMAGE) -> tuple[Tensor, dict[str, Tensor]]:
    """What a bridge is given: ids first, everything else by name."""
    inputs = dict(vlm.prepare(image).inputs)
    return inputs.pop("input_ids"), inputs


@torch.no_grad()
def check_equal(vlm: VLM, image: Any = IMAGE) -> None:
    """Logits and every activation of the bridge are the model's own, and the model is unchanged."""
    before = vlm.run(image)
    logits, ours = vlm.run_with_cache(image)
    bridge = to_transformer_lens(vlm)
    ids, inputs = inputs_of(vlm, image)
    shown, theirs = bridge.run_with_cache(ids, **inputs)
    assert torch.equal(shown, logits)
    assert torch.equal(bridge(ids, **inputs), logits)
    assert len(ours) >= LAYERS * 16
    for name, activation in ours.items():
        assert torch.equal(theirs[name], activation), name
    assert torch.equal(theirs["q", 1], ours["q", 1])
    assert torch.equal(vlm.run(image), before)


@pytest.mark.parametrize("family", sorted(DECODER_FAMILIES))
def test_every_decoder_family(family: str) -> None:
    check_equal(tiny(family))


@pytest.mark.parametrize("row", sorted(TABLE_ROWS))
def test_every_variant(row: str) -> None:
    check_equal(tiny(**TABLE_ROWS[row]))


@pytest.mark.parametrize("kind", TILED)
def test_tiles(kind: str) -> None:
    check_equal(tiled_vlm(kind), tiny_image(width=90, height=50))


@pytest.mark.parametrize("family", ["qwen2", "llama", "phi3"])
def test_transformers_own_llava(family: str) -> None:
    model = tiny_llava(text_config=tiny_text_config(family))
    check_equal(VLM(model, plain_processor(), name="tiny-llava"))


@torch.no_grad()
def test_the_same_values_as_by_transformer_lens_own_adapter() -> None:
    """On plain LLaVA, for which TransformerLens has an adapter that writes attention out anew."""
    vlm = tiny_vlm("llava")
    vlm.model.set_attn_implementation("eager")  # as that adapter does, in the vision tower, too
    ids, inputs = inputs_of(vlm)
    model = deepcopy(vlm.model)
    own = build_bridge_from_module(
        model, "LlavaForConditionalGeneration", hf_config=model.config, model_name="tiny"
    )
    expected, theirs = own.run_with_cache(ids, **inputs)
    logits, ours = to_transformer_lens(vlm).run_with_cache(ids, **inputs)
    assert torch.equal(logits, expected)
    shared = [name for name in vlm.hook_names if not name.endswith("_text")]
    assert len(shared) == 13 * LAYERS
    for name in shared:
        assert ours[name].shape == theirs[name].shape, name
        seen = theirs[name] > -1e30  # what is masked is a huge number in both
        # float32: sums of at most 96 numbers in another order
        budget = 96 * 2.0**-24 * max(1.0, float(theirs[name][seen].abs().max()))
        assert (ours[name] - theirs[name])[seen].abs().max() <= budget, name


@pytest.mark.parametrize("row", ["llavit", "no_visual_attention"])
def test_edits_are_those_of_our_own_hooks(row: str) -> None:
    vlm = tiny(**TABLE_ROWS[row])
    bridge = to_transformer_lens(vlm)
    ids, inputs = inputs_of(vlm)
    for name in [name for name in vlm.hook_names if name.startswith("blocks.1.")]:

        def halve(activation: Tensor, hook: Any) -> Tensor:
            factor = torch.linspace(0.5, 1.0, activation.shape[-1])
            return activation * factor

        edited = vlm.run_with_hooks(IMAGE, fwd_hooks=[("*.hook_pattern", keep), (name, halve)])
        with torch.no_grad():
            shown = bridge.run_with_hooks(ids, **inputs, fwd_hooks=[(name, halve)])
        assert torch.equal(shown, edited), name
        assert not torch.equal(shown, bridge(ids, **inputs)), name


def keep(activation: Tensor, hook: Any) -> None:
    """Asks for patterns, so that our model attends by "eager", as the bridge does."""


@torch.no_grad()
def test_logit_lens() -> None:
    vlm = tiny_vlm("llavit")
    ids, inputs = inputs_of(vlm)
    bridge = to_transformer_lens(vlm)
    logits, cache = bridge.run_with_cache(ids, **inputs)
    stack, labels = cache.accumulated_resid(apply_ln=True, return_labels=True)
    assert labels == [*(f"{layer}_pre" for layer in range(LAYERS)), "final_post"]
    assert torch.equal(bridge.unembed(stack[-1]), logits)
    lens = cache.logit_lens(positions=None, return_type="log_probs")
    layout = vlm.prepare(IMAGE).layout
    positions = layout.positions.tolist()
    words = logit_lens(vlm.trace(IMAGE), k=3)
    theirs = lens.readout.values[:, 0, positions].topk(3)
    for layer, (values, ids_of_words) in enumerate(zip(*theirs, strict=True)):
        torch.testing.assert_close(values, torch.as_tensor(words.values[layer]), rtol=0, atol=1e-4)
        assert torch.equal(ids_of_words, torch.as_tensor(words.ids[layer]).long())


@pytest.mark.parametrize("family", ["llama-bias", "qwen3", "phi3"])
@torch.no_grad()
def test_head_results_add_up(family: str) -> None:
    vlm = tiny(family)
    bridge = to_transformer_lens(vlm)
    ids, inputs = inputs_of(vlm)
    _, cache = bridge.run_with_cache(ids, **inputs)
    results, labels = cache.stack_head_results(return_labels=True)
    assert labels[:5] == ["L0H0", "L0H1", "L0H2", "L0H3", "L1H0"]
    for layer, heads in enumerate(results.split(4)):
        bias = bridge.blocks[layer].attn.b_O
        expected = cache["attn_out", layer] - (0 if bias is None else bias)
        # float32: sums of at most 64 numbers in another order
        budget = 64 * 2.0**-24 * max(1.0, float(heads.abs().max()))
        torch.testing.assert_close(heads.sum(0), expected, rtol=0, atol=budget)


@torch.no_grad()
def test_generation_padding_and_a_stop() -> None:
    vlm = tiny()
    bridge = to_transformer_lens(vlm)
    ids, inputs = inputs_of(vlm)
    said = vlm.model.generate(ids, **inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    pixels = inputs["pixel_values"]
    settings = {"do_sample": False, "verbose": False, "stop_at_eos": False}
    assert torch.equal(
        bridge.generate(ids, pixel_values=pixels, max_new_tokens=4, **settings), said
    )
    batch = dict(tiny_inputs(tiny_processor()))
    mask = batch["attention_mask"]
    vlm.model.set_attn_implementation({"text_config": "eager"})
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    expected = vlm.model(**batch, position_ids=positions).logits[mask.bool()]
    shown = bridge(batch.pop("input_ids"), **batch)[mask.bool()]
    assert torch.equal(shown, expected)
    stopped = bridge(ids, **inputs, stop_at_layer=2)
    _, cache = bridge.run_with_cache(ids, **inputs)
    assert torch.equal(stopped, cache["resid_post", 1])


@torch.no_grad()
def test_the_model_and_the_bridge_share_weights_and_nothing_else() -> None:
    vlm = tiny()
    ids, inputs = inputs_of(vlm)
    vlm.model(ids, **inputs, output_hidden_states=True)  # transformers adds hooks of its own now
    bridge = to_transformer_lens(vlm)
    before = vlm.run(IMAGE)
    keys = list(vlm.model.state_dict())
    pointers = {parameter.data_ptr() for parameter in vlm.model.parameters()}
    assert {parameter.data_ptr() for parameter in bridge.parameters()} == pointers
    bridge.add_hook("blocks.0.hook_resid_mid", lambda activation, hook: 0 * activation)
    assert torch.equal(vlm.run(IMAGE), before)
    bridge.reset_hooks()
    with vlm.hooks([("blocks.0.attn.hook_z", lambda z, hook: 0 * z)]):
        hooked, own = vlm.run(IMAGE), bridge(ids, **inputs)
    torch.testing.assert_close(own, before, rtol=0, atol=1e-4)
    assert not torch.equal(hooked, before)
    assert list(vlm.model.state_dict()) == keys
    assert vlm.model.model.language_model.config._attn_implementation == "sdpa"


def test_the_tokenizer_is_the_models_own() -> None:
    vlm = tiny()
    bridge = to_transformer_lens(vlm)
    assert bridge.tokenizer is vlm.tokenizer and bridge.processor is vlm.processor
    prompt = vlm.format_prompt("What?")
    prepared = bridge.prepare_multimodal_inputs(prompt, images=[IMAGE])
    assert torch.equal(prepared["input_ids"], vlm.prepare(IMAGE, "What?").inputs["input_ids"])


def test_pos_slice_of_rows_counts_rows() -> None:
    vlm = tiny()
    bridge = to_transformer_lens(vlm)
    ids, inputs = inputs_of(vlm)
    _, whole = bridge.run_with_cache(ids, **inputs)
    _, cut = bridge.run_with_cache(ids, **inputs, pos_slice=-1)
    name = "blocks.1.attn.hook_"
    assert torch.equal(cut[name + "q"], whole[name + "q"][:, -1:])
    assert torch.equal(cut[name + "q_visual"], whole[name + "q_visual"][-1:])
    rows = whole["blocks.1.attn.q_visual.hook_out"]
    assert torch.equal(cut["blocks.1.attn.q_visual.hook_out"], rows[-1:])
    assert torch.equal(cut[name + "pattern"], whole[name + "pattern"][:, :, -1:])


@pytest.mark.parametrize("listed", [False, True])
def test_transformer_lens_does_not_load_llavit_by_itself(
    listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would install torchvision: `nothing_is_installed` fails then."""
    vlm = tiny()
    vlm.model.config.architectures = [ARCHITECTURE]
    if listed:
        adapter = type(to_transformer_lens(vlm).adapter)
        monkeypatch.setitem(SUPPORTED_ARCHITECTURES, ARCHITECTURE, adapter)
    with pytest.raises(ValueError, match="to_transformer_lens" if listed else ARCHITECTURE):
        TransformerBridge.boot_transformers("tiny", hf_model=vlm.model, device="cpu")


def test_torchvision_stays_away() -> None:
    """In a process of its own: making and running a bridge neither installs nor imports it."""
    there = find_spec("torchvision") is not None
    code = (
        "import sys\n"
        "from tiny import tiny_image\n"
        "from tiny_vlm import tiny_vlm\n"
        "from llavit_lens import to_transformer_lens\n"
        "vlm = tiny_vlm('llavit')\n"
        "inputs = dict(vlm.prepare(tiny_image()).inputs)\n"
        "to_transformer_lens(vlm)(inputs.pop('input_ids'), **inputs)\n"
        "print('torchvision' in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (find_spec("torchvision") is not None) is there
    assert there or run.stdout.split()[-1] == "False"


def _with_a_hook(vlm: VLM) -> None:
    with vlm.hooks([("blocks.0.attn.hook_z", keep)]):
        to_transformer_lens(vlm)


def _inside(intervention: Callable[[VLM], AbstractContextManager[None]]) -> Callable[[VLM], object]:
    def act(vlm: VLM) -> None:
        with intervention(vlm):
            to_transformer_lens(vlm)

    return act


def _not_installed(vlm: VLM) -> None:
    with pytest.MonkeyPatch.context() as changed:
        changed.setitem(sys.modules, "transformer_lens.model_bridge.sources", None)
        to_transformer_lens(vlm)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (_with_a_hook, ConfigurationError, "there is a hook at blocks.0.attn.hook_z"),
        (_inside(lambda vlm: knock_out(vlm, "last->visual")), ConfigurationError, "is open"),
        (_inside(ablate_visual_attention), ConfigurationError, "is open"),
        (_inside(text_projections), ConfigurationError, "is open"),
        (_inside(lambda vlm: patch(vlm, IMAGE)), ConfigurationError, "there is a hook at blocks.0"),
        (lambda vlm: to_transformer_lens(vlm.model), ConfigurationError, "is no VLM; pass what"),
        (_not_installed, ConfigurationError, r"pip install '.\[interop\]'"),
        (
            lambda vlm: to_transformer_lens(vlm).enable_compatibility_mode(),
            RuntimeError,
            "does not support compatibility mode",
        ),
        (
            lambda vlm: to_transformer_lens(vlm).set_use_split_qkv_input(True),
            NotImplementedError,
            "none of this model's attention bridges",
        ),
        (
            lambda vlm: to_transformer_lens(vlm).set_use_attn_result(True),
            NotImplementedError,
            "Per-head result computation is unavailable",
        ),
    ],
)
def test_what_is_refused(
    act: Callable[[VLM], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        act(tiny())


def test_layers_without_hook_points_are_refused() -> None:
    vlm = tiny_vlm("llava")
    vlm.model.model.language_model.layers[1].self_attn.forward = lambda *_: None
    with pytest.raises(ConfigurationError, match="was replaced on the instance"):
        to_transformer_lens(vlm)
