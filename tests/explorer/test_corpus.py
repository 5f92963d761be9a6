"""The page that searches a corpus, without a browser: what it shows, opens and refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from corpus_of_scenes import PROMPT, SCENES, copied
from explorer_page import SECONDS, ShownView, link_of
from streamlit.testing.v1 import AppTest

from llavit_lens.corpus.word_index import WordIndex
from llavit_lens.explorer import component, corpus
from llavit_lens.explorer.corpus_code import corpus_code
from llavit_lens.explorer.corpus_search import view_of_hit
from llavit_lens.explorer.offered_models import OfferedIndexes
from llavit_lens.explorer.view import View, corpus_picture, number_in_corpus
from llavit_lens.images.open import open_image
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE, example_path

pytestmark = pytest.mark.long

Sheets = list[SimpleNamespace]


@pytest.fixture
def index(scenes: Path) -> Path:
    return scenes / "index"


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> Sheets:
    """The contact sheets that the page sends to the browser, run after run."""
    sent: Sheets = []
    monkeypatch.setattr(
        component,
        "show_sheet",
        lambda tiles, identity, on_hit: sent.append(
            SimpleNamespace(tiles=tiles, identity=identity, on_hit=on_hit)
        ),
    )
    return sent


@pytest.fixture
def open_page(
    shown: list[ShownView], sheets: Sheets, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AppTest]:
    """Opens the page with these options on its command line, at a link."""

    def open_page(*options: str, **query: str) -> AppTest:
        script = f"from llavit_lens.explorer.page import main; main({list(options)!r})"
        page = AppTest.from_string(script, default_timeout=SECONDS)
        page.query_params.update(query)
        page.run()
        assert not page.exception
        return page

    return open_page


def click(page: AppTest, sheet: Any, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a click on a hit does: AppTest has no such component."""
    with monkeypatch.context() as patch:
        patch.setattr(component, "chosen_hit", lambda identity, most: number)
        patch.setattr("streamlit.session_state", page.session_state)
        sheet.on_hit()


def said(page: AppTest) -> str:
    parts = [*page.caption, *page.markdown, *page.subheader, *page.info]
    return " ".join(element.value for element in parts).replace("\\", "")


def test_a_word_is_searched_in_the_corpus(
    open_page: Callable[..., AppTest], sheets: Sheets, index: Path
) -> None:
    page = open_page("--index", str(index), mode="corpus")
    assert not page.error and not sheets and "Type a word" in said(page)
    assert f"{len(SCENES)} images" in said(page) and "LLaViT (demo:llavit)" in said(page)
    page.text_input(key="word").set_value("kite").run()
    assert not page.exception and not page.error and not page.warning
    hits = WordIndex(index).find("kite", limit=40)
    assert [tile["value"] for tile in sheets[-1].tiles][:2] == [
        f"{value:.1%}" for value in hits.table["probability"][:2]
    ]
    assert "Where “kite” is read" in said(page)
    assert link_of(page)["word"] == "kite" and link_of(page)["mode"] == "corpus"
    page.selectbox(key="at").set_value(6).run()
    page.slider(key="least").set_value(5).run()
    hits = WordIndex(index).find("kite", 6, 0.05, limit=40)
    assert 0 < len(hits) == len(sheets[-1].tiles)
    assert all("layer 6" in tile["where"] for tile in sheets[-1].tiles)
    page.segmented_control(key="per").set_value("image").run()
    assert len(sheets[-1].tiles) == hits.table["image"].nunique() < len(hits)
    code = page.code[0].value
    assert 'find("kite", layer=6, min_probability=0.05, per="image", limit=' in code
    table = page.dataframe[0].value
    assert list(table["layer"]) == [0, 3, 6] and "%" in table["1."][0]
    newlines = WordIndex(index).newlines()["per_cent"]
    assert table["newline"].tolist() == pytest.approx(newlines.tolist())


def test_a_link_gives_back_the_search(
    open_page: Callable[..., AppTest], sheets: Sheets, index: Path
) -> None:
    query = {"mode": "corpus", "word": "kite", "at": "3", "least": "2", "per": "image"}
    page = open_page("--index", str(index), **query)
    assert not page.error and not page.warning and sheets[-1].tiles
    link = link_of(page)
    assert {name: link[name] for name in query} == query and link["index"] == str(index)


@pytest.mark.parametrize("number", [0, 3])
def test_a_hit_opens_its_image_at_that_patch_and_layer(
    open_page: Callable[..., AppTest],
    sheets: Sheets,
    shown: list[ShownView],
    index: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    page = open_page("--index", str(index), mode="corpus", word="kite", model="demo:baseline")
    hit = WordIndex(index).find("kite", limit=40).table.iloc[number]
    click(page, sheets[-1], number, monkeypatch)
    page.run()
    assert not page.exception and not page.error and not page.warning
    start = shown[-1].start
    assert start["slot"] == hit["layer"] + 1 and start["pin"] == hit["patch"]
    assert "LLaViT" in shown[-1].names[0] and shown[-1].search["word"] == "kite"
    image = open_image(example_path(SCENES[hit["image"]]))
    assert page.session_state["corpus_image"][1].image.pixels.tobytes() == image.tobytes()
    link = link_of(page)
    assert link["picture"] == f"corpus-{hit['image']}" and link["layer"] == str(hit["layer"])
    assert link["prompt"] == PROMPT  # what the model was asked when it read the corpus
    again = open_page("--index", str(index), **link)
    assert not again.error and not again.warning
    assert again.session_state["picture"] == link["picture"]


def test_a_model_that_is_not_offered_waits(
    open_page: Callable[..., AppTest],
    sheets: Sheets,
    scenes: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    other = copied(scenes, tmp_path, model="some/model")
    page = open_page("--index", str(other), mode="corpus", word="kite")
    click(page, sheets[-1], 0, monkeypatch)
    page.run()
    assert "This corpus was read by the model some/model" in page.warning[0].value.replace("\\", "")
    assert page.button(key="load_model") and page.session_state["model"] == "demo:llavit"
    public = open_page("--public", "--index", str(other), mode="corpus", word="kite")
    click(public, sheets[-1], 0, monkeypatch)
    public.run()
    assert "which this page does not offer" in public.warning[0].value


def test_a_word_that_is_not_there(
    open_page: Callable[..., AppTest], sheets: Sheets, index: Path
) -> None:
    page = open_page("--index", str(index), mode="corpus", word="xyzzy!")
    assert not sheets and len(page.warning) == 1 and "cannot say" in page.warning[0].value
    assert page.dataframe  # the rest is there
    page.text_input(key="word").set_value("kite").run()
    page.slider(key="least").set_value(99).run()
    assert not page.error and "Nowhere in" in said(page)


def test_without_an_index_the_page_says_how_one_is_made(
    open_page: Callable[..., AppTest], sheets: Sheets, tmp_path: Path
) -> None:
    page = open_page(mode="corpus")
    assert not page.error and "holds the words that a model reads" in said(page)
    assert "llavit-lens scan IMAGES" in page.code[0].value and "--index" in page.code[0].value
    page = open_page("--index", str(tmp_path), mode="corpus", word="kite")
    assert len(page.error) == 1 and "is no index" in page.error[0].value and page.code
    assert not sheets


def test_an_image_that_is_gone_is_said(
    open_page: Callable[..., AppTest],
    sheets: Sheets,
    scenes: Path,
    tmp_path: Path,
) -> None:
    index = copied(scenes, tmp_path)
    link = {"picture": "corpus-0", "layer": "3", "patch": "5"}
    for file in (tmp_path / "photos").iterdir():
        file.unlink()
    example = tmp_path / "photos" / "z.png"
    example.write_bytes(example_path(FIRST_EXAMPLE).read_bytes())
    page = open_page("--index", str(index), **link)
    assert "The image is not there any more" in page.error[0].value.replace("\\", "")
    page = open_page("--index", str(index), mode="corpus", word="kite")
    assert {tile["fault"] for tile in sheets[-1].tiles} == {"The image is not there any more."}


def test_a_public_page_opens_no_other_index_and_shows_no_folder(
    open_page: Callable[..., AppTest], sheets: Sheets, index: Path, scenes: Path, tmp_path: Path
) -> None:
    other = copied(scenes, tmp_path)
    page = open_page(
        "--public", "--index", str(index), mode="corpus", word="kite", index=str(other)
    )
    assert "has not opened" in page.warning[0].value and str(tmp_path) not in page.warning[0].value
    assert sheets and str(index) not in sheets[-1].tiles[0]["name"]
    assert not [box for box in page.selectbox if box.key == "index"]
    assert str(index.parent) not in said(page) + page.code[0].value + str(link_of(page))
    page.session_state["index"] = str(other)  # whatever a browser sends
    page.run()
    assert "not among the indexes of this page" in page.error[0].value
    assert str(tmp_path) not in page.error[0].value
    none = open_page("--public", mode="corpus")
    assert not none.segmented_control(key="mode").options or "Corpus" not in (
        none.segmented_control(key="mode").options
    )


def test_a_link_opens_no_index_by_itself(
    open_page: Callable[..., AppTest], sheets: Sheets, scenes: Path, tmp_path: Path
) -> None:
    index = copied(scenes, tmp_path)
    page = open_page(mode="corpus", word="kite", index=str(index), picture="corpus-1")
    assert not sheets and "has not opened" in page.warning[0].value
    open_page("--index", str(index), mode="corpus")  # now a user has opened it
    again = open_page(mode="corpus", word="kite", index=str(index))
    assert not again.warning and not again.error and sheets


def test_an_index_is_opened_once_until_it_grows(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (corpus.open_corpus(str(index)) for _ in range(2))
    assert first is second
    (index / "images" / "note").write_text("")
    (index / "images" / "note").unlink()
    assert corpus.open_corpus(str(index)) is not first


def test_names_of_images_and_views_of_hits(index: Path) -> None:
    assert number_in_corpus(corpus_picture(12)) == 12
    assert [number_in_corpus(text) for text in ("own", "corpus-", "corpus-x", "corpus-1 ")] == [
        None
    ] * 4
    hits = WordIndex(index).find("kite")
    row = hits.table.iloc[1]
    view = view_of_hit(View(mode="corpus", word="kite"), hits, 1, "What?")
    assert (view.mode, view.picture, view.layer, view.patch, view.prompt, view.word) == (
        "look", f"corpus-{row['image']}", row["layer"], row["patch"], "What?", "kite",
    )  # fmt: skip
    assert "limit=20" in corpus_code("i", View(word='a"b'), hits)
    assert 'find("a\\"b", limit' in corpus_code("i", View(word='a"b'), hits)
    assert OfferedIndexes(("/a/b", "/c/b"), True).to_link("/c/b") == "b #2"


@pytest.mark.parametrize(
    "state",
    [{}, {"hit": None}, {"hit": 3}, {"hit": {"number": 2, "identity": "other"}},
     {"hit": {"number": 9, "identity": "x"}}, {"hit": {"number": -1, "identity": "x"}},
     {"hit": {"number": True, "identity": "x"}}, {"hit": {"number": "1", "identity": "x"}}],
)  # fmt: skip
def test_what_the_browser_sends_of_a_hit_is_checked(
    monkeypatch: pytest.MonkeyPatch, state: dict[str, Any]
) -> None:
    monkeypatch.setattr(component.st, "session_state", {component.SHEET_KEY: state})
    assert component.chosen_hit("x", 9) is None
    good = {"hit": {"number": 8, "identity": "x"}}
    monkeypatch.setattr(component.st, "session_state", {component.SHEET_KEY: good})
    assert component.chosen_hit("x", 9) == 8
