"""llavit-lens find --out writes a table, or the contact sheet of the same hits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from made_index import made_index
from PIL import Image

from llavit_lens.commands.find import find_report
from llavit_lens.corpus.index_images import UNKNOWN
from llavit_lens.errors import ConfigurationError


def test_out_is_a_table_or_a_sheet_of_the_hits(tmp_path: Path) -> None:
    index = made_index(tmp_path / "index").path
    for name in ("hits.csv", "sheet.html", "sheet.png"):
        find_report("dog", index, limit=3, out=tmp_path / name)
    table = pd.read_csv(tmp_path / "hits.csv")
    html = (tmp_path / "sheet.html").read_text("utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])  # type: ignore[index]
    assert [tile["name"] for tile in data["tiles"]] == table["source"].tolist()
    assert {tile["fault"] for tile in data["tiles"]} == {UNKNOWN}  # made without images
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.text["Title"] == "Where “dog” is read"  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"has to end in \.csv, \.parquet, \.png"):
        find_report("dog", index, out=tmp_path / "sheet.jpg")
