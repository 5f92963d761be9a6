"""The contact sheet as a page: what it holds, and what a person does with it in Chromium."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import open_browser
from made_hits import GONE, color_of, made_hits, opener_of, painted
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.viewer import sheet
from llavit_lens.viewer.sheet import sheet_html, sheet_tiles

HOSTILE = "</script><b>&\u2028"
IMAGES = opener_of({n: painted(8, 14, n) for n in (0, 1, 2)})


def data_of(html: str) -> dict[str, Any]:
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])  # type: ignore[index]


def image_of(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))


def test_tiles_hold_small_images_and_the_patch() -> None:
    hits = made_hits([(1, 2, 5), (9, 0, 0)], patch=14)
    there, gone = sheet_tiles(hits, IMAGES, 5)
    left, top, right, bottom = there["whole"]["box"]
    assert (left, top, right, bottom) == (5 / 8, 2 / 8, 6 / 8, 3 / 8)
    for view in (there["whole"], there["near"]):
        image, box = image_of(view["url"]), view["box"]
        x, y = (box[0] + box[2]) / 2 * image.width, (box[1] + box[3]) / 2 * image.height
        error = np.abs(np.asarray(image)[int(y), int(x)].astype(int) - color_of(2, 5, 1))
        assert error.max() < 9  # a JPEG
        assert image.width / image.height == pytest.approx(view["shape"], abs=0.01)
    assert gone["fault"] == GONE and "whole" not in gone and "near" not in gone
    assert there["word"] == "dog" and there["value"] == "90.0%" and there["name"] == "folder/1.png"


def test_a_page_holds_an_image_once_and_no_markup_of_a_word() -> None:
    hits = made_hits([(0, 1, 1), (1, 2, 2), (0, 3, 3)], word=HOSTILE, token=HOSTILE, source=HOSTILE)
    html = sheet_html(hits, IMAGES)
    data = data_of(html)
    assert [tile["large"] for tile in data["tiles"]] == [0, 1, 0] and len(data["large"]) == 2
    assert HOSTILE not in html and "<b>" not in html
    assert data["tiles"][0]["name"] == HOSTILE
    assert not re.findall(r"(?:src|href)=|url\(", html.split('id="data"')[0])
    assert "default-src 'none'" in html


def test_a_page_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(256, size=(6, 300, 300, 3), dtype=np.uint8)
    opener = opener_of({n: Image.fromarray(pixels) for n, pixels in enumerate(noise)})
    hits = made_hits([(n, 1, 1) for n in range(6)], patch=37)
    sizes = []
    for most in (10**7, 10**5):
        monkeypatch.setattr(sheet, "MOST_BYTES", most)
        urls = data_of(sheet_html(hits, opener))["large"]
        assert sum(map(len, urls)) <= most
        sizes.append(image_of(urls[0]).width)
    assert sizes[0] == 300 > sizes[1] > 30
    with pytest.raises(ConfigurationError, match="most=201"):
        sheet_html(hits, opener, 201)


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_a_saved_sheet_is_looked_through_by_keyboard(tmp_path: Path) -> None:
    hits = made_hits([(0, 2, 5), (9, 0, 0), (1, 7, 0)])
    hits.sheet(tmp_path / "dog.html", images=IMAGES)
    wrong: list[str] = []
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 900, "height": 700})
        page.on("console", lambda message: wrong.append(message.text))
        page.on("request", lambda r: wrong.append(r.url) if "dog.html" not in r.url else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((tmp_path / "dog.html").as_uri())
        assert page.title() == "Where “dog” is read"
        assert page.get_by_role("listitem").count() == 3 and page.locator("img").count() == 4
        assert all(image.get_attribute("alt") for image in page.locator("img").all())
        view, mark = (
            page.locator(f".hit .{part}").first.bounding_box() for part in ("frame", "mark")
        )
        assert mark["x"] + mark["width"] / 2 == pytest.approx(
            view["x"] + view["width"] * 5.5 / 8, abs=1
        )
        assert mark["y"] + mark["height"] / 2 == pytest.approx(
            view["y"] + view["height"] * 2.5 / 8, abs=1
        )
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        assert dialog.locator("img").is_visible() and "row 2, column 5" in dialog.inner_text()
        page.keyboard.press("ArrowRight")
        assert GONE in dialog.inner_text() and "2 of 3" in dialog.inner_text()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert "row 7, column 0" in dialog.inner_text() and "folder/1.png" in dialog.inner_text()
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        focused = page.evaluate("document.activeElement.textContent")
        assert "row 7, column 0" in focused
    assert [request for request in wrong if not request.startswith("data:")] == []
