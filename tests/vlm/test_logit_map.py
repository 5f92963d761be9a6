"""What a model does to its logits after the head is told to the bit, and the lens does the same."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from any_model import require_type, spread, tiny_model
from family_case import require_set_up
from family_cases import CASES
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.topk import topk_unembed
from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.logit_map import LogitMap, told_logit_map
from llavit_lens.vlm.readout import Readout, ReadoutCache
from llavit_lens.vlm.stream import record_residual_stream

CONFIG = SimpleNamespace(cap=30.0, scaling=6, layers=4, ratio=0.37, big=1e6, name="x", flag=True)
LOWEST = float(torch.finfo(torch.float32).min)

MAPS: dict[str, tuple[Callable[[Tensor], Tensor], float, float | None]] = {
    "same": (lambda x: x, 1.0, None),
    "scale": (lambda x: x * 0.37, 0.37, None),
    "divided": (lambda x: x / 6, 1 / 6, None),
    "soft cap": (lambda x: torch.tanh(x / 30.0) * 30.0, 1.0, 30.0),
    "scale and soft cap": (lambda x: torch.tanh(x * 0.37 / 30.0) * 30.0, 0.37, 30.0),
}


def raw_logits(size: int = 300) -> Tensor:
    return 8 * torch.randn(size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", MAPS)
def test_it_is_told(kind: str, dtype: torch.dtype) -> None:
    function, scale, cap = MAPS[kind]
    raw = raw_logits().to(dtype)
    assert told_logit_map(raw, function(raw), CONFIG) == LogitMap(scale, cap)
    # float32 before it, and after it
    assert told_logit_map(raw, function(raw.float()), CONFIG) == LogitMap(scale, cap)
    assert told_logit_map(raw, function(raw).float(), CONFIG) == LogitMap(scale, cap)


@pytest.mark.parametrize("lowest", [LOWEST, float("-inf")])
def test_barred_words_are_told_with_the_rest(lowest: float) -> None:
    raw = raw_logits()
    barred = torch.arange(300) % 7 == 2
    for function, scale, cap in MAPS.values():
        logits = function(raw).masked_fill(barred, lowest)
        assert told_logit_map(raw, logits, CONFIG) == LogitMap(scale, cap, barred)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * 1.01,
        lambda x: torch.tanh(x / 31) * 31,
        lambda x: x[:-8],
        lambda x: x + 0.37,
        lambda x: x.index_fill(0, torch.tensor([5]), 0.0),
        lambda x: x.new_full(x.shape, float("-inf")),
    ],
)
def test_what_no_number_of_the_config_gives_is_not_told(change: Callable[[Tensor], Tensor]) -> None:
    raw = raw_logits()
    assert told_logit_map(raw, change(raw), CONFIG) is None


def oracle(weight: Tensor, hidden: Tensor, logit_map: LogitMap) -> Tensor:
    """Log-probabilities [N, V] in float64."""
    logits = hidden.double() @ weight.double().T * logit_map.scale
    if logit_map.cap is not None:
        logits = logit_map.cap * torch.tanh(logits / logit_map.cap)
    if logit_map.barred is not None:
        logits[:, logit_map.barred] = float("-inf")
    return logits.log_softmax(-1)


BARRED = torch.arange(61) % 3 == 1
LENS_MAPS = [
    LogitMap(0.3),
    LogitMap(cap=5.0),
    LogitMap(2.5, 7.0),
    LogitMap(barred=BARRED),
    LogitMap(1.7, 9.0, barred=torch.arange(61) < 40),  # whole tiles are barred
]


@pytest.mark.parametrize("cells", [40, 10_000])
@pytest.mark.parametrize("logit_map", LENS_MAPS, ids=repr)
def test_the_lens_in_tiles_is_the_softmax_in_float64(logit_map: LogitMap, cells: int) -> None:
    generator = torch.Generator().manual_seed(1)
    hidden, weight = (torch.randn(n, 8, generator=generator) for n in (5, 61))
    log_p = oracle(weight, hidden, logit_map)
    k, every = logit_map.words(61), range(61)
    top = topk_unembed(
        hidden, weight, k, logit_map=logit_map, tracked=every, budget_bytes=12 * cells
    )
    assert top.tracked_logits is not None and top.tracked_rank is not None
    values = top.tracked_logits - top.logsumexp[:, None]
    can_be_said = log_p.isfinite()
    assert (values - log_p)[can_be_said].abs().max() < 1e-5
    assert bool((values[~can_be_said] == float("-inf")).all())
    assert (top.entropy - torch.special.entr(log_p.exp()).sum(1)).abs().max() < 1e-5
    assert torch.equal(top.ids, log_p.sort(1, descending=True).indices[:, :k])
    ranks = log_p.sort(dim=1, descending=True, stable=True).indices.argsort(1)
    assert torch.equal(top.tracked_rank[can_be_said], ranks[can_be_said])
    assert bool((top.tracked_rank[~can_be_said] >= k).all())


def test_no_more_words_than_can_be_said() -> None:
    with pytest.raises(ConfigurationError, match="k is 42, but the model bars all but 41 words"):
        topk_unembed(torch.ones(1, 8), torch.ones(61, 8), 42, logit_map=LogitMap(barred=BARRED))


FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "gemma4": ({"text_config": {"final_logit_softcapping": 20.0}}, "soft cap 20"),
    "granite4_vision": ({"text_config": {"logits_scaling": 5.0}}, "scaled by 0.2"),
    "muse_glimmer": ({}, "scaled by 0.196116, soft cap 20"),
    "hyperclovax_vision_v2": ({"text_config": {"logits_scaling": 0.5}}, "scaled by 0.5"),
    "chameleon": ({}, "10 words barred"),
    "qwen2_vl": ({}, ""),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", FAMILIES)
def test_real_families_say_what_their_own_softmax_says(kind: str, dtype: torch.dtype) -> None:
    require_type(kind)
    if kind in CASES:
        require_set_up(CASES[kind])
    changes, words = FAMILIES[kind]
    model = tiny_model(kind, **changes)
    spread(model)
    model.to(dtype)
    readout, hidden, logits = read(model)
    assert readout.logit_map.in_words() == words
    size = len(readout.unembedding)
    top = topk_unembed(
        readout.normed(hidden[-1]),
        readout.unembedding,
        5,
        logit_map=readout.logit_map,
        tracked=range(size),
    )
    assert top.tracked_logits is not None
    own = logits.double().log_softmax(-1)
    mine = top.tracked_logits.double() - top.logsumexp[:, None]
    said = own > LOWEST / 2
    # a logit is rounded once by the head, and once by each step of the map
    largest = logits[said].abs().max().item()
    budget = 4 * largest * torch.finfo(dtype).eps if dtype == torch.bfloat16 else 5e-5
    assert (own - mine)[said].abs().max() < budget
    assert bool((mine[~said] == float("-inf")).all())
    if dtype == torch.float32:
        assert (top.entropy - torch.special.entr(own.exp()).sum(1)).abs().max() < 1e-4


def read(model: Any) -> tuple[Readout, Tensor, Tensor]:
    """The readout after a pass over text, the states [layers + 1, 8, D], the logits [8, V]."""
    decoder = Decoder.of(model, decoder_of(model))
    with record_residual_stream(model, decoder, torch.arange(8)) as stream:
        logits = model(input_ids=torch.arange(40, 48)[None], use_cache=False).logits[0]
    hidden = stream.hidden("tiny")
    assert stream.added(torch.zeros(8, dtype=torch.bool), "tiny") == []
    cpu = torch.device("cpu")
    readout = ReadoutCache().of(decoder, stream, logits[-1], None, cpu, "tiny")
    return readout, hidden, logits


def test_a_copied_softmax_would_be_wrong() -> None:
    """Without the map, probabilities of a capped model are off by far."""
    require_type("gemma4")
    model = tiny_model("gemma4", text_config={"final_logit_softcapping": 5.0})
    spread(model)
    readout, hidden, logits = read(model)
    normed = readout.normed(hidden[-1])
    own = logits.log_softmax(-1).amax(-1)
    plain = topk_unembed(normed, readout.unembedding, 1)
    assert (plain.logits[:, 0] - plain.logsumexp - own).abs().max() > 0.5
