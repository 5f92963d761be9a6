"""The lens computes in float32 on any device, whatever precision is set around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from on_device import LAYERS, PROMPT, UNIT, WIDTH, vlm_on
from tiny import tiny_image

import llavit_lens as ll
from llavit_lens.lens.choice import forced
from llavit_lens.lens.topk import topk_unembed
from llavit_lens.miniature.world.scenes import example_names, example_path

IMAGE = tiny_image(1)
DTYPES = (torch.float32, torch.bfloat16)


def float64_log_probabilities(trace: ll.Trace) -> tuple[np.ndarray, np.ndarray]:
    """log softmax(W norm(h)) [layers + 1, n, vocab] in float64 on the CPU, and its error budget.

    The norm runs in the model's dtype, so it is the lens's own up to 4 roundings of it; a product
    of D terms is off by D of float32, and logsumexp by as much again.
    """
    dtype = trace.hidden.dtype
    h = trace.hidden.cpu().double()
    gain = trace.norm.weight.detach().cpu().double()
    normed = gain * h / (h.square().mean(-1, keepdim=True) + trace.norm.variance_epsilon).sqrt()
    weight = trace.unembedding.cpu().double()
    logits = normed @ weight.T
    sizes = (normed.abs() @ weight.abs().T).amax(-1, keepdim=True)
    of_norm = 4 * torch.finfo(dtype).eps / 2
    budget = 2 * sizes * (of_norm + WIDTH * UNIT) + 8 * UNIT * logits.abs().amax(-1, keepdim=True)
    return logits.log_softmax(-1).numpy(), budget.numpy()


@contextmanager
def precision(setting: str, device: torch.device) -> Iterator[None]:
    """What people set for speed: TensorFloat-32, bfloat16 products, autocast."""
    if setting == "autocast":
        with torch.autocast(device.type, torch.bfloat16):
            yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(setting)
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_every_layer_against_float64(family: str, dtype: torch.dtype, device: torch.device) -> None:
    trace = vlm_on(device, dtype, family).trace(IMAGE, PROMPT)
    assert trace.hidden.device.type == device.type and trace.hidden.dtype == dtype
    words = ll.logit_lens(trace, k=7, tracked=["S"])
    expected, budget = float64_log_probabilities(trace)
    assert words.values.shape == (LAYERS + 1, 64, 7)
    assert (np.abs(words.values - np.take_along_axis(expected, words.ids, 2)) <= budget).all()
    best = -np.sort(-expected, axis=2)[:, :, :7]
    assert (np.abs(words.values - best) <= budget).all()
    assert words.tracked is not None
    assert (np.abs(words.tracked.values - expected[:, :, words.tracked.ids]) <= budget).all()
    entropy = -(np.exp(expected) * expected).sum(2)
    # d(entropy) = sum of p |log p + entropy| d(log p), at most twice the entropy and once more
    assert (np.abs(words.entropy - entropy) <= 2 * budget[:, :, 0] * (1 + 2 * entropy)).all()


@pytest.mark.parametrize("setting", ["high", "medium", "autocast"])
def test_the_product_is_float32_whatever_is_set_around_it(
    setting: str, device: torch.device
) -> None:
    """TensorFloat-32 keeps 11 bits and bfloat16 keeps 8: either would be far over the budget."""
    trace = vlm_on(device).trace(IMAGE, PROMPT)
    expected, budget = float64_log_probabilities(trace)
    with precision(setting, device):
        words = ll.logit_lens(trace, k=7)
    assert (np.abs(words.values - np.take_along_axis(expected, words.ids, 2)) <= budget).all()


@pytest.mark.long
@pytest.mark.parametrize("name", ["demo:baseline", "demo:no_visual_attention", "demo:llavit"])
def test_a_demo_model_reads_and_says_what_it_does_on_the_cpu(
    name: str, device: torch.device
) -> None:
    """The same answers, and the same words wherever a word wins by more than rounding can blur."""
    here, there = (ll.load(name, device=place, dtype="float32") for place in (device, "cpu"))
    assert here.device.type == device.type
    for scene in example_names()[:3]:
        image = example_path(scene)
        words, expected = (ll.logit_lens(vlm.trace(image), k=2) for vlm in (here, there))
        budget = demo_budget(there, len(expected.ids[0]), np.abs(expected.logsumexp).max())
        assert np.abs(words.logsumexp - expected.logsumexp).max() <= budget
        assert np.abs(words.values[..., 0] - expected.values[..., 0]).max() <= budget
        clear = expected.values[..., 0] - expected.values[..., 1] > 2 * budget
        assert clear.mean() > 0.9
        assert np.array_equal(words.ids[..., 0][clear], expected.ids[..., 0][clear])
        assert here.generate(image) == there.generate(image) != ""


def demo_budget(vlm: ll.VLM, patches: int, largest: float) -> float:
    """One rounding for each term of the sums from the image to the words, on each device."""
    config = vlm.model.config
    terms = sum(
        part.num_hidden_layers * 2 * (part.hidden_size + part.intermediate_size + patches)
        for part in (config.vision_config, config.text_config)
    )
    return 2 * UNIT * terms * largest


def test_a_demo_model_in_the_precision_of_its_device(device: torch.device) -> None:
    """On a GPU that of the checkpoint, on a CPU float32: attention is as it should be in both."""
    vlm = ll.load("demo:llavit", device=device)
    assert vlm.model.dtype == (torch.bfloat16 if device.type == "cuda" else torch.float32)
    image = example_path(example_names()[0])
    assert ll.check_visual_attention(vlm, image).passed
    assert np.isfinite(ll.logit_lens(vlm.trace(image)).values).all()
    assert vlm.generate(image)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_fast_path_reads_the_same_words(dtype: torch.dtype, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (
        torch.randn(n, 128, generator=generator).to(device, dtype) for n in (64, 5000)
    )
    with forced("fast"):
        fast = topk_unembed(hidden, weight, 5, tracked=[1, 4999])
        alone = topk_unembed(hidden, weight, 5)
    exact = topk_unembed(hidden, weight, 5, tracked=[1, 4999], precision="exact")
    assert torch.equal(fast.ids, exact.ids) and torch.equal(alone.ids, exact.ids)
    assert fast.tracked_rank is not None and exact.tracked_rank is not None
    assert torch.equal(fast.tracked_rank, exact.tracked_rank)
    assert alone.redone == 0 and alone.logsumexp_error is not None
    off = (alone.logsumexp - exact.logsumexp).abs()
    assert (off <= alone.logsumexp_error + 1e-5 * exact.logsumexp.abs()).all()
    if device.type == "cuda" and dtype == torch.bfloat16:  # only sums are rounded
        assert fast.redone == 0 and off.max() < 1e-4
