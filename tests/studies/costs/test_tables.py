"""The numbers of the paper's Tables 4 and 5 (arXiv 2511.10301, appendix A), and the true ones."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pandas as pd
import pytest
from parameter_formula import parameters_by_formula

from llavit_lens.studies.costs.real_sizes import BASE_LLMS, real_config
from llavit_lens.studies.costs.table_4 import agreement, table_4
from llavit_lens.studies.costs.table_5 import increases, table_5

# As printed: baseline and LLaViT in billions of parameters, increase in percent.
TABLE_4 = {
    "Qwen2.5-1.5B": ("1.85", "1.94", "4.9"),
    "Qwen2.5-3B": ("3.40", "3.59", "5.7"),
    "Qwen2.5-7B": ("7.93", "8.40", "5.9"),
    "Qwen2.5-14B": ("15.10", "16.87", "11.7"),
}
# As printed, in GFLOPs.
TABLE_5 = {
    "causal_attention": "38.7",
    "bidirectional_attention": "40.8",
    "mlp": "92.4",
    "lm_head": "632.7",
    "llm_baseline": "5348.7",
    "llm_llavit": "5426.1",
}
# Two operations per multiply-add, worked out by hand from the configuration of Qwen2.5-3B:
# 2 key/value heads of 128, three MLP matrices, N(N+1)/2 and n(n-1)/2 pairs, 151936 words.
TRUE_5 = {
    "causal_attention": 19_327_352_832 + 8192 * 524_800,
    "bidirectional_attention": 19_327_352_832 + 8192 * (524_800 + 165_600),
    "mlp": 138_512_695_296,
    "lm_head": 637_265_772_544,
    "llm_baseline": 6_474_277_322_752,
    "llm_llavit": 6_523_114_749_952,
}


@pytest.fixture(scope="module")
def four() -> pd.DataFrame:
    return pd.DataFrame(map(asdict, table_4()))


@pytest.fixture(scope="module")
def five() -> pd.DataFrame:
    return pd.DataFrame(map(asdict, table_5())).set_index("module")


def pair(table: pd.DataFrame, name: str) -> tuple[Any, Any]:
    """The rows of baseline and LLaViT."""
    baseline, llavit = table[table.base_llm == name].itertuples(index=False)
    assert (baseline.method, llavit.method) == ("Baseline", "LLaViT")
    return baseline, llavit


def increase(baseline: int, llavit: int) -> float:
    return 100 * (llavit - baseline) / baseline


@pytest.mark.long
@pytest.mark.parametrize("name", TABLE_4)
def test_the_twelve_numbers_of_table_4_come_out(four: pd.DataFrame, name: str) -> None:
    baseline, llavit = pair(four, name)
    counted = (
        f"{baseline.params / 1e9:.2f}",
        f"{llavit.params / 1e9:.2f}",
        f"{increase(baseline.params, llavit.params):.1f}",
    )
    assert counted == TABLE_4[name]
    shown = (
        f"{baseline.params_b:.2f}",
        f"{llavit.params_b:.2f}",
        f"{llavit.increase_pct:.1f}",
    )
    printed = (
        f"{baseline.params_b_paper:.2f}",
        f"{llavit.params_b_paper:.2f}",
        f"{llavit.increase_pct_paper:.1f}",
    )
    assert shown == printed == TABLE_4[name]


@pytest.mark.long
def test_agreement_is_counted() -> None:
    rows = table_4()
    assert agreement(rows) == (12, 12)
    assert agreement([replace(row, params_b=row.params_b + 0.01) for row in rows]) == (4, 12)


def test_parts_add_up(four: pd.DataFrame) -> None:
    parts = four.vision_tower + four.projector + four.llm + four.visual_qkv
    assert parts.equals(four.params)
    assert set(four.vision_tower) == {303_507_456}  # 24 layers and the norms around them
    assert (four.visual_qkv > 0).equals(four.method == "LLaViT")


def test_the_vocabulary_decides_the_second_decimal(four: pd.DataFrame) -> None:
    """Only embeddings resized to the tokenizer give all twelve; the published ones do not."""
    native = four[four.params_b_native != four.params_b].params_b_native
    assert sorted(native) == [7.94, 8.41, 15.11, 16.88]

    def printed(vocab: int) -> bool:
        for name, numbers in TABLE_4.items():
            baseline, llavit = (
                parameters_by_formula(real_config(BASE_LLMS[name], method, vocab)).total
                for method in ("Baseline", "LLaViT")
            )
            counted = (baseline / 1e9, llavit / 1e9, increase(baseline, llavit))
            if (f"{counted[0]:.2f}", f"{counted[1]:.2f}", f"{counted[2]:.1f}") != numbers:
                return False
        return True

    assert printed(151_665)
    assert not printed(151_936) and not printed(152_064)
    # The whole interval that would do.
    assert [printed(vocab) for vocab in (151_573, 151_574, 151_825, 151_826)] == [
        False,
        True,
        True,
        False,
    ]


def test_phi(four: pd.DataFrame) -> None:
    baseline, llavit = pair(four, "Phi-3.5-mini")
    assert (baseline.params, llavit.params) == (4_137_176_064, 5_049_437_184)
    assert pd.isna([baseline.params_b_paper, llavit.params_b_paper]).all()


@pytest.mark.long
@pytest.mark.parametrize("module", TABLE_5)
def test_the_implied_formulas_give_the_numbers_of_table_5(five: pd.DataFrame, module: str) -> None:
    row = five.loc[module]
    assert f"{row.gflops_paper:.1f}" == TABLE_5[module]
    if module == "lm_head":  # no formula is known, and none is pretended
        assert pd.isna(row.gflops_implied)
        assert row.difference.startswith("Unexplained")
        for vocab in (151_665, 151_936):
            assert f"{2 * 1024 * 2048 * vocab / 1e9:.1f}" != TABLE_5[module]
    else:
        assert f"{row.gflops_implied:.1f}" == TABLE_5[module]


@pytest.mark.parametrize("module", TRUE_5)
def test_true_flops(five: pd.DataFrame, module: str) -> None:
    row = five.loc[module]
    assert row.flops == row.flops_by_formula == TRUE_5[module]
    assert row.gflops == row.flops / 1e9


def test_the_counter_alone_sees_every_pair(five: pd.DataFrame) -> None:
    masked = ["causal_attention", "bidirectional_attention"]
    hidden = five.flops_counter - five.flops
    assert hidden[masked].tolist() == [8192 * (1024**2 - p) for p in (524_800, 690_400)]
    assert hidden[["mlp", "lm_head"]].tolist() == [0, 0]


@pytest.mark.long
def test_what_bidirectional_attention_adds() -> None:
    paper, counted = increases(table_5())
    assert (f"{paper:.2f}", f"{counted:.2f}") == ("1.45", "0.75")
