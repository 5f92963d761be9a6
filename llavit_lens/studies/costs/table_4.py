"""The paper's Table 4, counted again: parameters of baseline and LLaViT for each base LLM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llavit_lens.studies.costs.parameters import count_parameters
from llavit_lens.studies.costs.real_sizes import BASE_LLMS, METHODS, BaseLLM, real_config


@dataclass(frozen=True)
class Printed:
    """One base LLM's numbers as printed: billions of parameters, and the increase in percent."""

    baseline: float | None
    llavit: float | None
    increase: float | None


PAPER = {
    "Qwen2.5-1.5B": Printed(1.85, 1.94, 4.9),
    "Qwen2.5-3B": Printed(3.40, 3.59, 5.7),
    "Qwen2.5-7B": Printed(7.93, 8.40, 5.9),
    "Qwen2.5-14B": Printed(15.10, 16.87, 11.7),
}
"""Table 4 of arXiv 2511.10301."""
_NOT_PRINTED = Printed(None, None, None)


@dataclass(frozen=True)
class ParameterRow:
    """One base LLM and method; None is what the paper lacks, or the increase of the baseline.

    Attributes:
        base_llm, method: keys of `BASE_LLMS` and `METHODS`.
        params: parameters, with embeddings resized to `vocab` rows.
        params_b, params_b_paper: in billions, rounded as the paper rounds, and as it prints.
        increase_pct, increase_pct_paper: over the baseline.
        vocab, vocab_native: rows of the embeddings, as counted and as published.
        params_native, params_b_native, increase_pct_native: with `vocab_native` rows.
        vision_tower, projector, llm, visual_qkv: the parts of `params`, as `ParameterCount`.
    """

    base_llm: str
    method: str
    params: int
    params_b: float
    params_b_paper: float | None
    increase_pct: float | None
    increase_pct_paper: float | None
    vocab: int
    vocab_native: int
    params_native: int
    params_b_native: float
    increase_pct_native: float | None
    vision_tower: int
    projector: int
    llm: int
    visual_qkv: int


def table_4() -> list[ParameterRow]:
    """Baseline and LLaViT for each base LLM, in the order of `BASE_LLMS`."""
    return [row for llm in BASE_LLMS.values() for row in _rows(llm)]


def agreement(rows: Sequence[ParameterRow]) -> tuple[int, int]:
    """How many of the printed numbers come out, and how many are printed."""
    pairs = [(row.params_b, row.params_b_paper) for row in rows]
    pairs += [(row.increase_pct or 0.0, row.increase_pct_paper) for row in rows]
    printed = [(ours, paper) for ours, paper in pairs if paper is not None]
    return sum(ours == paper for ours, paper in printed), len(printed)


def _rows(llm: BaseLLM) -> list[ParameterRow]:
    vocab = llm.tokenizer_length or llm.vocab_size
    paper = PAPER.get(llm.name, _NOT_PRINTED)
    counts = {method: count_parameters(real_config(llm, method, vocab)) for method in METHODS}
    native = {method: count_parameters(real_config(llm, method)).total for method in METHODS}
    rows = []
    for method, count in counts.items():
        is_baseline = method == "Baseline"
        rows.append(
            ParameterRow(
                base_llm=llm.name,
                method=method,
                params=count.total,
                params_b=_billions(count.total),
                params_b_paper=paper.baseline if is_baseline else paper.llavit,
                increase_pct=None
                if is_baseline
                else _percent(count.total, counts["Baseline"].total),
                increase_pct_paper=None if is_baseline else paper.increase,
                vocab=vocab,
                vocab_native=llm.vocab_size,
                params_native=native[method],
                params_b_native=_billions(native[method]),
                increase_pct_native=None
                if is_baseline
                else _percent(native[method], native["Baseline"]),
                vision_tower=count.vision_tower,
                projector=count.projector,
                llm=count.llm,
                visual_qkv=count.visual_qkv,
            )
        )
    return rows


def _billions(count: int) -> float:
    return round(count / 1e9, 2)


def _percent(count: int, baseline: int) -> float:
    return round(100 * (count / baseline - 1), 1)
