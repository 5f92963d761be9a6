"""The page of models says what the package and its tests know."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import transformers

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    page = (DOCS / "models.md").read_text()
    if f"transformers {transformers.__version__}." not in page:
        pytest.skip("the page is about another version of transformers")
    assert runpy.run_path(str(DOCS / "models.py"))["page"]() == page, "run python docs/models.py"
