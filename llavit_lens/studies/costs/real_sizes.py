"""The models that the paper builds on, as configurations: sizes only, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, CLIPVisionConfig, PreTrainedConfig

from llavit_lens.model import LlavitConfig


@dataclass(frozen=True)
class BaseLLM:
    """Sizes of a published LLM, from the `config.json` of its repository on the Hugging Face Hub.

    Attributes:
        name: as the paper calls it.
        repository: where the numbers come from.
        vocab_size: rows of the published embeddings, which may be more than there are tokens.
        tokenizer_length: len(tokenizer), to which LLaVA's loader resizes the embeddings
            (`load_pretrained_model` in LLaVA's and LLaVA-NeXT's llava/model/builder.py). For
            Qwen2.5 it is the number in issue 2415 of huggingface/peft. None: not resized here.
    """

    name: str
    repository: str
    model_type: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    tie_word_embeddings: bool
    tokenizer_length: int | None

    def text_config(self, vocab_size: int | None = None) -> PreTrainedConfig:
        """transformers' configuration, with `vocab_size` embeddings (default: as published)."""
        return AutoConfig.for_model(
            self.model_type,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            vocab_size=self.vocab_size if vocab_size is None else vocab_size,
            tie_word_embeddings=self.tie_word_embeddings,
        )


_QWEN = 151_665  # len(tokenizer) of all Qwen2.5 models
BASE_LLMS = {
    llm.name: llm
    for llm in (
        BaseLLM(
            "Qwen2.5-1.5B",
            "Qwen/Qwen2.5-1.5B-Instruct",
            model_type="qwen2",
            hidden_size=1536,
            intermediate_size=8960,
            num_hidden_layers=28,
            num_attention_heads=12,
            num_key_value_heads=2,
            vocab_size=151_936,
            tie_word_embeddings=True,
            tokenizer_length=_QWEN,
        ),
        BaseLLM(
            "Qwen2.5-3B",
            "Qwen/Qwen2.5-3B-Instruct",
            model_type="qwen2",
            hidden_size=2048,
            intermediate_size=11_008,
            num_hidden_layers=36,
            num_attention_heads=16,
            num_key_value_heads=2,
            vocab_size=151_936,
            tie_word_embeddings=True,
            tokenizer_length=_QWEN,
        ),
        BaseLLM(
            "Qwen2.5-7B",
            "Qwen/Qwen2.5-7B-Instruct",
            model_type="qwen2",
            hidden_size=3584,
            intermediate_size=18_944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
            vocab_size=152_064,
            tie_word_embeddings=False,
            tokenizer_length=_QWEN,
        ),
        BaseLLM(
            "Qwen2.5-14B",
            "Qwen/Qwen2.5-14B-Instruct",
            model_type="qwen2",
            hidden_size=5120,
            intermediate_size=13_824,
            num_hidden_layers=48,
            num_attention_heads=40,
            num_key_value_heads=8,
            vocab_size=152_064,
            tie_word_embeddings=False,
            tokenizer_length=_QWEN,
        ),
        BaseLLM(
            "Phi-3.5-mini",
            "microsoft/Phi-3.5-mini-instruct",
            model_type="phi3",
            hidden_size=3072,
            intermediate_size=8192,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=32,
            vocab_size=32_064,
            tie_word_embeddings=False,
            tokenizer_length=None,
        ),
    )
}
"""The paper's base LLMs by name."""

# openai/clip-vit-large-patch14-336 on the Hugging Face Hub.
CLIP_VIT_L_14_336: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
}

METHODS: dict[str, dict[str, Any]] = {
    "Baseline": {
        "separate_visual_qkv": False,
        "visual_attention": "causal",
        "vision_feature_layer": -2,
    },
    "LLaViT": {
        "separate_visual_qkv": True,
        "visual_attention": "bidirectional",
        "vision_feature_layer": [5, 15, 23],
    },
}
"""LLaVA-1.5 and LLaViT as switches of `LlavitConfig`."""


def real_config(llm: BaseLLM, method: str, vocab_size: int | None = None) -> LlavitConfig:
    """The paper's model on this LLM: `method` is one of `METHODS`, `vocab_size` as above."""
    return LlavitConfig(
        vision_config=CLIPVisionConfig(**CLIP_VIT_L_14_336),
        text_config=llm.text_config(vocab_size),
        **METHODS[method],
    )
