"""A corpus is searched, and a hit opened, in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import explorer_server, open_browser
from explorer_browser import DESKTOP, MILLISECONDS, is_foreign, link, pinned, settled

from llavit_lens.corpus.word_index import WordIndex

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_a_word_is_found_and_its_patch_opened(scenes: Path, tmp_path: Path) -> None:
    index, log = scenes / "index", tmp_path / "log.txt"
    hits = WordIndex(index).find("kite", limit=40).table
    number = int(hits["layer"].ne(hits["layer"][0]).idxmax())  # another layer than the best
    hit = hits.iloc[number]
    wrong: list[str] = []
    with explorer_server("--index", str(index), log=log) as address, open_browser() as browser:
        page = browser.new_page(viewport=DESKTOP)
        page.set_default_timeout(MILLISECONDS)
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: wrong.append(r.url) if is_foreign(r.url, address) else None)
        page.goto(f"{address}/?mode=corpus&model=demo:baseline")
        page.get_by_text("What is read most").wait_for()
        page.get_by_label("Find a word").fill("kite")
        page.keyboard.press("Enter")
        tiles = page.locator(".hit")
        tiles.first.wait_for()
        assert tiles.count() == len(hits)
        best = tiles.first.inner_text()
        assert f"layer {hits['layer'][0]}" in best and hits["source"][0] in best
        tiles.nth(number).focus()
        page.keyboard.press("Enter")
        page.locator("canvas.picture").first.wait_for()
        page.get_by_text("Take it with you").wait_for()
        settled(page)
        picture, layer = f"picture=corpus-{hit['image']}", f"layer={hit['layer']}"
        link(page, picture, layer, f"patch={hit['patch']}", "word=kite")
        assert f"row {hit['row']}, column {hit['col']}" in pinned(page)
        shown = "input" if hit["layer"] == 0 else f"layer {hit['layer']}"
        assert shown in page.locator(".layer").text_content()
        assert "kite" in pinned(page) and "LLaViT" in pinned(page)
        page.get_by_text("Corpus", exact=True).click()
        tiles.first.wait_for()
        assert tiles.count() == len(hits)  # the search is still there
    assert not wrong
    assert "Traceback" not in log.read_text()
