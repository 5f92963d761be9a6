"""What a user takes along."""

import io
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image

from llavit_lens.explorer import downloads
from llavit_lens.explorer.payload import still_payload
from llavit_lens.explorer.pictures import OWN, Picture
from llavit_lens.explorer.search import moving_payload
from llavit_lens.lens.search import search

HOSTILE = "</script><script>window.hacked=1</script><!--"


@pytest.fixture
def picture(image):
    return Picture(OWN, image, image, "")


def test_tables_hold_both_lenses_of_all_models(readings):
    panes = [("one", readings[0]), ("two", readings[1])]
    parquet = pd.read_parquet(io.BytesIO(downloads.table_parquet(panes)))
    table = pd.read_csv(io.BytesIO(downloads.table_csv(panes)), keep_default_na=False)
    assert (
        len(parquet)
        == len(table)
        == sum(w.ids.size for r in readings for w in (r.words, r.similarity))
    )
    assert set(parquet["model"]) == {"one", "two"}
    assert set(parquet["lens"]) == {"logit_lens", "input_similarity"}
    assert parquet["word"].tolist() == downloads.table(panes)["word"].tolist()


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
