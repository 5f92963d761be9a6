"""The models that the paper builds on, as configurations: sizes only, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, CLIPVisionConfig, PreTrainedConfig

from llavit_lens.model import LlavitConfig
from llavit_lens.rows import LOCAL_AND_GLOBAL, ROWS


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


_COLUMNS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "vocab_size", "tie_word_embeddings",
)  # fmt: skip
_SIZES = {
    "Qwen2.5-1.5B": (1536, 8960, 28, 12, 2, 151_936, True),
    "Qwen2.5-3B": (2048, 11_008, 36, 16, 2, 151_936, True),
    "Qwen2.5-7B": (3584, 18_944, 28, 28, 4, 152_064, False),
    "Qwen2.5-14B": (5120, 13_824, 48, 40, 8, 152_064, False),
    "Phi-3.5-mini": (3072, 8192, 32, 32, 32, 32_064, False),
}


def _base_llm(name: str) -> BaseLLM:
    sizes: dict[str, Any] = dict(zip(_COLUMNS, _SIZES[name], strict=True))
    if name.startswith("Phi"):
        return BaseLLM(name, f"microsoft/{name}-instruct", "phi3", tokenizer_length=None, **sizes)
    return BaseLLM(name, f"Qwen/{name}-Instruct", "qwen2", tokenizer_length=151_665, **sizes)


BASE_LLMS = {name: _base_llm(name) for name in _SIZES}
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

METHODS = {"Baseline": ROWS["baseline"], "LLaViT": ROWS["llavit"]}
"""LLaVA-1.5 and LLaViT, as rows of Table 3."""


def real_config(llm: BaseLLM, method: str, vocab_size: int | None = None) -> LlavitConfig:
    """The paper's model on this LLM: `method` is one of `METHODS`, `vocab_size` as above."""
    row = METHODS[method]
    return LlavitConfig(
        vision_config=CLIPVisionConfig(**CLIP_VIT_L_14_336),
        text_config=llm.text_config(vocab_size),
        vision_feature_layer=list(LOCAL_AND_GLOBAL) if row.local_and_global else -2,
        separate_visual_qkv=row.separate_visual_qkv,
        visual_attention=row.visual_attention,
    )
