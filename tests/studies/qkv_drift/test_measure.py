"""Drift of projections: against numpy on the model's own modules, for every way to hold QKV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_llavit, tiny_processor, tiny_text_config

from llavit_lens.model.checkpoints.qkv_weights import Projection, read_projections
from llavit_lens.model.checkpoints.source import open_source
from llavit_lens.studies.qkv_drift.measure import drift, noise_spectrum, spectrum

GROUPS = {"q": 4, "k": 2, "v": 2}


def own_weights(attention: Any, branch: str, kind: str) -> dict[str, np.ndarray] | None:
    """[heads, E(, D)] of a module, taken apart by hand."""
    if hasattr(attention, "qkv_proj"):
        packed = getattr(getattr(attention, f"qkv_proj{branch}"), kind)
        if packed is None:
            return None
        parts = np.split(packed.detach().numpy(), [4 * 12, 6 * 12])
    else:
        modules = [getattr(attention, f"{name}_proj{branch}") for name in "qkv"]
        if getattr(modules[0], kind) is None:
            return None
        parts = [getattr(module, kind).detach().numpy() for module in modules]
    return {
        name: part.reshape(GROUPS[name], -1, *part.shape[1:]).astype(np.float64)
        for name, part in zip("qkv", parts, strict=True)
    }


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "llama-bias", "mistral", "phi3"])
def test_weights_are_read_by_head(family: str, tmp_path: Path) -> None:
    """Shared key/value heads, fused projections, own widths of heads, with biases and without."""
    model = tiny_llavit(text_config=tiny_text_config(family))
    model.save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    source = open_source(tmp_path)
    config = source.config.get_text_config()
    for branch in ("", "_visual"):
        found = read_projections(source.tensors, config, 1, branch)
        attention = model.model.language_model.layers[1].self_attn
        weights, biases = (own_weights(attention, branch, kind) for kind in ("weight", "bias"))
        assert weights is not None
        for name in "qkv":
            assert np.array_equal(found[name].weight.numpy(), weights[name])
            if biases is None:
                assert found[name].bias is None
            else:
                assert np.array_equal(found[name].bias.numpy(), biases[name])
    assert (biases is not None) == (family in ("qwen2", "llama-bias"))


def random_projection(seed: int, heads: int = 3) -> Projection:
    generator = torch.Generator().manual_seed(seed)
    return Projection(
        torch.randn(heads, 4, 20, generator=generator, dtype=torch.float64),
        torch.randn(heads, 4, generator=generator, dtype=torch.float64),
    )


@pytest.mark.parametrize("head", [None, 0, 2])
def test_drift_equals_a_loop(head: int | None) -> None:
    moved, start = random_projection(0), random_projection(1)
    heads = range(3) if head is None else [head]
    pairs = [
        (float(moved.weight[h, e, d]), float(start.weight[h, e, d]))
        for h in heads
        for e in range(4)
        for d in range(20)
    ]
    length = sum(b * b for _, b in pairs) ** 0.5
    found = drift(moved, start, head)
    assert found.relative == pytest.approx(sum((a - b) ** 2 for a, b in pairs) ** 0.5 / length)
    dot = sum(a * b for a, b in pairs)
    assert found.cosine == pytest.approx(dot / length / sum(a * a for a, _ in pairs) ** 0.5)
    own, old = (np.concatenate([p.bias[h].numpy() for h in heads]) for p in (moved, start))
    assert found.bias == pytest.approx(np.linalg.norm(own - old) / np.linalg.norm(old))


def test_a_mistake_would_show() -> None:
    """Heads in another order, or transposed weights, are far from themselves."""
    start = random_projection(0, heads=4)
    assert drift(start, start).relative == 0 and drift(start, start).cosine == pytest.approx(1)
    shuffled = Projection(start.weight.roll(1, 0), start.bias)
    assert drift(shuffled, start).relative > 1
    assert all(drift(shuffled, start, head).relative > 0.5 for head in range(4))


def test_spectrum_of_known_changes() -> None:
    start = random_projection(0, heads=1)
    left, right = (torch.linalg.qr(torch.randn(n, 4, dtype=torch.float64))[0] for n in (4, 20))
    for values in ([1.0, 1.0, 1.0, 1.0], [5.0, 0.0, 0.0, 0.0], [3.0, 2.0, 1.0, 0.5]):
        change = left @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ right.T
        found = spectrum(Projection(start.weight + change, None), start, top=2)
        share = np.array(values) / sum(values)
        entropy = -sum(p * np.log(p) for p in share if p > 0)
        assert found.full_rank == 4
        assert found.effective_rank == pytest.approx(np.exp(entropy), rel=1e-6)
        energy = np.square(values)
        assert found.top == pytest.approx(energy[:2].sum() / energy.sum())
    still = spectrum(start, start, top=2)
    assert np.isnan(still.effective_rank) and np.isnan(still.top)
    assert 3 < noise_spectrum(4, 20, 2).effective_rank < 4


def test_without_biases_there_is_no_number() -> None:
    start = random_projection(0)
    bare = Projection(start.weight, None)
    assert np.isnan(drift(bare, bare).bias)
    zero = Projection(start.weight, torch.zeros_like(start.bias))
    assert np.isnan(drift(start, zero).bias)
