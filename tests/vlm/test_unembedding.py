"""Heads of every kind: the lens reads with the matrix that the model uses, or refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from tiny import tiny_image
from tiny_vlm import tiny_vlm
from torch import Tensor, nn
from torch.ao.nn.qat import Linear as FakeQuantised
from torch.ao.quantization import get_default_qat_qconfig
from torch.nn.functional import embedding, linear
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import register_parametrization

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.vlm.readout import _is_weight_of
from llavit_lens.vlm.vlm import VLM


class Codes(nn.Linear):
    """Integers and a scale for each row, as of an 8-bit head; `activations` are rounded too."""

    activations = False

    def __init__(self, head: nn.Linear) -> None:
        super().__init__(head.in_features, head.out_features, bias=False)
        scale = head.weight.detach().abs().amax(1, keepdim=True) / 127
        codes = (head.weight.detach() / scale).round().to(torch.int8)
        self.weight, self.scale = nn.Parameter(codes, requires_grad=False), scale

    def forward(self, x: Tensor) -> Tensor:
        if self.activations:
            step = x.abs().amax(-1, keepdim=True) / 127
            x = (x / step).round() * step
        return linear(x, self.weight.to(x.dtype) * self.scale.to(x.dtype))


class RoundedActivations(Codes):
    activations = True


class Packed(nn.Linear):
    """Two codes of 4 bits in a byte, in a matrix of another shape."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__(head.in_features, head.out_features, bias=False)
        self.step = head.weight.detach().abs().max() / 7
        codes = (head.weight.detach() / self.step).round().long() + 8
        packed = (codes.flatten()[::2] * 16 + codes.flatten()[1::2]).to(torch.uint8)
        self.weight = nn.Parameter(packed[:, None], requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        pairs = torch.cat([self.weight.long() // 16, self.weight.long() % 16], dim=1)
        codes = pairs.view(self.out_features, self.in_features) - 8
        return linear(x, codes.to(x.dtype) * self.step.to(x.dtype))


class Adapter(nn.Module):
    """As PEFT wraps a head: its `weight` is that of the layer below."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.base_layer = head
        self.a = nn.Linear(head.in_features, 4, bias=False, dtype=head.weight.dtype)
        self.b = nn.Linear(4, head.out_features, bias=False, dtype=head.weight.dtype)

    @property
    def weight(self) -> Tensor:
        return self.base_layer.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + 3 * self.b(self.a(x))


class Sparse(nn.Module):
    """A head that stores what is not zero."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        dense = head.weight.detach()
        kept = torch.where(dense.abs() > 0.3, dense, 0)
        self.weight = nn.Parameter(kept.to_sparse(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.weight, x.flatten(0, 1).T).T.unflatten(0, x.shape[:2])


class Rounded(nn.Module):
    """A parametrization that rounds to few steps, as training for 4 bits does."""

    def forward(self, weight: Tensor) -> Tensor:
        step = weight.abs().max() / 7
        return (weight / step).round() * step


class Biased(nn.Linear):
    """A subclass that changes nothing."""


def parametrized(head: nn.Linear) -> nn.Linear:
    register_parametrization(head, "weight", Rounded())
    return head


def normed(head: nn.Linear) -> nn.Linear:
    weight_norm(head)
    head.parametrizations.weight.original0.data *= 1.3  # type: ignore[union-attr, operator]
    return head


def normed_by_a_hook(head: nn.Linear) -> nn.Linear:
    nn.utils.weight_norm(head)
    head.weight_g.data *= 1.3
    return head


def fake_quantised(head: nn.Linear) -> nn.Module:
    head.qconfig = get_default_qat_qconfig("x86")  # type: ignore[assignment]
    return FakeQuantised.from_float(head.train()).eval()


def scaled_by_a_hook(head: nn.Linear) -> nn.Linear:
    head.register_forward_hook(lambda module, args, output: 0.7 * output)
    return head


def scaled_before(head: nn.Linear) -> nn.Linear:
    head.register_forward_pre_hook(lambda module, args: (0.7 * args[0],))
    return head


def biased(head: nn.Linear) -> nn.Module:
    made = Biased(head.in_features, head.out_features, dtype=head.weight.dtype)
    made.weight = head.weight
    nn.init.normal_(made.bias, std=2)
    return made


def offloaded(head: nn.Linear) -> nn.Linear:
    accelerate.cpu_offload(head, execution_device=torch.device("cpu"))
    return head


def wider(head: nn.Linear) -> nn.Module:
    """bfloat16 inside, float32 outside."""
    inner = head.bfloat16()
    inner.register_forward_pre_hook(lambda module, args: (args[0].bfloat16(),))
    inner.register_forward_hook(lambda module, args, output: output.float())
    return inner


READ: dict[str, Callable[[nn.Linear], nn.Module]] = {
    "codes": Codes,
    "packed": Packed,
    "adapter": Adapter,
    "sparse": Sparse,
    "parametrized": parametrized,
    "weight norm": normed,
    "weight norm by a hook": normed_by_a_hook,
    "fake quantised": fake_quantised,
    "scaled by a hook": scaled_by_a_hook,
    "scaled before": scaled_before,
    "bias": biased,
    "offloaded": offloaded,
}


def with_head(make: Callable[[nn.Linear], nn.Module], dtype: torch.dtype = torch.float32) -> VLM:
    torch.manual_seed(5)
    vlm = tiny_vlm("llavit")
    vlm.model.to(dtype)
    vlm.model.lm_head = make(vlm.model.lm_head)
    return vlm


def check_words(vlm: VLM, off: float) -> None:
    """The last layer's words are those of the model's own logits."""
    trace = vlm.trace(tiny_image())
    words = logit_lens(trace, k=5, layers=[-1])
    own = vlm.run(tiny_image())[0, torch.as_tensor(trace.layout.positions)].float()
    top = own.log_softmax(-1).topk(5)
    assert np.abs(words.values[0] - top.values.detach().numpy()).max() <= off
    if off < 1e-3:
        assert np.array_equal(words.ids[0], top.indices.numpy())


@pytest.mark.parametrize("kind", READ)
def test_the_matrix_that_the_model_uses_is_read(kind: str) -> None:
    vlm = with_head(READ[kind])
    check_words(vlm, 5e-5)
    check_words(vlm, 5e-5)  # by what is known from the first time


@pytest.mark.parametrize("kind", ["codes", "packed", "adapter", "bias", "offloaded"])
def test_it_is_read_in_bfloat16(kind: str) -> None:
    check_words(with_head(READ[kind], torch.bfloat16), 0.3)


def test_a_narrow_head_with_a_wide_output() -> None:
    check_words(with_head(wider), 0.3)


def test_a_plain_weight_is_not_copied() -> None:
    for make in (lambda head: head, biased):
        vlm = with_head(make)
        assert vlm.trace(tiny_image()).unembedding.data_ptr() == vlm.model.lm_head.weight.data_ptr()


def test_columns_are_read_once_until_the_head_changes() -> None:
    vlm = with_head(Adapter)
    first, second = (vlm.trace(tiny_image()).unembedding for _ in range(2))
    assert first is second
    with torch.no_grad():
        vlm.model.lm_head.b.weight.mul_(-1)
    check_words(vlm, 5e-5)


def test_a_head_put_in_place_of_a_tied_one() -> None:
    vlm = tiny_vlm("llava")
    vlm.model.lm_head.weight = vlm.model.get_input_embeddings().weight
    check_words(vlm, 5e-5)
    vlm.model.lm_head = nn.Linear(*reversed(vlm.model.lm_head.weight.shape), bias=False)
    check_words(vlm, 5e-5)


def test_rounded_activations_have_no_matrix() -> None:
    with pytest.raises(ConfigurationError, match=r"unquantised .* llm_int8_skip_modules"):
        with_head(RoundedActivations).trace(tiny_image())


Bend = Callable[[Tensor], Tensor]


def bent(vlm: VLM, bend: Bend) -> VLM:
    """A model that does something with its logits after the head."""
    forward = vlm.model.forward

    def run(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        output.logits = bend(output.logits)
        return output

    vlm.model.forward = run
    return vlm


def one_word_louder(logits: Tensor) -> Tensor:
    louder = logits.clone()
    louder[..., 7] += 0.05 * logits.abs().mean()
    return louder


BENDS: dict[str, Bend] = {
    "scale": lambda logits: 1.01 * logits,
    "soft cap": lambda logits: 60 * torch.tanh(logits / 60),
    "one word": one_word_louder,
    "pruned": lambda logits: logits[..., :-8],
    "padded": lambda logits: nn.functional.pad(logits, (0, 8)),
}


@pytest.mark.parametrize("bend", BENDS)
def test_what_follows_the_head_is_seen(bend: str) -> None:
    with pytest.raises(ConfigurationError, match="would misread"):
        bent(tiny_vlm("llavit"), BENDS[bend]).trace(tiny_image())


@pytest.mark.parametrize("bend", ["scale", "pruned"])
def test_it_is_seen_in_bfloat16(bend: str) -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.bfloat16()
    with pytest.raises(ConfigurationError, match="would misread"):
        bent(vlm, BENDS[bend]).trace(tiny_image())


def test_words_that_the_model_bars_are_barred_in_the_lens() -> None:
    vlm = tiny_vlm("llavit")
    best = vlm.run(tiny_image())[0].amax(0).argsort(descending=True)[:40]
    bent(vlm, lambda logits: logits.index_fill(-1, best, float("-inf")))
    trace = vlm.trace(tiny_image())
    assert trace.provenance["logit_map"] == "40 words barred"
    assert not np.isin(logit_lens(trace, k=9).ids, best.numpy()).any()
    check_words(vlm, 5e-5)


def test_float32_is_held_to_float32() -> None:
    with pytest.raises(ConfigurationError, match="would misread"):
        bent(tiny_vlm("llavit"), lambda logits: logits * (1 + 2e-5)).trace(tiny_image())
    bent(tiny_vlm("llavit"), lambda logits: logits * (1 + 1e-7)).trace(tiny_image())


class Scaled(nn.Embedding):
    """As Gemma's: one factor for all words."""

    def forward(self, ids: Tensor) -> Tensor:
        return 7 * super().forward(ids)


class Touched(nn.Embedding):
    """As PEFT trains single tokens."""

    def forward(self, ids: Tensor) -> Tensor:
        rows = super().forward(ids)
        return torch.where((ids == 9)[..., None], rows.flip(-1), rows)


class CodedEmbedding(nn.Module):
    """8-bit rows."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.step = float(table.weight.detach().abs().max()) / 127
        codes = (table.weight.detach() / self.step).round().to(torch.int8)
        self.weight = nn.Parameter(codes, requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        return embedding(ids, self.weight).float() * self.step


def same_rows(kind: type[nn.Embedding]) -> Callable[[nn.Embedding], nn.Module]:
    def make(table: nn.Embedding) -> nn.Module:
        made = kind(table.num_embeddings, table.embedding_dim)
        made.weight = table.weight
        return made

    return make


def offloaded_table(table: nn.Embedding) -> nn.Module:
    accelerate.cpu_offload(table, execution_device=torch.device("cpu"))
    return table


@pytest.mark.parametrize(
    "make", [same_rows(Scaled), same_rows(Touched), CodedEmbedding, offloaded_table]
)
def test_cosines_are_those_of_what_the_model_is_given(
    make: Callable[[nn.Embedding], nn.Module],
) -> None:
    vlm = tiny_vlm("llava")
    vlm.model.set_input_embeddings(make(vlm.model.get_input_embeddings()))
    trace = vlm.trace(tiny_image())
    with torch.no_grad():
        given = vlm.model.get_input_embeddings()(torch.arange(len(trace.embedding)))
    expected = nn.functional.cosine_similarity(trace.hidden[0][:, None], given[None], dim=2)
    words = input_similarity(trace, k=len(given))
    found = np.take_along_axis(expected.numpy(), words.ids[0], axis=1)
    assert np.abs(words.values[0] - found).max() < 1e-6


def test_a_scaled_table_is_not_copied() -> None:
    vlm = tiny_vlm("llava")
    vlm.model.set_input_embeddings(same_rows(Scaled)(vlm.model.get_input_embeddings()))
    table = vlm.model.get_input_embeddings().weight
    assert vlm.trace(tiny_image()).embedding.data_ptr() == table.data_ptr()


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_model_that_is_offloaded_as_a_whole(place: str, tmp_path: Path) -> None:
    vlm, plain = tiny_vlm("llavit"), tiny_vlm("llavit")
    cpu = torch.device("cpu")
    if place == "memory":
        accelerate.cpu_offload(vlm.model, execution_device=cpu)
    else:
        accelerate.disk_offload(vlm.model, tmp_path, execution_device=cpu)
    mine, own = (logit_lens(one.trace(tiny_image())) for one in (vlm, plain))
    assert np.array_equal(mine.ids, own.ids)
    assert vlm.generate(tiny_image(), max_new_tokens=3) == plain.generate(
        tiny_image(), max_new_tokens=3
    )


def test_a_table_that_is_read_is_held_once_and_follows_an_adapter() -> None:
    """Switching an adapter changes what the module gives, and none of its weights."""
    vlm = tiny_vlm("llava")
    table = vlm.model.get_input_embeddings()
    forward, is_on = table.forward, [True]
    table.forward = lambda ids: forward(ids) + (ids == 7)[..., None] * is_on[0]
    first, second = (vlm.trace(tiny_image()).embedding for _ in range(2))
    assert first is second
    is_on[0] = False
    off = vlm.trace(tiny_image()).embedding
    assert torch.equal(off, table.weight)
    assert (first - off).abs().sum(1).nonzero().flatten().tolist() == [7]


class Quantised(torch.Tensor):
    """As quantisers make weights: a tensor that has no place in memory of its own."""

    def __new__(cls) -> Quantised:
        return torch.Tensor._make_wrapper_subclass(cls, (4, 3), dtype=torch.float32)

    @classmethod
    def __torch_dispatch__(cls, *_: object, **__: object) -> object:
        raise RuntimeError("it was looked at")

    def data_ptr(self) -> int:
        raise RuntimeError("it has no storage")


def test_a_weight_without_a_place_in_memory_is_no_matrix_of_an_earlier_trace() -> None:
    matrix = torch.ones(4, 3)
    head = SimpleNamespace(parameters=lambda: iter([Quantised(), nn.Parameter(torch.ones(4))]))
    assert not _is_weight_of(head, matrix)  # type: ignore[arg-type]
    plain = nn.Linear(3, 4, bias=False)
    assert _is_weight_of(plain, plain.weight.detach()) and not _is_weight_of(plain, matrix)
