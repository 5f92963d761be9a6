"""The decoder of a model is found by what its parts are, whatever they are called."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_vlm import tiny_vlm
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.decoder import Decoder, layers_of, norm_of, usual_decoder
from llavit_lens.vlm.families import decoder_of

SMALL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


@pytest.mark.parametrize("kind", ["llava", "llava_next", "llavit"])
def test_llava_has_its_parts_where_it_always_had(kind: str) -> None:
    vlm = tiny_vlm(kind)
    inside, decoder = vlm.model.model.language_model, vlm.decoder
    parts = decoder.module, decoder.layers, decoder.norm, decoder.head, decoder.embedding
    own = inside, inside.layers, inside.norm, vlm.model.lm_head, inside.embed_tokens
    assert all(one is other for one, other in zip(parts, own, strict=True))


def test_a_list_deep_inside_and_a_norm_of_another_name() -> None:
    model = OPTForCausalLM(OPTConfig(**SMALL, ffn_dim=16, word_embed_proj_dim=16))
    inside = model.model.decoder
    assert usual_decoder(model) is inside
    assert layers_of(inside) is inside.layers and norm_of(inside) is inside.final_layer_norm


def test_the_same_module_whatever_is_around_it() -> None:
    model = tiny_vlm("llavit").model
    inside = decoder_of(model)
    assert decoder_of(torch.compile(model, backend="eager")) is inside
    model.model.language_model = torch.compile(inside, backend="eager")
    assert decoder_of(model) is inside


def test_lists_inside_layers_are_no_layers() -> None:
    model = LlamaForCausalLM(LlamaConfig(**SMALL))
    model.model.layers[0].experts = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    model.model.heads = nn.ModuleList([nn.Linear(1, 1)] * 3)
    assert layers_of(decoder_of(model)) is model.model.layers


def test_layers_that_were_left_out_leave_the_decoder_where_it_was() -> None:
    model = tiny_vlm("llavit").model
    inside = decoder_of(model)
    inside.layers[0].experts = nn.ModuleList(nn.Linear(1, 1) for _ in inside.layers)
    inside.layers = inside.layers[:1]
    assert decoder_of(model) is inside and layers_of(inside) is inside.layers


def test_two_that_may_be_the_norm_are_none() -> None:
    model = tiny_vlm("llava").model
    inside = decoder_of(model)
    inside.other = nn.LayerNorm(inside.config.hidden_size)
    assert norm_of(inside) is None


def test_what_has_no_words_or_no_images_is_refused() -> None:
    text = LlamaForCausalLM(LlamaConfig(**SMALL))
    with pytest.raises(ConfigurationError, match="reads text alone"):
        Decoder.of(text, decoder_of(text))
    model = tiny_vlm("llava").model
    model.get_output_embeddings = lambda: None
    with pytest.raises(ConfigurationError, match="no output embedding"):
        Decoder.of(model, decoder_of(model))
    model = tiny_vlm("llava").model
    with pytest.raises(ConfigurationError, match="no list of as many layers"):
        Decoder.of(model, nn.Linear(1, 1))


def test_what_reads_images_elsewhere_is_refused() -> None:
    model = tiny_vlm("llava").model
    model.config.is_encoder_decoder = True
    with pytest.raises(ConfigurationError, match="in an encoder"):
        Decoder.of(model, decoder_of(model))

    class Reader(nn.Module):
        def forward(self, hidden_states: Any, cross_attention_states: Any = None) -> Any: ...

    model = tiny_vlm("llava").model
    decoder_of(model).layers[1] = Reader()
    with pytest.raises(ConfigurationError, match="by cross-attention"):
        Decoder.of(model, decoder_of(model))
