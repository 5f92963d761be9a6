"""A model that is spread over devices is the model on one device: as accelerate spreads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from on_device import (
    PROMPT,
    attend_by,
    float32_budget,
    inputs_for,
    recorded_attention,
    vlm_on,
)
from tiny import tiny_image

import llavit_lens as ll
from llavit_lens.vlm.vlm import VLM

accelerate = pytest.importorskip("accelerate")

IMAGE = tiny_image(1)
MODULES = (
    "model.vision_tower",
    "model.multi_modal_projector",
    "model.language_model.embed_tokens",
    "model.language_model.layers.0",
    "model.language_model.layers.1",
    "model.language_model.layers.2",
    "model.language_model.norm",
    "model.language_model.rotary_emb",
    "lm_head",
)
ELSEWHERE = ("model.vision_tower", "model.language_model.layers.1")
"""What does not stand on the first device."""


def computing_on_both(vlm: VLM, device: torch.device, folder: Path) -> None:
    """Each part computes where it stands: the vision tower and a layer on the CPU."""
    from accelerate.hooks import attach_align_device_hook_on_blocks

    places = {name: "cpu" if name in ELSEWHERE else str(device) for name in MODULES}
    for name, place in places.items():
        vlm.model.get_submodule(name).to(place)
    places[""] = str(device)
    # the whole model is not in `offload`, or its device would become that of all its parts
    whole = dict.fromkeys(MODULES, False)
    attach_align_device_hook_on_blocks(vlm.model, execution_device=places, offload=whole)


def offloaded(vlm: VLM, device: torch.device, folder: Path) -> None:
    """Parts wait in main memory, or on disk for a model on the CPU, until their turn comes."""
    store = "cpu" if device.type == "cuda" else "disk"
    places = {name: store if name in ELSEWHERE else str(device) for name in MODULES}
    accelerate.dispatch_model(vlm.model, places, str(device), offload_dir=folder)


def on_two_gpus(vlm: VLM, device: torch.device, folder: Path) -> None:
    """Parts on another GPU."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    accelerate.dispatch_model(vlm.model, {name: int(name in ELSEWHERE) for name in MODULES})


SPREAD = (computing_on_both, offloaded, on_two_gpus)


@pytest.mark.parametrize("backend", ["eager", "sdpa", "llavit_sdpa"])
@pytest.mark.parametrize("spread", SPREAD)
@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_everything_is_as_on_one_device(
    family: str,
    spread: Callable[[VLM, torch.device, Path], None],
    backend: str,
    device: torch.device,
    tmp_path: Path,
) -> None:
    """Logits, answers, states, words, the check, Eq. 5 and a verified knockout."""
    one, several = vlm_on(device, family=family), vlm_on(device, family=family)
    spread(several, device, tmp_path)
    for vlm in (one, several):
        attend_by(vlm, backend)
    logits = one.run(IMAGE, PROMPT)
    budget = 2 * float32_budget(logits)

    def near(actual: torch.Tensor, expected: torch.Tensor) -> bool:
        return bool((actual.to(expected.device) - expected).abs().max() <= budget)

    assert near(several.run(IMAGE, PROMPT), logits)
    assert several.generate(IMAGE, PROMPT, max_new_tokens=4) == one.generate(
        IMAGE, PROMPT, max_new_tokens=4
    )
    traces = [vlm.trace(IMAGE, PROMPT) for vlm in (several, one)]
    assert near(traces[0].hidden, traces[1].hidden)
    words = [ll.logit_lens(trace, k=3) for trace in traces]
    assert abs(words[0].values - words[1].values).max() <= budget
    assert ll.check_visual_attention(several, IMAGE, PROMPT).passed
    for intervene in (
        lambda vlm: ll.ablate_visual_attention(vlm, layers=[1]),
        lambda vlm: ll.knock_out(vlm, "text->visual", layers=[1, 2], verify=True),
        lambda vlm: ll.visual_attention(vlm, "self", verify=True),
    ):
        with intervene(several), intervene(one):
            expected = one.run(IMAGE, PROMPT)
            assert near(several.run(IMAGE, PROMPT), expected)
        assert (expected - logits).abs().max() > 10 * budget


def test_the_parts_do_compute_where_they_are_said_to(device: torch.device, tmp_path: Path) -> None:
    """Else the tests above would compare one device with itself."""
    if device.type == "cpu":
        pytest.skip("here both devices are the CPU")
    vlm = vlm_on(device)
    computing_on_both(vlm, device, tmp_path)
    seen: dict[int, str] = {}

    def look(module: object, args: object, output: torch.Tensor) -> None:
        seen[len(seen)] = output.device.type

    for layer in vlm.model.model.language_model.layers:
        layer.mlp.down_proj.register_forward_hook(look)
    vlm.run(IMAGE, PROMPT)
    assert list(seen.values()) == ["cuda", "cpu", "cuda"]


def test_a_checkpoint_is_loaded_onto_the_device(device: torch.device, tmp_path: Path) -> None:
    """As it was saved on another one, to the last bit."""
    vlm = vlm_on(torch.device("cpu"))
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    loaded = ll.load(str(tmp_path), device=device, dtype="float32")
    assert loaded.device.type == device.type
    for name, weight in loaded.model.state_dict().items():
        assert torch.equal(weight.cpu(), vlm.model.state_dict()[name]), name
    # with the same processor: where torchvision is installed, a loaded one resizes by it
    expected = ll.load(str(tmp_path), device="cpu").run(IMAGE, PROMPT)
    budget = 2 * float32_budget(expected)
    assert (loaded.run(IMAGE, PROMPT).cpu() - expected).abs().max() <= budget


def test_layers_on_two_devices_record_what_they_attend_to(
    device: torch.device, tmp_path: Path
) -> None:
    """Hooks see each layer's activations on that layer's device."""
    one, several = vlm_on(device), vlm_on(device)
    computing_on_both(several, device, tmp_path)
    inputs = inputs_for(one)
    expected, found = (
        recorded_attention(vlm, lambda vlm=vlm: vlm.model(**inputs, use_cache=False))
        for vlm in (one, several)
    )
    for one_layer, other in zip(expected, found, strict=True):
        for name, activation in one_layer.items():
            difference = (activation - other[name]).abs().max()
            assert difference <= 2 * float32_budget(activation), name
