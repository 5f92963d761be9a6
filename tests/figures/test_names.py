"""What models, variants, categories and kinds of questions are called."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from llavit_lens.figures.names import (
    CATEGORIES,
    KINDS,
    category_name,
    in_order,
    kind_name,
    model_titles,
    variant_titles,
    which_models,
)
from llavit_lens.rows import ROWS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_kind_and_category_of_the_benchmark_has_a_name() -> None:
    table = pd.read_csv(DOCS / "analyses" / "word_maps.csv")
    assert set(table["kind"]) == set(KINDS) and set(table["category"]) == set(CATEGORIES)
    assert all(name.endswith("?") and "_" not in name for name in KINDS.values())
    assert len(set(KINDS.values())) == len(KINDS)
    assert "chart" not in "".join(CATEGORIES.values())


def test_what_is_not_in_the_table_loses_its_underscores() -> None:
    assert category_name("own_questions") == "own questions"
    assert kind_name("own_kind") == "Own kind"


def test_categories_have_the_papers_order() -> None:
    assert in_order(["general", "mine", "vision_centric", "general"]) == [
        "vision_centric", "general", "mine",
    ]  # fmt: skip


def test_a_part_is_called_by_what_it_adds_where_its_base_stands_beside_it() -> None:
    assert list(variant_titles(ROWS).values()) == [
        "Baseline", "No visual attention", "Separate QKV", "+ bidirectional",
        "+ local and global", "LLaViT",
    ]  # fmt: skip
    alone = variant_titles(["baseline", "separate_qkv_bidirectional"])
    assert alone["separate_qkv_bidirectional"] == "Separate QKV + bidirectional"


def test_models_are_called_by_their_last_name_and_stay_apart() -> None:
    names = ["demo:baseline", "demo:llavit", "a/x/model", "b/x/model", "runs/shared/llm", "llavit"]
    titles = model_titles(names)
    assert list(titles.values()) == [
        "Baseline", "LLaViT", "a/x/model", "b/x/model", "Language model", "llavit",
    ]  # fmt: skip
    assert model_titles(["org/name/"]) == {"org/name/": "name"}
    assert model_titles(["demo:mine"]) == {"demo:mine": "demo:mine"}


def test_the_caption_says_which_models_these_are() -> None:
    assert which_models(model_titles(["demo:llavit", "own"])) == (
        "Models: LLaViT is demo:llavit, own."
    )
