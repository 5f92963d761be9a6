"""What a user can save."""

from __future__ import annotations

import gc
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from llavit_lens.errors import ImageError
from llavit_lens.explorer import download_buttons, downloads
from llavit_lens.explorer.encoded_payload import EncodedPayload
from llavit_lens.explorer.input_image import InputImage
from llavit_lens.explorer.lens_cache import LensResult
from llavit_lens.explorer.model_spec import ModelSpec
from llavit_lens.explorer.panes import Pane
from llavit_lens.explorer.search_payload import search_payload
from llavit_lens.explorer.view import OWN
from llavit_lens.lens.search import search
from llavit_lens.results.words import Words
from llavit_lens.viewer.page import page_html
from llavit_lens.viewer.payload import words_payload

HOSTILE = "</script><script>window.hacked=1</script><!--"


def test_tables_hold_both_lenses_of_all_models(results: tuple[LensResult, LensResult]) -> None:
    panes = [("one", results[0]), ("two", results[1])]
    table = pd.read_csv(io.BytesIO(downloads.table_csv(panes)), keep_default_na=False)
    assert len(table) == sum(w.ids.size for r in results for w in (r.words, r.similarity))
    assert set(table["model"]) == {"one", "two"}
    assert set(table["lens"]) == {"logit_lens", "input_similarity"}
    whole = downloads.table(panes)
    for name in ("layer", "row", "id", "value"):
        assert np.allclose(table[name], whole[name])


FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r",
    "\n=1",
    " =1",
    "＝1",
    "'x",
]


def test_no_word_in_a_csv_is_a_formula(results: tuple[LensResult, LensResult]) -> None:
    words = results[0].words
    tokens = list(words.strings)[: len(FORMULAS)]
    strings = words.strings | dict(zip(tokens, FORMULAS, strict=True))
    hostile = replace(results[0], words=replace(words, strings=strings))
    panes = [("=model", hostile)]
    data = downloads.table_csv(panes)
    table = pd.read_csv(io.BytesIO(data), keep_default_na=False, dtype={"word": str})
    whole = downloads.table(panes)
    assert {"'=model"} == set(table["model"]) and len(set(FORMULAS) & set(whole["word"])) >= 8
    for shown, word in zip(table["word"], whole["word"], strict=True):
        assert shown in (word, f"'{word}")
        assert not re.match(r"\s*[=+\-@＝]|[\t\r\n]", shown)
        assert word == (shown[1:] if shown.startswith("'") else shown)  # so nothing is lost


@pytest.mark.parametrize("lens", ["words", "similarity"])
def test_parquet_files_load_again(
    results: tuple[LensResult, LensResult], tmp_path: Path, lens: str
) -> None:
    path = tmp_path / "words.parquet"
    path.write_bytes(downloads.words_files([("one", results[0])], lens))
    assert Words.load(path) == getattr(results[0], lens)
    panes = [("LLaVA, as it is", results[0]), ("LLaVA, as it is", results[1])]
    with ZipFile(io.BytesIO(downloads.words_files(panes, lens))) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    assert names == ["1-llava-as-it-is.parquet", "2-llava-as-it-is.parquet"]
    for name, result in zip(names, results, strict=True):
        assert Words.load(tmp_path / name) == getattr(result, lens)


@pytest.mark.long
@pytest.mark.parametrize("layer", [-1, 0, 2])
def test_figures(
    results: tuple[LensResult, LensResult], input_image: InputImage, layer: int
) -> None:
    panes = [("one", results[0]), ("two", results[1])]
    with Image.open(io.BytesIO(downloads.figure(panes, input_image, layer, "png"))) as drawn:
        assert min(drawn.size) > 300
    assert downloads.figure(panes[:1], input_image, layer, "pdf").startswith(b"%PDF")


def saved(
    results: tuple[LensResult, LensResult], image: Image.Image, name: str = "one"
) -> tuple[dict[str, Any], str]:
    payload = words_payload([(name, results[0])], image, 2)
    found = search("dog", results[0].trace, results[0].words)
    start = {"slot": 1, "pin": 0, "color": "probability"}
    return payload, page_html(payload, start, search_payload("dog", [(name, results[0], found)]))


def test_the_page_holds_its_data_and_nothing_else(
    results: tuple[LensResult, LensResult], image: Image.Image
) -> None:
    payload, page = saved(results, image)
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert json.loads(data)["still"] == payload
    around = page.replace(data, "")
    assert not any(sign in around for sign in ("src=", "href=", "://", "@import", "url("))
    assert "default-src 'none'" in page
    assert page.count("<script") == page.count("</script>") == 2


def test_no_word_or_name_can_leave_the_data(
    results: tuple[LensResult, LensResult], image: Image.Image
) -> None:
    words = results[0].words
    token = int(words.ids[0, 0, 0])
    text = words.strings[token]
    try:
        words.strings[token] = HOSTILE
        payload, page = saved(results, image, name=HOSTILE)
    finally:
        words.strings[token] = text
    assert page.count("<script") == page.count("</script>") == 2
    assert page.count("<!--") == 0
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert json.loads(data)["still"] == payload
    assert any(HOSTILE[:20] in word for word in payload["panes"][0]["strings"])


def test_true_words_are_known_where_all_have_the_same_patches(
    results: tuple[LensResult, LensResult],
) -> None:
    picture = SimpleNamespace(truth=lambda layout: "known")
    result, other = results
    assert downloads.truth_of(picture, [("one", result), ("two", other)]) == "known"
    layout = other.words.layout
    moved = replace(layout, boxes=layout.boxes + 1.0)  # as many, and elsewhere
    moved_result = replace(other, words=replace(other.words, layout=moved))
    assert downloads.truth_of(picture, [("one", result), ("two", moved_result)]) is None


@pytest.mark.long
def test_a_download_holds_no_image(
    results: tuple[LensResult, LensResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamlit keeps what makes a download as long as the session."""
    made = {}
    monkeypatch.setattr(
        download_buttons.st,
        "download_button",
        lambda label, data, **options: made.update({label: data}),
    )
    image = Image.new("RGB", (4, 3))
    picture = InputImage(OWN, image, image, "")
    cache = SimpleNamespace(result_again=lambda key, image: results[0])
    pane = Pane("one", ModelSpec("one"), (), results[0])
    start = SimpleNamespace(layer=0, patch=None, payload=dict)
    download_buttons.show_downloads(
        cache, [pane], picture, start, EncodedPayload("identity", b"{}"), None
    )
    assert made["Words (Parquet)"]().startswith(b"PAR1")
    assert made["Words (CSV)"]().startswith(b'"model"')
    del picture
    gc.collect()
    with pytest.raises(ImageError, match="make room"):
        made["Figure (PNG)"]()
