"""A model's checksum changes with any number of it, and with nothing else."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from tiny import tiny_processor
from tiny_vlm import tiny_vlm

from llavit_lens.corpus.fingerprints import _numbers, model_fingerprint, processor_fingerprint


def test_of_equal_models_it_is_the_same() -> None:
    assert model_fingerprint(tiny_vlm("llavit").model) == model_fingerprint(
        tiny_vlm("llavit").model
    )


def test_where_a_model_lies_does_not_count() -> None:
    model = tiny_vlm("llavit").model
    before = model_fingerprint(model)
    model.config._name_or_path = "elsewhere"
    model.config.text_config._name_or_path = "elsewhere"
    assert model_fingerprint(model) == before


def test_a_switch_of_its_configuration_counts() -> None:
    model = tiny_vlm("llavit").model
    before = model_fingerprint(model)
    model.config.visual_attention = "causal"
    assert model_fingerprint(model) != before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int8])
@pytest.mark.parametrize("start", [0, 1])
def test_every_number_of_a_weight_counts(dtype: torch.dtype, start: int) -> None:
    weight = torch.arange(1010 + start).to(dtype)[start:].reshape(-1, 2)
    before = _numbers(weight)
    assert before != b"?"
    for place in range(0, weight.numel(), 97):
        changed = deepcopy(weight)
        changed.view(-1)[place] = -changed.view(-1)[place] - 5
        assert _numbers(changed) != before
    assert _numbers(deepcopy(weight)) == before
    assert _numbers(weight.t().contiguous().t()) == before  # however it lies in memory


def test_what_a_processor_is_called_with_counts() -> None:
    processor = tiny_processor()
    assert processor_fingerprint(processor, {}) == processor_fingerprint(tiny_processor(), {})
    assert processor_fingerprint(processor, {}) != processor_fingerprint(processor, {"a": 1})
    processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    assert processor_fingerprint(processor, {}) != processor_fingerprint(tiny_processor(), {})
