"""Traces of many images, several in one pass: each is what the image leaves alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import MethodType
from typing import Any

import pytest
import torch
from family_cases import CASES
from family_images import TALL, WIDE, noise, read_only_vlm
from PIL import Image
from tiny import tiny_image
from tiny_vlm import LAYERS, WIDTH, tiled_vlm, tiny_vlm
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from transformers import LlavaProcessor

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.vlm import batches
from llavit_lens.vlm.prompt import Prompt, fit_together
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.vlm import VLM

BUDGET = 1e-5
"""Of the largest number of a layer: about 80 roundings of float32, for sums in another order
through a few layers."""


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many prompts each pass has read."""
    sizes: list[int] = []
    trace = batches.traces_of_prompts

    def counted(vlm: VLM, prompts: Sequence[Prompt], tokens: Any) -> list[Trace]:
        traces = trace(vlm, prompts, tokens)
        sizes.append(len(prompts))
        return traces

    monkeypatch.setattr(batches, "traces_of_prompts", counted)
    return sizes


def assert_same(batched: Sequence[Trace], alone: Sequence[Trace]) -> None:
    for one, other in zip(batched, alone, strict=True):
        assert one.layout == other.layout and one.prompt == other.prompt
        assert one.provenance == other.provenance and one.readout is other.readout
        assert torch.equal(one.input_ids, other.input_ids)
        assert one.image.tobytes() == other.image.tobytes()
        largest = other.hidden.abs().amax((1, 2), keepdim=True)
        assert float(((one.hidden - other.hidden).abs() / largest).max()) < BUDGET
    # rows of one image in the place of another's, or of a neighbour, would be far off
    first, second = (trace.hidden[-1] for trace in alone[:2])
    n = min(len(first), len(second))
    assert float((first[:n] - second[:n]).abs().amax(1).min()) > 100 * BUDGET * float(first.max())
    assert float((first[1:] - first[:-1]).abs().amax(1).min()) > 100 * BUDGET * float(first.max())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llava", [3]),
        ("llava_next", [3]),
        ("qwen2_5_vl", [3]),
        ("qwen3_vl", [3]),  # adds features of the image to later states
        ("gemma3", [3]),  # visual tokens see later ones
        ("paligemma", [3]),
        ("internvl", [3]),
        ("idefics3", [3]),
        ("pixtral", [3]),
        ("llava_onevision", [3]),
        ("emu3", [1, 1, 1]),  # its tower would see the filling around the smaller image
    ],
)
def test_every_family_reads_images_of_several_sizes_together(
    name: str, expected: list[int], passes: list[int]
) -> None:
    case, vlm = CASES[name], read_only_vlm(name)
    images = [noise(WIDE), noise(TALL, seed=1), noise(WIDE, seed=2)]
    prompts = [case.prompt, case.prompt + " Where?", case.prompt]
    traces = vlm.trace_batch(images, prompts)
    assert passes == expected
    pair = [vlm.prepare(*asked) for asked in zip(images[:2], prompts[:2], strict=True)]
    assert fit_together(pair[0], pair[1], vlm.family.batching) == (len(expected) == 1)
    assert len({len(trace.input_ids) for trace in traces}) == 2
    assert_same(traces, [vlm.trace(*pair) for pair in zip(images, prompts, strict=True)])


@pytest.mark.parametrize("kind", ["llavit", "flat", "spatial_unpad"])
def test_llavit(kind: str, passes: list[int]) -> None:
    vlm = tiny_vlm(kind) if kind == "llavit" else tiled_vlm(kind)
    images = [tiny_image(0, 60, 30), tiny_image(1, 28, 28), tiny_image(2, 20, 77)]
    prompts = ["Why?", "What is in the image?", "Why?"]
    traces = vlm.trace_batch(images, prompts)
    assert passes == [3]
    assert_same(traces, [vlm.trace(*pair) for pair in zip(images, prompts, strict=True)])


def test_rows_are_those_of_the_models_own_batch() -> None:
    vlm = tiny_vlm("llavit")
    images = [tiny_image(seed) for seed in range(2)]
    traces = vlm.trace_batch(images, ["Why?", "What is in the image?"], batch_size=2)
    texts = [trace.prompt for trace in traces]
    inputs = vlm.processor(images=images, text=texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = vlm.model(**inputs, output_hidden_states=True).hidden_states
    for sample, trace in enumerate(traces):
        is_visual = inputs["input_ids"][sample] == vlm.image_token_id
        for layer in range(LAYERS):
            assert torch.equal(trace.hidden[layer], theirs[layer][sample, is_visual])


def test_one_size_gives_what_is_wanted_of_each(passes: list[int]) -> None:
    vlm = tiny_vlm("llava")
    images = [tiny_image(seed) for seed in range(5)]
    traces = vlm.trace_batch(images, "Where?", batch_size=2)
    assert passes == [2, 2, 1]
    assert_same(traces, [vlm.trace(image, "Where?") for image in images])
    n = len(traces[0].layout)
    for trace in traces:  # visual rows alone, and none of another image
        assert trace.hidden.untyped_storage().nbytes() == (LAYERS + 1) * n * WIDTH * 4
    assert vlm.trace_batch([]) == []
    one = vlm.trace(images[:2], "Where?")  # ONE prompt about both
    assert len(one.images) == 2 and one.hidden.shape[1] == 2 * n


def test_no_logits_are_made_but_those_of_the_last_tokens() -> None:
    vlm, seen = tiny_vlm("llava"), []
    vlm.model.lm_head.register_forward_hook(lambda module, args, out: seen.append(out.shape[:2]))
    vlm.trace_batch([tiny_image(seed) for seed in range(3)], batch_size=3)
    assert seen[0] == (3, 1)


def test_the_size_of_a_batch_is_chosen_by_tokens(
    passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = tiny_vlm("llava")
    images = [tiny_image(seed) for seed in range(3)]
    short, long = "a", "a b c d e f g h"
    length = [vlm.prepare(images[0], text).length for text in (short, long)]
    assert length[0] < length[1]
    for most, expected in (
        (3 * length[1], [3]),
        (3 * length[1] - 1, [2, 1]),  # padding counts
        (2 * length[0], [2, 1]),
        (1, [1, 1, 1]),
    ):
        monkeypatch.setattr(batches, "MOST_TOKENS", most)
        passes.clear()
        vlm.trace_batch(images, [short, short, long])
        assert passes == expected, most


def test_the_lens_is_held_against_the_logits_of_every_image() -> None:
    vlm = tiny_vlm("llava")
    images = [tiny_image(seed) for seed in range(3)]

    def bend(module: Any, args: Any, output: Tensor) -> Tensor:
        if len(output) == 3:
            output = output.clone()
            output[1] = 5 * torch.tanh(output[1] / 5)
        return output

    handle = vlm.model.lm_head.register_forward_hook(bend)
    prompts = [vlm.prepare(image) for image in images]
    with pytest.raises(ConfigurationError, match="would misread"):
        batches.traces_of_prompts(vlm, prompts, "visual")
    handle.remove()
    batches.traces_of_prompts(vlm, prompts, "visual")


@pytest.mark.parametrize("change", ["knockout", "no visual attention"])
def test_interventions_act_on_each_image(change: str, passes: list[int]) -> None:
    vlm = tiny_vlm("llavit")
    images = [tiny_image(seed) for seed in range(3)]
    prompts = ["Why?", "What is in the image?", "Why?"]
    plain = vlm.trace_batch(images, prompts)

    def opened() -> Any:
        if change == "knockout":
            return ll.knock_out(vlm, "visual->visual")
        return ll.ablate_visual_attention(vlm)

    with opened():
        traces = vlm.trace_batch(images, prompts)
        assert_same(traces, [vlm.trace(*pair) for pair in zip(images, prompts, strict=True)])
    assert passes == [3, 3]
    assert not torch.allclose(traces[1].hidden[-1], plain[1].hidden[-1], atol=1e-2)


def test_hooks_of_users_meet_one_image_unless_they_are_asked_to(passes: list[int]) -> None:
    vlm = tiny_vlm("llava")
    images, prompts = [tiny_image(0), tiny_image(1)], ["a", "a b c"]

    def edit(activation: Tensor, hook: Any) -> Tensor:  # knows the token by its place
        activation = activation.clone()
        activation[0, 6] = 0
        return activation

    with vlm.hooks([("blocks.1.hook_resid_post", edit)]):
        traces = vlm.trace_batch(images, prompts)
        assert passes == [1, 1]
        assert_same(traces, [vlm.trace(*pair) for pair in zip(images, prompts, strict=True)])
    layer = vlm.model.model.language_model.layers[1]
    handle = layer.register_forward_hook(lambda module, args, output: None)
    vlm.trace_batch(images, prompts)
    assert passes == [1, 1, 1, 1]
    vlm.trace_batch(images, prompts, batch_size=2)
    handle.remove()
    vlm.trace_batch(images, prompts)
    assert passes[4:] == [2, 2]


def seen_by_no_name(function: Any) -> Any:
    """Under the name of a library's function, as `functools.wraps` leaves it."""
    function.__module__ = "transformers.models.llama.modeling_llama"
    return function


@pytest.mark.parametrize(
    "where", ["before all", "after all", "forward", "method", "partial", "before", "object"]
)
def test_whatever_users_set_on_modules_meets_one_image(where: str, passes: list[int]) -> None:
    vlm, sizes = tiny_vlm("llava"), set()
    layer = vlm.model.model.language_model.layers[1]
    forward = layer.forward

    @seen_by_no_name
    def own(states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        sizes.add(len(states))
        result: Tensor = forward(states, *args, **kwargs)
        return result

    @seen_by_no_name
    def hook(module: Any, args: Any, output: Any = None) -> None:
        if module is layer:
            sizes.add(len(args[0]))

    class Hook:
        def __call__(self, module: Any, args: Any, output: Any) -> None:
            hook(module, args)

    handle = None
    if where == "before all":
        handle = register_module_forward_pre_hook(hook)
    elif where == "after all":
        handle = register_module_forward_hook(hook)
    elif where == "before":
        handle = layer.register_forward_pre_hook(hook)
    elif where == "object":
        handle = layer.register_forward_hook(Hook())
    elif where == "method":
        layer.forward = MethodType(lambda self, *args, **kwargs: own(*args, **kwargs), layer)
    else:
        layer.forward = partial(own) if where == "partial" else own
    images = [tiny_image(0), tiny_image(1)]
    try:
        vlm.trace_batch(images)
        assert passes == [1, 1] and sizes == {1}
        vlm.trace_batch(images, batch_size=2)
        assert passes[2:] == [2] and sizes == {1, 2}
    finally:
        if handle is None:
            del layer.forward
        else:
            handle.remove()
    vlm.trace_batch(images)
    assert passes[3:] == [2]


def test_what_libraries_set_on_modules_does_not_count(passes: list[int]) -> None:
    accelerate = pytest.importorskip("accelerate.hooks")
    vlm = tiny_vlm("llava")
    layer = vlm.model.model.language_model.layers[1]
    accelerate.add_hook_to_module(layer, accelerate.ModelHook())
    assert "forward" in vars(layer)
    vlm.trace_batch([tiny_image(0), tiny_image(1)])
    assert passes == [2]


def test_a_batch_that_is_too_large_for_memory_is_read_one_by_one(
    passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = batches.traces_of_prompts

    def crowded(vlm: VLM, prompts: Sequence[Prompt], tokens: Any) -> list[Trace]:
        if len(prompts) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return trace(vlm, prompts, tokens)

    monkeypatch.setattr(batches, "traces_of_prompts", crowded)
    assert len(tiny_vlm("llava").trace_batch([tiny_image(0), tiny_image(1)])) == 2
    assert passes == [1, 1]


def test_an_image_that_fails_is_named(passes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, good = tiny_vlm("llava"), tiny_image()
    with pytest.raises(ImageError, match=r"^image 1 \(counted from 0\): nowhere.png: no such file"):
        vlm.trace_batch([good, "nowhere.png", good])
    with pytest.raises(ConfigurationError, match=r"^image 2 \(counted from 0\): the prompt must"):
        vlm.trace_batch([good] * 3, ["a", "b", "<image> <image>"])
    with pytest.raises(ImageError, match=r"image 1 .* takes one image"):
        vlm.trace_batch([good, [good, good]])
    layer = vlm.model.model.language_model.layers[1]

    def spoil(module: Any, args: Any, output: Tensor) -> Tensor:
        white = output[:, 0].amax(1) > 1e4
        return torch.where(white[:, None, None], float("nan"), output)

    weight = vlm.model.get_input_embeddings().weight
    with torch.no_grad():  # a word whose states are so large that a pass ends in NaN
        weight[vlm.tokenizer.convert_tokens_to_ids("<unk>")] = 1e5
    handle = layer.register_forward_hook(spoil)
    prompts = ["<image> a", "<image> a", "<unk> <image>"]
    with pytest.raises(ConfigurationError, match=r"^image 2 .*NaN or infinity at layer 2"):
        vlm.trace_batch([good] * 3, prompts, batch_size=3)
    handle.remove()


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ("dog.jpg", {}, "takes a list of images, not 'dog.jpg'; for one image: vlm.trace"),
        (Image.new("RGB", (9, 9)), {}, "takes a list of images, not a Image"),
        ([tiny_image()], {"prompt": ["a", "b"]}, "2 prompts for 1 images"),
        ([tiny_image()], {"batch_size": 0}, "batch_size=0: give 1 or more, or None"),
        ([tiny_image()], {"batch_size": 1.5}, "batch_size"),
        ([tiny_image()], {"prompt": 3}, "one text for all images, or a list .*, not a int"),
        ([tiny_image()], {"prompt": None}, "one text for all images, or a list .* a NoneType"),
        ([tiny_image()], {"prompt": [3]}, "image 0 .* one text, not a int"),
    ],
)
def test_what_makes_no_sense(images: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        tiny_vlm("llava").trace_batch(images, **options)


def test_a_processor_that_marks_no_padding(
    passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an attention mask a model would attend to padding."""
    vlm, call = tiny_vlm("llava"), LlavaProcessor.__call__

    def unmarked(*args: Any, **kwargs: Any) -> Any:
        inputs = call(*args, **kwargs)
        del inputs["attention_mask"]
        return inputs

    monkeypatch.setattr(type(vlm.processor), "__call__", unmarked)
    images, prompts = [tiny_image(seed) for seed in range(3)], ["a", "a", "a b c"]
    traces = vlm.trace_batch(images, prompts)
    assert passes == [2, 1]
    assert_same(traces, [vlm.trace(*pair) for pair in zip(images, prompts, strict=True)])
