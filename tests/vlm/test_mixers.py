"""Which modules mix tokens is told by what they do, whatever they are called."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_vlm import FAMILIES, LAYERS, tiny_vlm
from torch import Tensor, nn

from llavit_lens.vlm.mixers import class_name_parts, mask_of, mixers, with_mask

WIDTH = 8


class Attention(nn.Module):
    """Uniform attention over the tokens that its mask leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_idx = 0

    def forward(self, hidden_states: Tensor, attention_mask: Any = None) -> tuple[Tensor, None]:
        length = hidden_states.shape[1]
        weights = torch.ones(1, 1, length, length).tril()
        if attention_mask is not None:
            is_bool = attention_mask.dtype == torch.bool
            weights = weights * (attention_mask if is_bool else attention_mask == 0)
        weights = weights / weights.sum(-1, keepdim=True)
        return weights[:, 0] @ hidden_states, None


class PlainLinear(Attention):
    """Takes a mask, and does not look at it."""

    def forward(self, hidden_states: Tensor, attention_mask: Any = None) -> Tensor:
        return hidden_states.cumsum(1)


class Wrong(Attention):
    """Takes padding masks alone."""

    def forward(self, hidden_states: Tensor, attention_mask: Any = None) -> Tensor:
        if attention_mask is not None and attention_mask.ndim != 2:
            raise ValueError("a padding mask, please")
        return hidden_states.cumsum(1)


class Mean(nn.Module):
    """Mixes tokens, and neither its name nor its signature says so."""

    def forward(self, states: Tensor) -> Tensor:
        return states.cumsum(1)


class ConvMamba(nn.Linear):
    """Mixes nothing, and its name says otherwise."""


class Layer(nn.Module):
    def __init__(self, mixer: nn.Module | None, mixes_itself: bool = False) -> None:
        super().__init__()
        self.self_attn = Attention()
        self.mlp: nn.Module = ConvMamba(WIDTH, WIDTH)
        self.other = mixer
        self.mixes_itself = mixes_itself

    def forward(self, hidden_states: Tensor, attention_mask: Any = None) -> Tensor:
        states = hidden_states + self.self_attn(hidden_states, attention_mask)[0]
        if self.other is not None:
            states = states + self.other(states)
        if self.mixes_itself:
            states = states + states.roll(1, 1)
        return states + self.mlp(states)


class Decoder(nn.Module):
    def __init__(self, *layers: nn.Module, implementation: str = "sdpa") -> None:
        super().__init__()
        self.config = SimpleNamespace(_attn_implementation=implementation)
        self.layers = nn.ModuleList(layers)
        self.embedding = nn.Embedding(5, WIDTH)

    def forward(self, inputs_embeds: Tensor, use_cache: bool) -> Tensor:
        for layer in self.layers:
            inputs_embeds = layer(inputs_embeds)
        return inputs_embeds


def parts(module: Decoder) -> Any:
    return SimpleNamespace(
        module=module, layers=module.layers, embedding=module.embedding, config=module.config
    )


def found(*layers: nn.Module, implementation: str = "sdpa") -> list[tuple[int, str, bool]]:
    torch.manual_seed(0)
    decoder = Decoder(*layers, implementation=implementation)
    return [(one.layer, one.name, one.takes_mask) for one in mixers(parts(decoder))]


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("layer", "others"),
    [
        (Layer(None), []),
        (Layer(Mean()), [("other", False)]),
        (Layer(PlainLinear()), [("other", False)]),
        (Layer(Wrong()), [("other", False)]),
        (Layer(None, mixes_itself=True), [("", False)]),
    ],
    ids=["attention", "no signature", "ignores its mask", "refuses a mask", "the layer itself"],
)
def test_told_by_what_they_do(
    layer: nn.Module, others: list[tuple[str, bool]], implementation: str
) -> None:
    expected = [(0, "self_attn", True), *((0, *other) for other in others)]
    assert found(layer, implementation=implementation) == expected


def test_each_kind_of_layer_by_itself() -> None:
    kinds = found(Layer(None), Layer(Mean()), Layer(None), Layer(PlainLinear()))
    assert [layer for layer, _, takes_mask in kinds if takes_mask] == [0, 1, 2, 3]
    assert [(layer, name) for layer, name, takes in kinds if not takes] == [
        (1, "other"),
        (3, "other"),
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_real_decoder_and_no_hook_is_called(family: str) -> None:
    vlm = tiny_vlm(family)
    called: list[Any] = []
    for module in vlm.decoder.module.modules():
        module.register_forward_hook(lambda *args: called.append(args))
        module.register_forward_pre_hook(lambda *args: called.append(args))
    assert [(one.layer, one.name, one.takes_mask) for one in mixers(vlm.decoder)] == [
        (layer, "self_attn", True) for layer in range(LAYERS)
    ]
    assert not called
    assert mixers(vlm.decoder) is mixers(vlm.decoder)
    assert all(module._forward_hooks for module in vlm.decoder.module.modules())


def test_without_weights_signatures_and_names_decide() -> None:
    decoder = Decoder(Layer(PlainLinear())).to("meta")
    assert [(one.name, one.takes_mask) for one in mixers(parts(decoder))] == [
        ("self_attn", True),
        ("other", False),
        ("mlp", False),  # a name is all that there is
    ]


def test_whole_words_of_class_names() -> None:
    for name, parts in {
        "CohereCompassMLP": ["Cohere", "Compass", "MLP"],
        "Qwen3NextGatedDeltaNet": ["Qwen3", "Next", "Gated", "Delta", "Net"],
        "Lfm2ShortConv": ["Lfm2", "Short", "Conv"],
        "SSMBlock": ["SSM", "Block"],
    }.items():
        assert class_name_parts(type(name, (nn.Module,), {})()) == parts


def test_masks_by_place_and_by_name() -> None:
    module, states = Attention(), torch.zeros(1, 2, WIDTH)
    assert mask_of(module, (states, 1), {}) == 1
    assert mask_of(module, (states,), {"attention_mask": 2}) == 2
    assert mask_of(module, (states,), {}) is None
    assert with_mask(module, (states, 1), {}, 3) == ((states, 3), {})
    assert with_mask(module, (states,), {}, 3) == ((states,), {"attention_mask": 3})
    assert with_mask(module, (states,), {"attention_mask": 2}, 3)[1] == {"attention_mask": 3}
