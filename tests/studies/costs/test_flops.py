"""FLOPs counted on modules, by formula, and on transformers' own decoder: all the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, Qwen2Config, Qwen2ForCausalLM

from llavit_lens.model import LlavitConfig
from llavit_lens.studies.costs.flops import (
    count_llm_flops,
    count_pairs,
    llm_flops_by_formula,
    pairs_by_formula,
    with_pairs,
)

SWITCHES = st.sampled_from(
    [(False, "causal"), (True, "causal"), (False, "bidirectional"), (True, "bidirectional")]
)


def small_config(
    switches: tuple[bool, str] = (True, "bidirectional"), **sizes: int
) -> LlavitConfig:
    """A LLaViT on a small Qwen2."""
    separate, attention = switches
    return LlavitConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=4,
            intermediate_size=4,
            num_hidden_layers=1,
            num_attention_heads=1,
            image_size=4,
            patch_size=2,
        ),
        text_config=Qwen2Config(
            **{
                "hidden_size": 24,
                "intermediate_size": 40,
                "num_hidden_layers": 2,
                "num_attention_heads": 6,
                "num_key_value_heads": 2,
                "vocab_size": 50,
                **sizes,
            }
        ),
        separate_visual_qkv=separate,
        visual_attention=attention,
    )


@pytest.mark.long
@settings(max_examples=30)
@given(
    heads=st.sampled_from([(1, 1), (2, 1), (4, 2), (6, 3), (6, 2), (4, 4)]),
    d_head=st.sampled_from([2, 4, 6]),
    intermediate=st.integers(1, 40),
    layers=st.integers(1, 3),
    vocab=st.integers(2, 50),
    switches=SWITCHES,
    lengths=st.integers(1, 20).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
)
def test_counter_and_formula_agree(
    heads: tuple[int, int],
    d_head: int,
    intermediate: int,
    layers: int,
    vocab: int,
    switches: tuple[bool, str],
    lengths: tuple[int, int],
) -> None:
    config = small_config(
        switches,
        hidden_size=heads[0] * d_head,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        vocab_size=vocab,
    )
    tokens, visual = lengths
    counted = count_llm_flops(config, tokens, visual)
    text = config.get_text_config()
    assert counted == llm_flops_by_formula(text, tokens, tokens**2)  # the counter knows no mask
    pairs = pairs_by_formula(tokens, visual, switches[1] == "bidirectional")
    counted = with_pairs(counted, count_pairs(config, tokens, visual))
    assert counted == llm_flops_by_formula(text, tokens, pairs)


@pytest.mark.long
@settings(max_examples=30)
@given(
    switches=SWITCHES,
    lengths=st.integers(1, 20).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
)
def test_pairs_are_those_of_the_equations(
    switches: tuple[bool, str], lengths: tuple[int, int]
) -> None:
    tokens, visual = lengths
    bidirectional = switches[1] == "bidirectional"
    pairs = sum(
        j <= i or (bidirectional and i < visual and j < visual)  # Eqs. 7 and 8
        for i in range(tokens)
        for j in range(tokens)
    )
    assert count_pairs(small_config(switches), tokens, visual) == pairs
    assert pairs_by_formula(tokens, visual, bidirectional) == pairs


def test_llavit_computes_no_more_than_transformers_own_decoder() -> None:
    """Separate projections are routed, not added; and no part of the decoder is left uncounted."""
    config = small_config()
    with torch.device("meta"):
        theirs = Qwen2ForCausalLM._from_config(
            config.get_text_config(), attn_implementation="eager"
        )
        ids = torch.zeros(1, 17, dtype=torch.long)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            theirs(ids, attention_mask=torch.zeros(1, 1, 17, 17), use_cache=False)
    for visual in (0, 9, 17):
        assert count_llm_flops(config, 17, visual).total == counter.get_total_flops()


def test_counting_leaves_the_configuration_alone() -> None:
    config = small_config()
    before = config.to_dict(), config.get_text_config()._attn_implementation
    count_llm_flops(config, 5, 2)
    count_pairs(config, 5, 2)
    assert (config.to_dict(), config.get_text_config()._attn_implementation) == before
