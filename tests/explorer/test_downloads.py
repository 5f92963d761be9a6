"""What a user takes along."""

import gc
import io
import json
import re
from dataclasses import replace
from types import SimpleNamespace
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from llavit_lens.errors import ImageError
from llavit_lens.explorer import downloads, panels
from llavit_lens.explorer.bench import Source
from llavit_lens.explorer.payload import still_payload
from llavit_lens.explorer.pictures import OWN, Picture
from llavit_lens.explorer.search import moving_payload
from llavit_lens.explorer.sides import Side
from llavit_lens.lens.search import search
from llavit_lens.results.words import Words

HOSTILE = "</script><script>window.hacked=1</script><!--"


@pytest.fixture
def picture(image):
    return Picture(OWN, image, image, "")


def test_tables_hold_both_lenses_of_all_models(readings):
    panes = [("one", readings[0]), ("two", readings[1])]
    table = pd.read_csv(io.BytesIO(downloads.table_csv(panes)), keep_default_na=False)
    assert len(table) == sum(w.ids.size for r in readings for w in (r.words, r.similarity))
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


def test_no_word_in_a_csv_is_a_formula(readings):
    words = readings[0].words
    tokens = list(words.strings)[: len(FORMULAS)]
    strings = words.strings | dict(zip(tokens, FORMULAS, strict=True))
    hostile = replace(readings[0], words=replace(words, strings=strings))
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
def test_parquet_files_load_again(readings, tmp_path, lens):
    path = tmp_path / "words.parquet"
    path.write_bytes(downloads.words_files([("one", readings[0])], lens))
    assert Words.load(path) == getattr(readings[0], lens)
    panes = [("LLaVA, as it is", readings[0]), ("LLaVA, as it is", readings[1])]
    with ZipFile(io.BytesIO(downloads.words_files(panes, lens))) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    assert names == ["1-llava-as-it-is.parquet", "2-llava-as-it-is.parquet"]
    for name, reading in zip(names, readings, strict=True):
        assert Words.load(tmp_path / name) == getattr(reading, lens)


@pytest.mark.parametrize("layer", [-1, 0, 2])
def test_figures(readings, picture, layer):
    panes = [("one", readings[0]), ("two", readings[1])]
    with Image.open(io.BytesIO(downloads.figure(panes, picture, layer, "png"))) as drawn:
        assert min(drawn.size) > 300
    assert downloads.figure(panes[:1], picture, layer, "pdf").startswith(b"%PDF")


def saved(readings, image, name="one"):
    still = still_payload([(name, readings[0])], image, 2)
    search_ = moving_payload(
        "dog", [(name, readings[0], search("dog", readings[0].trace, readings[0].words))]
    )
    start = {"slot": 1, "pin": 0, "color": "probability"}
    return still, downloads.page(still, start, search_)


def test_the_page_holds_its_data_and_nothing_else(readings, image):
    still, page = saved(readings, image)
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert json.loads(data)["still"] == still
    around = page.replace(data, "")
    assert not any(sign in around for sign in ("src=", "href=", "://", "@import", "url("))
    assert "default-src 'none'" in page
    assert page.count("<script") == page.count("</script>") == 2


def test_no_word_or_name_can_leave_the_data(readings, image):
    words = readings[0].words
    token = int(words.ids[0, 0, 0])
    text = words.strings[token]
    try:
        words.strings[token] = HOSTILE
        still, page = saved(readings, image, name=HOSTILE)
    finally:
        words.strings[token] = text
    assert page.count("<script") == page.count("</script>") == 2
    assert page.count("<!--") == 0
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert json.loads(data)["still"] == still
    assert any(HOSTILE[:20] in word for word in still["panes"][0]["strings"])


def test_true_words_are_known_where_all_have_the_same_patches(readings):
    picture = SimpleNamespace(truth=lambda layout: "known")
    reading, other = readings
    assert downloads.truth_of(picture, [("one", reading), ("two", other)]) == "known"
    layout = other.words.layout
    moved = replace(layout, boxes=layout.boxes + 1.0)  # as many, and elsewhere
    moved_reading = replace(other, words=replace(other.words, layout=moved))
    assert downloads.truth_of(picture, [("one", reading), ("two", moved_reading)]) is None


def test_a_download_holds_no_image(readings, monkeypatch):
    """Streamlit keeps what makes a download as long as the session."""
    made = {}
    monkeypatch.setattr(
        panels.st, "download_button", lambda label, data, **options: made.update({label: data})
    )
    image = Image.new("RGB", (4, 3))
    picture = Picture(OWN, image, image, "")
    bench = SimpleNamespace(again=lambda key, picture: readings[0])
    side = Side("one", Source("one"), (), readings[0])
    start = SimpleNamespace(layer=0, patch=None, payload=dict)
    panels.show_downloads(bench, [side], picture, start, b"identity\n{}\n", None)
    assert made["Words (Parquet)"]().startswith(b"PAR1")
    assert made["Words (CSV)"]().startswith(b'"model"')
    del picture
    gc.collect()
    with pytest.raises(ImageError, match="make room"):
        made["Figure (PNG)"]()
