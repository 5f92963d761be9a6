"""Lenses compute in float32, whatever the code around them has switched on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_image
from tiny_vlm import FAMILIES, tiny_vlm

from llavit_lens.evaluation.readability.probe import Probe
from llavit_lens.lens.difference import difference
from llavit_lens.lens.follow import cosines, log_probabilities
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.search import search
from llavit_lens.lens.topk import topk_unembed
from llavit_lens.vlm.float32 import full_float32, product_roundoff
from llavit_lens.vlm.trace import Trace


def precisions() -> list[Any]:
    each = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    own = [getattr(backend, "fp32_precision", "ieee") for backend in each]  # since torch 2.9
    return [torch.get_float32_matmul_precision(), *own]


@contextmanager
def set_and_back(set_to: Callable[[Any], None], value: Any, before: Any) -> Iterator[None]:
    set_to(value)
    try:
        yield
    finally:
        set_to(before)


AROUND: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "default float64": lambda: set_and_back(torch.set_default_dtype, torch.float64, torch.float32),
    "default bfloat16": lambda: set_and_back(
        torch.set_default_dtype, torch.bfloat16, torch.float32
    ),
    "medium products": lambda: set_and_back(
        torch.set_float32_matmul_precision, "medium", "highest"
    ),
    "deterministic": lambda: set_and_back(torch.use_deterministic_algorithms, True, False),
    "inference mode": torch.inference_mode,
    "gradients": torch.enable_grad,
    "meta device": lambda: torch.device("meta"),
}


def readings(trace: Trace) -> dict[str, np.ndarray]:
    """All that is computed from a trace."""
    words = logit_lens(trace, k=4, tracked=["<unk>"])
    near = input_similarity(trace, k=4)
    assert words.tracked is not None and words.entropy is not None
    top = topk_unembed(trace.readout.normed(trace.hidden[1]), trace.unembedding, 3)
    probe, names = Probe(), ["dog", "cat"] * (trace.hidden.shape[1] // 2)
    probe.add(trace.hidden.detach(), names)
    probe.solve()
    found = search("What", trace, words)
    return {
        "ids": words.ids,
        "values": words.values,
        "entropy": words.entropy,
        "tracked": words.tracked.values,
        "near": near.ids,
        "cosines": near.values,
        "top": top.logits.numpy(),
        "follow": log_probabilities(trace, words, [5, 6]),
        "cosine of words": cosines(trace, [5, 6]),
        "search": found.values,
        "difference": difference(words, words, trace, trace),
        "probe": probe.predict(trace.hidden).numpy(),
    }


@pytest.mark.long
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("family", FAMILIES)
def test_lenses_do_not_see_what_is_around_them(family: str, around: str) -> None:
    trace = tiny_vlm(family).trace(tiny_image())
    alone = readings(trace)
    with AROUND[around]():
        inside = readings(trace)
    for name, values in alone.items():
        assert inside[name].dtype == values.dtype, name
        assert np.array_equal(inside[name], values), name


@pytest.mark.long
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_trace_is_taken_inside(family: str, around: str) -> None:
    vlm = tiny_vlm(family)
    alone = readings(vlm.trace(tiny_image()))
    with AROUND[around]():
        trace = vlm.trace(tiny_image())  # the check of the unembedding does not misfire
    inside = readings(trace)
    if "autocast" in around:  # the model's own passes are then as exact as its user wants them
        assert np.isfinite(inside["values"]).all()
        return
    for name, values in alone.items():
        assert np.allclose(inside[name], values, rtol=1e-5, atol=1e-5), name


def test_products_are_full_inside_and_as_before_outside() -> None:
    for precision in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(precision)
        before = precisions()
        with full_float32():
            with full_float32():
                pass
            assert precisions() == ["highest", "ieee", "ieee"]
        assert precisions() == before
    torch.set_float32_matmul_precision("highest")


def test_threads_set_the_precision_back_once_all_have_left() -> None:
    torch.set_float32_matmul_precision("medium")
    before, inside, both = precisions(), [], Barrier(2, timeout=20)

    def first() -> None:
        with full_float32():
            both.wait()
        both.wait()  # the other one is still inside

    def second() -> None:
        both.wait()
        with full_float32():
            both.wait()
            inside.append(precisions())

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = precisions()
    torch.set_float32_matmul_precision("highest")
    assert inside == [["highest", "ieee", "ieee"]]
    assert after == before


def test_another_threads_lens_does_not_hide_how_passes_multiply() -> None:
    """A pass in TF32 is held to TF32's rounding, also while a lens computes elsewhere."""
    device = torch.device("cuda")  # of which only the setting is asked
    torch.set_float32_matmul_precision("high")
    try:
        outside = product_roundoff(device)
        with full_float32():
            inside = product_roundoff(device)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert outside == inside == 2.0**-10


def test_a_model_in_float64_is_read() -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.double()
    trace = vlm.trace(tiny_image())
    assert trace.hidden.dtype == torch.float64
    assert np.isfinite(logit_lens(trace).values).all()
    assert np.abs(input_similarity(trace).values).max() <= 1 + 1e-6
