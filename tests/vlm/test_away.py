"""A trace leaves its process as plain data; the model's parts stay, and come back."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_image
from tiny_vlm import FAMILIES, tiny_vlm
from torch import nn

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm import fingerprint
from llavit_lens.vlm.readout import Readout
from llavit_lens.vlm.token_trace import TokenTrace
from llavit_lens.vlm.trace import Trace


def sent(trace: Any) -> Any:
    return pickle.loads(pickle.dumps(trace))


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_the_same_after_the_journey(family: str) -> None:
    vlm = tiny_vlm(family)
    trace = vlm.trace([tiny_image(0), tiny_image(1)], tokens="all")
    there = sent(trace)
    assert torch.equal(there.hidden, trace.hidden) and there.layouts == trace.layouts
    assert repr(there) == repr(trace) and there._repr_html_() == trace._repr_html_()
    assert there.provenance == trace.provenance
    back = there.with_readout(vlm.readout)
    assert isinstance(back, Trace) and back.readout is vlm.readout is trace.readout
    assert ll.logit_lens(back, k=2, image=1) == ll.logit_lens(trace, k=2, image=1)
    assert ll.input_similarity(back, image=0) == ll.input_similarity(trace, image=0)
    assert back.text is not None and trace.text is not None
    assert ll.logit_lens(back.text, k=2) == ll.logit_lens(trace.text, k=2)
    # one image of the two, cut out far from the model
    one = there.of_image(1).with_readout(vlm.readout)
    assert ll.logit_lens(one, k=2) == ll.logit_lens(trace, k=2, image=1)


def test_a_traced_answer() -> None:
    vlm = tiny_vlm("llava")
    answer = vlm.generate(tiny_image(), max_new_tokens=3, trace=True)
    there = sent(answer)
    assert there.text == answer.text and "Llava" not in there.trace._repr_html_()
    back = there.trace.with_readout(vlm.readout)
    assert isinstance(back, TokenTrace)
    assert ll.logit_lens(back, k=2) == ll.logit_lens(answer.trace, k=2)


@pytest.mark.parametrize("lens", [ll.logit_lens, ll.input_similarity])
def test_a_lens_without_the_model_says_what_to_do(lens: Any) -> None:
    there = sent(tiny_vlm("llava").trace(tiny_image()))
    with pytest.raises(ConfigurationError, match=r"trace = trace.with_readout\(vlm.readout\)"):
        lens(there)
    with pytest.raises(ConfigurationError, match="came here without its model, tiny-llava"):
        _ = there.unembedding


def test_the_states_are_all_that_is_written() -> None:
    vlm = tiny_vlm("llava")
    traces = vlm.trace_batch([tiny_image(seed) for seed in range(4)])
    for trace in (traces[2], vlm.trace([tiny_image(0), tiny_image(1)]).of_image(1)):
        width, height = trace.image.size
        size = len(pickle.dumps(trace))
        assert 0 < size - trace.hidden.nbytes - 3 * width * height < 12_000
    # a readout twice as large changes nothing
    larger = replace(trace.readout, embedding=trace.readout.embedding.repeat(50, 1))
    assert len(pickle.dumps(replace(trace, readout=larger))) == size


def test_copies_keep_the_model() -> None:
    trace = tiny_vlm("llava").trace(tiny_image())
    assert copy.copy(trace).readout is trace.readout
    deep = copy.deepcopy(trace)
    assert deep.readout is trace.readout
    assert torch.equal(deep.hidden, trace.hidden) and deep.hidden is not trace.hidden


def test_another_models_readout_is_refused() -> None:
    vlm = tiny_vlm("llava")
    trace = vlm.trace(tiny_image())
    there, own = sent(trace), vlm.readout

    def changed(weight: torch.Tensor) -> torch.Tensor:
        return weight + 1e-3

    others = {
        "other weights": replace(own, unembedding=changed(own.unembedding)),
        "other embeddings": replace(own, embedding=changed(own.embedding)),
        "another norm": replace(own, norm=copy.deepcopy(own.norm)),
        "another tokenizer": replace(own, tokenizer=copy.deepcopy(own.tokenizer)),
        "a map": replace(own, logit_map=replace(own.logit_map, scale=2.0)),
        "a bias": replace(own, unembedding_bias=torch.zeros(len(own.unembedding))),
    }
    with torch.no_grad():
        next(others["another norm"].norm.parameters()).add_(1e-3)
    token = own.tokenizer.convert_ids_to_tokens(0)
    others["another tokenizer"].tokenizer.convert_ids_to_tokens = lambda ids: [f"{token}!"]
    for name, other in others.items():
        for one in (there, trace):
            with pytest.raises(ConfigurationError, match="other weights or words"):
                one.with_readout(other)
        assert name
    smaller = replace(own, unembedding=own.unembedding[:-1])
    with pytest.raises(ConfigurationError, match="is of another model"):
        there.with_readout(smaller)
    for wrong in (vlm, there.readout):
        with pytest.raises(ConfigurationError, match=r"pass vlm\.readout"):
            there.with_readout(wrong)
    assert there.with_readout(own).readout is own


def test_one_row_a_barred_word_and_the_eps_of_the_norm_are_told_apart() -> None:
    vlm = tiny_vlm("llava")
    own = vlm.trace(tiny_image()).readout
    barred = torch.arange(len(own.unembedding)) % 7 == 1
    own = replace(own, logit_map=replace(own.logit_map, barred=barred))
    trace = replace(vlm.trace(tiny_image()), readout=own)
    there = sent(trace)
    others = [
        replace(own, norm=copy.deepcopy(own.norm)),
        replace(own, logit_map=replace(own.logit_map, barred=barred.roll(1))),
    ]
    others[0].norm.variance_epsilon = 1e-5  # it is 1e-6
    for row in range(len(own.unembedding)):
        without = own.unembedding.clone()
        without[row] = 0
        others.append(replace(own, unembedding=without))
    swapped = own.embedding.clone()
    swapped[[3, 259]] = swapped[[259, 3]] if len(swapped) > 259 else swapped[[3, 4]].flip(0)
    others.append(replace(own, embedding=swapped))
    for other in others:
        with pytest.raises(ConfigurationError, match="other weights or words"):
            there.with_readout(other)
    own.unembedding.data[5, 2] += 0.1  # the same matrix, written to since
    with pytest.raises(ConfigurationError, match="other weights or words"):
        there.with_readout(own)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_roundings_and_places_are_no_other_model(dtype: torch.dtype) -> None:
    """Another device or another number of threads rounds otherwise; weights may lie on a disk."""
    own = _in(dtype, tiny_vlm("llava").trace(tiny_image()).readout)
    there = sent(replace(tiny_vlm("llava").trace(tiny_image()), readout=own))
    assert "cpu" not in repr(there.readout) and "cuda" not in repr(there.readout)

    def rounded(weight: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        draw = torch.rand(weight.shape, generator=generator)
        step = torch.where(draw < 0.5, 1.001, -1.001) * torch.finfo(dtype).eps / 2
        if dtype == torch.bfloat16:  # where float32 differs, few of these do
            step = torch.where((draw < 0.02) | (draw > 0.98), step, 0)
        return (weight.double() * (1 + step)).to(dtype)

    class Offloaded(nn.Module):
        def __init__(self, norm: nn.Module) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(9, device="meta"))
            self.brought = [norm]

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.brought[0](states)
            return result

    other = rounded(own.unembedding)
    assert not torch.equal(other, own.unembedding)
    for same in (
        replace(own, unembedding=other, embedding=rounded(own.embedding)),
        replace(own, norm=Offloaded(own.norm)),
    ):
        assert there.with_readout(same).readout is same
    norm = copy.deepcopy(own.norm)
    with torch.no_grad():
        next(norm.parameters())[3] *= 2
    with pytest.raises(ConfigurationError, match="other weights or words"):
        there.with_readout(replace(own, norm=Offloaded(norm)))
    norm = copy.deepcopy(own.norm)
    assert norm.variance_epsilon == 1e-6
    vars(norm)["variance_epsilon"] = 1e-5
    with pytest.raises(ConfigurationError, match="other weights or words"):
        there.with_readout(replace(own, norm=norm))


def _in(dtype: torch.dtype, own: Readout) -> Readout:
    return replace(
        own,
        unembedding=own.unembedding.to(dtype),
        embedding=own.embedding.to(dtype),
        norm=copy.deepcopy(own.norm).to(dtype),
    )


def test_another_number_format_is_named() -> None:
    trace = tiny_vlm("llava").trace(tiny_image())
    with pytest.raises(
        ConfigurationError,
        match=r"loaded as bfloat16, the trace of tiny-llava was made with float32; .*'float32'",
    ):
        sent(trace).with_readout(_in(torch.bfloat16, trace.readout))


def test_matrices_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trace, read = tiny_vlm("llava").trace(tiny_image()), []
    sums = fingerprint._sums

    def counted(matrix: torch.Tensor, roundings: float | None = None) -> Any:
        read.append(matrix)
        return sums(matrix, roundings)

    monkeypatch.setattr(fingerprint, "_sums", counted)
    for _ in range(3):
        sent(trace).with_readout(trace.readout)
    for matrix in (trace.readout.unembedding, trace.readout.embedding):
        assert sum(one is matrix for one in read) == 1


def test_the_readout_of_a_vlm() -> None:
    vlm = tiny_vlm("llava")
    first = vlm.readout  # a pass is made
    trace = vlm.trace(tiny_image())
    assert trace.readout is first is vlm.readout
    other = tiny_vlm("llava")
    with torch.no_grad():
        other.model.lm_head.weight.add_(1)
    vlm.model = other.model
    assert torch.equal(vlm.readout.unembedding, other.model.lm_head.weight)


def _read_there(pickled: bytes, folder: str, out: str) -> None:
    """In a process of its own, which loads the model again."""
    trace = pickle.loads(pickled)
    vlm = ll.load(folder, device="cpu")
    ll.logit_lens(trace.with_readout(vlm.readout), k=2).save(out)


@pytest.mark.long
def test_another_process_reads_it(tmp_path: Path) -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.save_pretrained(tmp_path / "model")
    vlm.processor.save_pretrained(tmp_path / "model")
    trace = vlm.trace(tiny_image())
    out = tmp_path / "words.parquet"
    process = multiprocessing.get_context("spawn").Process(
        target=_read_there, args=(pickle.dumps(trace), str(tmp_path / "model"), str(out))
    )
    process.start()
    process.join(120)
    assert process.exitcode == 0
    assert ll.Words.load(out) == ll.logit_lens(trace, k=2)
