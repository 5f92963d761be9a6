"""Parameters counted on modules, by formula, and on transformers' own classes: all the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parameter_formula import parameters_by_formula
from tiny import tiny_llavit
from transformers import AutoConfig, CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

from llavit_lens.model import LlavitConfig
from llavit_lens.studies.costs.parameters import count_parameters
from llavit_lens.studies.costs.real_sizes import BASE_LLMS, METHODS, real_config


def size_of_llava(config: LlavitConfig) -> int:
    """Parameters of transformers' own LLaVA of the same parts."""
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(
            LlavaConfig(
                vision_config=config.vision_config,
                text_config=config.get_text_config(),
                vision_feature_layer=config.vision_feature_layer,
            )
        )
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", BASE_LLMS)
def test_the_formula_gives_the_size_of_transformers_llava(name: str) -> None:
    config = real_config(BASE_LLMS[name], "Baseline")
    count = parameters_by_formula(config)
    assert count.visual_qkv == 0
    assert count.total == size_of_llava(config)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", BASE_LLMS)
def test_the_formula_gives_the_size_of_the_modules(name: str, method: str) -> None:
    llm = BASE_LLMS[name]
    config = real_config(llm, method, llm.tokenizer_length)
    assert parameters_by_formula(config) == count_parameters(config)


@pytest.mark.parametrize("name", BASE_LLMS)
def test_visual_qkv_are_as_many_as_those_of_text(name: str) -> None:
    """Counted on transformers' own decoder: q_proj, k_proj and v_proj, or the fused qkv_proj."""
    config = real_config(BASE_LLMS[name], "LLaViT")
    with torch.device("meta"):
        llava = LlavaForConditionalGeneration(
            LlavaConfig(vision_config=config.vision_config, text_config=config.get_text_config())
        )
    names = ("q_proj", "k_proj", "v_proj", "qkv_proj")
    text = sum(
        parameter.numel()
        for key, parameter in llava.model.language_model.named_parameters()
        if key.split(".")[-2] in names
    )
    assert parameters_by_formula(config).visual_qkv == text


@settings(max_examples=25)
@given(
    heads=st.sampled_from([(1, 1), (2, 1), (4, 2), (6, 3), (4, 4)]),
    d_head=st.sampled_from([2, 4, 6]),
    intermediate=st.integers(1, 40),
    layers=st.integers(1, 3),
    vocab=st.integers(2, 50),
    tied=st.booleans(),
    separate=st.booleans(),
    features=st.sampled_from([-2, [0], [0, 1], [0, 1, 2]]),
    tower_layers=st.integers(2, 3),
)
def test_formula_and_modules_agree_at_any_size(
    heads: tuple[int, int],
    d_head: int,
    intermediate: int,
    layers: int,
    vocab: int,
    tied: bool,
    separate: bool,
    features: int | list[int],
    tower_layers: int,
) -> None:
    config = LlavitConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=6,
            intermediate_size=10,
            num_hidden_layers=tower_layers,
            num_attention_heads=2,
            image_size=12,
            patch_size=4,
        ),
        text_config=AutoConfig.for_model(
            "qwen2",
            hidden_size=heads[0] * d_head,
            intermediate_size=intermediate,
            num_hidden_layers=layers,
            num_attention_heads=heads[0],
            num_key_value_heads=heads[1],
            vocab_size=vocab,
            tie_word_embeddings=tied,
        ),
        separate_visual_qkv=separate,
        visual_attention="causal",
        vision_feature_layer=features,
    )
    assert parameters_by_formula(config) == count_parameters(config)


def test_a_model_with_weights_has_as_many() -> None:
    model = tiny_llavit(vision_feature_layer=[1, 2, -1])
    size = sum(parameter.numel() for parameter in model.parameters())
    assert count_parameters(model.config).total == size
