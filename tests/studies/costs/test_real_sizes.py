"""The sizes written down here are those of the published configurations."""

from __future__ import annotations

import json

import pytest
from shared_data import shared_data

from llavit_lens.studies.costs.real_sizes import BASE_LLMS, CLIP_VIT_L_14_336, real_config

FILES = {
    "Qwen2.5-1.5B": "qwen2.5-1.5b-instruct.json",
    "Qwen2.5-3B": "qwen2.5-3b-instruct.json",
    "Qwen2.5-7B": "qwen2.5-7b-instruct.json",
    "Qwen2.5-14B": "qwen2.5-14b-instruct.json",
    "Phi-3.5-mini": "phi-3.5-mini-instruct.json",
}
SIZES = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
    "tie_word_embeddings",
)


def test_there_is_a_file_for_each() -> None:
    assert FILES.keys() == BASE_LLMS.keys()


@pytest.mark.parametrize("name", FILES)
def test_llms_are_as_published(name: str) -> None:
    published = json.loads(shared_data("configs", FILES[name]).read_text())
    built = real_config(BASE_LLMS[name], "LLaViT").get_text_config()
    for size in SIZES:
        assert getattr(built, size) == published[size], size
    head = built.hidden_size // built.num_attention_heads
    assert head == published.get("head_dim", head)


def test_the_vision_tower_is_as_published() -> None:
    published = json.loads(shared_data("configs", "clip-vit-large-patch14-336.json").read_text())
    built = real_config(BASE_LLMS["Qwen2.5-3B"], "Baseline").vision_config
    for size, number in CLIP_VIT_L_14_336.items():
        assert getattr(built, size) == number == published[size], size
