"""The paper's Table 5, counted again: FLOPs of baseline and LLaViT on Qwen2.5-3B.

The paper gives numbers without formulas. Those here are the ones that its numbers imply; each
misses something of the real model, which is counted beside it.

N tokens, n of them visual; d width, i MLP width, d_kv width of all keys, L layers, V vocabulary,
P pairs of tokens that attend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llavit_lens.studies.costs.flops import (
    count_llm_flops,
    count_pairs,
    llm_flops_by_formula,
    pairs_by_formula,
    with_pairs,
)
from llavit_lens.studies.costs.real_sizes import BASE_LLMS, METHODS, real_config

LLM = BASE_LLMS["Qwen2.5-3B"]
TOKENS, VISUAL = 1024, 576

_N, _D, _I, _L = TOKENS, LLM.hidden_size, LLM.intermediate_size, LLM.num_hidden_layers
_CAUSAL = (8 * _N * _D**2 + 2 * _N**2 * _D) / 1e9
_BIDIRECTIONAL = (8 * _N * _D**2 + 3 * _N**2 * _D) / 1e9
_MLP = (4 * _N * _D * _I + _N * _I) / 1e9
_HEAD = 632.7  # no known formula gives it
# With this vocabulary 2NdV would give it:
_IMPLIED_VOCABULARY = round(_HEAD * 1e9 / (2 * _N * _D))
_SHARE = 100 * pairs_by_formula(TOKENS, VISUAL, bidirectional=True) / TOKENS**2


@dataclass(frozen=True)
class Line:
    """A line of the paper's Table 5 (arXiv 2511.10301).

    Attributes:
        module: what is counted; attention and MLP are those of one layer.
        counted: the method and the attribute of `LLMFlops` that is the same in truth.
        gflops: as printed.
        implied: what `formula_implied` gives, in GFLOPs; None without a formula.
        formula_implied: the formula that gives the printed number.
        formula: the true one.
        difference: what the paper's number misses or adds.
    """

    module: str
    counted: tuple[str, str]
    gflops: float
    implied: float | None
    formula_implied: str
    formula: str
    difference: str


PAPER = (
    Line(
        "causal_attention",
        ("Baseline", "attention"),
        38.7,
        _CAUSAL,
        "8Nd² + 2N²d",
        "4Nd(d + d_kv) + 4dP, P = N(N+1)/2",
        f"The paper's number fits {LLM.num_attention_heads} key and value heads; Qwen2.5-3B has "
        f"{LLM.num_key_value_heads} (grouped-query attention).",
    ),
    Line(
        "bidirectional_attention",
        ("LLaViT", "attention"),
        40.8,
        _BIDIRECTIONAL,
        "8Nd² + 3N²d",
        "4Nd(d + d_kv) + 4dP, P = N(N+1)/2 + n(n-1)/2",
        "The same; and it fits 75 % of all pairs of tokens, where the mask of Eq. 8 lets "
        f"{_SHARE:.1f} % through.",
    ),
    Line(
        "mlp",
        ("LLaViT", "mlp"),
        92.4,
        _MLP,
        "4Ndi + Ni",
        "6Ndi",
        "The paper's number fits two of the three matrices, without the gate.",
    ),
    Line(
        "lm_head",
        ("LLaViT", "lm_head"),
        _HEAD,
        None,
        "none found",
        "2NdV",
        f"Unexplained: {_HEAD} needs a vocabulary of about {_IMPLIED_VOCABULARY:,}; there are "
        f"{LLM.tokenizer_length:,} tokens, and {LLM.vocab_size:,} rows in the published weights.",
    ),
    Line(
        "llm_baseline",
        ("Baseline", "total"),
        5348.7,
        # The printed sums come out only from terms of two decimals.
        _L * (round(_CAUSAL, 2) + round(_MLP, 2)) + _HEAD,
        f"L({_CAUSAL:.2f} + {_MLP:.2f}) + {_HEAD}",
        "L(causal attention + MLP) + LM head",
        "The MLP's gate adds more than grouped-query attention saves.",
    ),
    Line(
        "llm_llavit",
        ("LLaViT", "total"),
        5426.1,
        _L * (round(_BIDIRECTIONAL, 2) + round(_MLP, 2)) + _HEAD,
        f"L({_BIDIRECTIONAL:.2f} + {_MLP:.2f}) + {_HEAD}",
        "L(bidirectional attention + MLP) + LM head",
        "As for the baseline.",
    ),
)


@dataclass(frozen=True)
class FlopRow:
    """One line of the paper's table and the truth beside it.

    Attributes:
        module, formula_implied, formula, difference: as in `Line`.
        gflops_paper, gflops_implied: as `gflops` and `implied` in `Line`.
        gflops: `flops` in billions.
        flops: counted on the real modules, with the pairs of the mask that they make.
        flops_by_formula: by `formula`; the same.
        flops_counter: what FlopCounterMode alone says, which knows no mask.
    """

    module: str
    gflops_paper: float
    gflops_implied: float | None
    gflops: float
    flops: int
    flops_by_formula: int
    flops_counter: int
    formula_implied: str
    formula: str
    difference: str


def table_5() -> list[FlopRow]:
    """The lines of `PAPER`, counted."""
    counter, counted, formula = {}, {}, {}
    for method, row in METHODS.items():
        config = real_config(LLM, method)
        counter[method] = count_llm_flops(config, TOKENS, VISUAL)
        counted[method] = with_pairs(counter[method], count_pairs(config, TOKENS, VISUAL))
        pairs = pairs_by_formula(TOKENS, VISUAL, row.visual_attention == "bidirectional")
        formula[method] = llm_flops_by_formula(config.get_text_config(), TOKENS, pairs)
    rows = []
    for line in PAPER:
        method, part = line.counted
        flops = getattr(counted[method], part)
        rows.append(
            FlopRow(
                module=line.module,
                gflops_paper=line.gflops,
                gflops_implied=None if line.implied is None else round(line.implied, 6),
                gflops=flops / 1e9,
                flops=flops,
                flops_by_formula=getattr(formula[method], part),
                flops_counter=getattr(counter[method], part),
                formula_implied=line.formula_implied,
                formula=line.formula,
                difference=line.difference,
            )
        )
    return rows


def increases(rows: Sequence[FlopRow]) -> tuple[float, float]:
    """What LLaViT adds to the baseline, in percent: by the paper's numbers, and counted."""
    at = {row.module: row for row in rows}
    baseline, llavit = at["llm_baseline"], at["llm_llavit"]
    return (
        100 * (llavit.gflops_paper / baseline.gflops_paper - 1),
        100 * (llavit.flops / baseline.flops - 1),
    )
