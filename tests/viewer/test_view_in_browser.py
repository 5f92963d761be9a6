"""The view of `Words.show` in a real Chromium: as a page, within a notebook's page, as a widget."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browser import open_browser
from made_layouts import quarters, words_on
from made_up_words import HOSTILE, made_up_words

import llavit_lens as ll
from llavit_lens.results.words import Words
from llavit_lens.viewer.viewer import Viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page

    Open = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

READING = "willReadFrequently"
"""Of a warning that these tests cause themselves."""
AROUND = "<!doctype html><meta charset='utf-8'><body style='margin: 0; width: {width}px'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page; in the end nothing may have gone wrong in it, or been asked of a network."""
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800})

    def opened(html: str, script: str = "", **options: Any) -> Page:
        path = tmp_path / "page.html"
        path.write_text(html, "utf-8")
        page = context.new_page()
        if options:
            page.set_viewport_size(options["size"])
        page.on("console", lambda m: None if READING in m.text else wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("request", lambda r: None if _is_local(r.url) else wrong.append(r.url))
        if script:
            page.add_init_script(script)
        page.goto(path.as_uri())
        return page

    yield opened
    context.close()
    assert not wrong


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:", "about:"))


def small(**options: Any) -> Words:
    return made_up_words(4, 5, **{"n_layers": 3, "k": 3, "sure": True, **options})


def in_notebook(viewer: Viewer, width: int = 960) -> str:
    return f"{AROUND.format(width=width)}<p>In [1]</p>{viewer._repr_html_()}"


def patch_center(place: Page | FrameLocator, words: Words, row: int, col: int) -> tuple[float, ...]:
    box = place.locator("canvas.picture").first.bounding_box()
    assert box is not None
    rows, columns = words.layout.grid[0]
    return (
        box["x"] + (col + 0.5) / columns * box["width"],
        box["y"] + (row + 0.5) / rows * box["height"],
    )


def test_in_a_notebook_it_answers_the_pointer_the_slider_and_a_search(open_page: Open) -> None:
    words = small(tracked=True)
    page = open_page(in_notebook(words.show(layer=1)))
    view = page.frame_locator("iframe")
    view.locator(".layer").wait_for()
    assert view.locator(".layer").text_content() == "layer 1 of 3"
    page.mouse.move(*patch_center(view, words, 2, 3))
    assert view.locator(".card .where").first.text_content() == "row 2, column 3"
    said = view.locator(".card b").all_text_contents()
    assert said == [word.word.strip() for word in words.at(1, 2, 3)]
    view.locator(".slide input").fill("3")
    assert view.locator(".layer").text_content() == "output (layer 3 of 3)"
    assert view.locator(".card b").first.text_content() == words.at(3, 2, 3)[0].word.strip()
    page.mouse.click(*patch_center(view, words, 1, 4))
    assert view.locator("h4").text_content() == "Patch at row 1, column 4"
    assert view.locator(".words tr").count() == 4


def best_of(words: Words, text: str) -> tuple[int, int, float]:
    """Layer, patch and probability of a word, by a plain loop."""
    sums = np.zeros(words.ids.shape[:2])
    for token, word in words.strings.items():
        if word.strip() == text:
            sums += (np.exp(words.values) * (words.ids == token)).sum(axis=2)
    layer, patch = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(layer), int(patch), float(sums[layer, patch])


def test_a_search_goes_over_the_words_at_hand_and_says_so(open_page: Open) -> None:
    words = small(tracked=True)
    words.ids[2, 7, :2] = [i for i, text in words.strings.items() if text == " sky"][:2]
    words.values[2, 7] = np.log([0.6, 0.397, 0.001])  # two tokens of one word are added
    page = open_page(words.show().to_html())
    found, find = page.locator(".found"), page.get_by_label("Find a word")
    find.fill("SKY")
    layer, patch, share = best_of(words, "sky")
    place = f"row {words.layout.row[patch]}, column {words.layout.col[patch]}"
    text = found.text_content()
    assert f"{'output (' if layer == 3 else ''}layer {layer} of 3" in text or layer == 0
    assert f"{place}: {100 * share:.0f} %." in text
    assert "Searched among the 3 likeliest words of each patch." in text
    assert page.get_by_label("What the colors show").input_value() == "word"
    found.get_by_role("button").click()
    assert page.locator("h4").text_content() == f"Patch at {place}"
    find.fill("nothing of the kind")
    assert "is not among the 3 likeliest words of each patch" in found.text_content()
    assert page.get_by_label("What the colors show").input_value() == "probability"
    find.fill("zebra")  # tracked: known everywhere, so nothing was left out
    assert "made up: likeliest at" in found.text_content()
    assert "Searched among" not in found.text_content()
    find.fill("")
    assert not found.is_visible()


@pytest.mark.parametrize("place", ["first", "last", "none"])
def test_tiles_are_shown_wherever_the_whole_image_stands(open_page: Open, place: str) -> None:
    words = words_on(small(), quarters(place, side=4, size=(56, 56)))
    page = open_page(words.show().to_html())
    tiles = page.get_by_label("Tiles in detail")
    page.locator(".layer").wait_for()
    box = page.locator("canvas.picture").bounding_box()
    assert box is not None
    at = (box["x"] + box["width"] * 7.5 / 8, box["y"] + box["height"] * 0.5 / 8)  # top right
    if place == "none":
        assert not tiles.count()
    else:
        page.mouse.click(*at)
        assert page.locator("h4").text_content() == "Patch at row 0, column 3, whole image"
        tiles.check()
    page.mouse.click(*at)
    tile = {"first": 2, "last": 1, "none": 1}[place]
    assert page.locator("h4").text_content() == f"Patch at row 0, column 3, tile {tile}"


def test_two_models_move_together(open_page: Open) -> None:
    left, right = small(), small(seed=1, n_layers=6, model="other")
    page = open_page(ll.show(left, right).to_html())
    assert page.locator(".name").all_text_contents() == ["made up", "other"]
    page.locator(".slide input").fill("2")
    current = page.locator(".thumbnail[aria-current]")
    assert current.all_text_contents() == ["2", "4"]
    chip = page.locator(".chip").first
    words = chip.text_content()
    chip.click()
    cards = [
        column.locator("tr.current td").first.text_content()
        for column in page.locator(".panel").all()
    ]
    assert all(card.split(" ")[0][:3] in words for card in cards)
    assert "By the 3 likeliest words" in page.locator(".apart").text_content()


def test_layers_that_were_not_read_are_matched_with_the_nearest(open_page: Open) -> None:
    left = small()
    right = small(seed=1, model="other")
    rows = [0, 3]
    for name in ("ids", "values", "logsumexp", "entropy"):
        setattr(right, name, getattr(right, name)[rows])
    right.layers = rows
    page = open_page(ll.show(left, right, layer=1).to_html())
    current = page.locator(".thumbnail[aria-current]")
    for slot, expected in enumerate([["0", "0"], ["1", "0"], ["2", "3"], ["3", "3"]]):
        page.locator(".slide input").fill(str(slot))
        assert current.all_text_contents() == expected


def test_a_cosine_alone_needs_no_slider(open_page: Open) -> None:
    words = small(kind="input_similarity")
    page = open_page(words.show().to_html())
    assert not page.locator(".slide").is_visible()
    assert page.get_by_label("What the colors show").locator("option").all_text_contents() == [
        "Probability"
    ]
    assert "cosine of the top word" in page.locator(".legend").text_content()


def test_words_and_names_are_text_whatever_they_hold(open_page: Open) -> None:
    words = small()
    words.strings = {
        token: HOSTILE[i % len(HOSTILE)] + str(i) for i, token in enumerate(words.strings)
    }
    for name in HOSTILE[:4]:
        viewer = words.show(titles=[name])
        page = open_page(in_notebook(viewer))
        view = page.frame_locator("iframe")
        view.locator(".layer").wait_for()
        assert view.locator(".name").text_content() == name
        assert page.locator("iframe").get_attribute("title").startswith(name)
        assert page.locator("b, img[src='']").count() == 0
        view.get_by_label("Find a word").fill("</script><b>0")
        assert page.locator("body > *").count() == 2


def test_it_is_seen_at_once_in_its_frame(open_page: Open) -> None:
    for words in (small(), made_up_words(24, 24, n_layers=28)):
        page = open_page(in_notebook(words.show()))
        view = page.frame_locator("iframe")
        view.locator(".layer").wait_for()
        page.wait_for_timeout(300)
        top, bottom = (view.locator(name).first.bounding_box() for name in (".slide", ".strip"))
        frame = page.locator("iframe").bounding_box()
        assert frame["height"] == 640
        assert top["y"] >= frame["y"]
        assert bottom["y"] + bottom["height"] <= frame["y"] + 640 + 1
        picture = view.locator("canvas.picture").bounding_box()
        assert picture["height"] >= 300
        assert view.locator(".scroller").bounding_box()["x"] > picture["x"] + picture["width"]


def test_on_a_telephone_the_image_has_the_width(open_page: Open) -> None:
    page = open_page(small().show().to_html(), size={"width": 390, "height": 700})
    page.wait_for_timeout(200)
    assert page.locator("canvas.picture").bounding_box()["width"] > 330


WATCH = """
const fill = CanvasRenderingContext2D.prototype.fillText;
window.drawn = [];
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  window.drawn.push([text, parseFloat(this.font.match(/([\\d.]+)px/)[1])]);
  return fill.call(this, text, x, y);
};
"""


def test_at_real_size_what_is_written_can_be_read(open_page: Open) -> None:
    words = made_up_words(24, 24, n_layers=2)
    page = open_page(words.show(layer=1).to_html(), WATCH)
    page.locator(".layer").wait_for()
    page.evaluate("window.drawn = []")
    page.get_by_label("How words are shown").select_option("each")
    page.get_by_label("How words are shown").select_option("merged")
    drawn = page.evaluate("window.drawn")
    assert 10 < len(drawn) < 576 and min(size for _, size in drawn) >= 8.5
    assert not any("\\\\u4e" in text or "\\\\u5" in text for text, _ in drawn)
    legend = page.locator(".legend").text_content()
    assert "fitted to this layer" in legend and "0 %100 %" not in legend
    # the image shines through: the sun is brighter than the sky, whatever the words' colors
    sky, sun = (_mean(page, words, where) for where in ((1, 1), (3, 16)))
    assert sun[0] > sky[0] + 40


def _mean(page: Page, words: Words, corner: tuple[int, int]) -> np.ndarray:
    """RGB of 3 x 3 patches."""
    data = page.locator("canvas.picture").evaluate(
        """(canvas, [row, col]) => {
          const side = canvas.width / 24;
          const part = canvas.getContext('2d').getImageData(col * side - side, row * side - side,
              3 * side, 3 * side);
          return Array.from(part.data);
        }""",
        list(corner),
    )
    return np.array(data).reshape(-1, 4)[:, :3].mean(axis=0)


def test_marks_tell_true_wrong_and_unknown_apart(open_page: Open) -> None:
    words = small(k=1)
    true = [words.strings[token].strip() for token in words.ids[1, :, 0].tolist()]
    truth = [[{true[i]}, {"never"}, None][i % 3] for i in range(20)]
    page = open_page(words.show(layer=1, truth=truth).to_html())
    page.get_by_label("How words are shown").select_option("each")
    marked = _pixels(page)
    page.get_by_label("Mark true words").uncheck()
    plain = _pixels(page)
    changed = [bool((a != b).any()) for a, b in zip(marked, plain, strict=True)]
    assert changed == [i % 3 != 1 for i in range(20)]
    green = [bool(((a[..., 1] > 150) & (a[..., 0] < 60) & (a != b).any(-1)).any())
             for a, b in zip(marked, plain, strict=True)]  # fmt: skip
    assert green == [i % 3 == 0 for i in range(20)]


def _pixels(page: Page) -> list[np.ndarray]:
    """What is drawn of each patch, without its edges."""
    data = page.locator("canvas.picture").evaluate(
        """canvas => Array.from({ length: 20 }, (_, i) => {
          const [w, h] = [canvas.width / 5, canvas.height / 4];
          const [x, y] = [(i % 5) * w + 2, Math.floor(i / 5) * h + 2];
          const part = canvas.getContext('2d').getImageData(x, y, w - 4, h - 4);
          return [part.width, part.height, Array.from(part.data)];
        })"""
    )
    return [np.array(cells).reshape(h, w, 4) for w, h, cells in data]


MODEL = """
const state = {state};
window.saved = [];
window.model = {{
  get: (name) => state[name],
  set: (name, value) => {{ state[name] = value; }},
  save_changes: () => window.saved.push(state.selected),
  on: () => {{}},
  off: () => {{}},
}};
"""


def test_a_click_in_the_widget_sets_the_trait(open_page: Open) -> None:
    pytest.importorskip("anywidget", reason="needs anywidget")
    from llavit_lens.viewer.widget import module

    words = small(tiles=2)
    # with the row "cos", slots are not layers
    widget = words.show(small(tiles=2, kind="input_similarity"), live=True, layer=2).widget
    state = json.dumps({"view": widget.view, "height": widget.height, "selected": None})
    source = base64.b64encode(module().encode()).decode()
    page = open_page(
        f"{AROUND.format(width=960)}<style>.card {{ display: none }}</style><div id='el'></div>"
        f"<script>{MODEL.format(state=state.replace('<', chr(92) + 'u003c'))}</script>"
        "<script type='module'>import(`data:text/javascript;base64,${`" + source + "`}`)"
        ".then(({ default: widget }) => { window.close_it = widget.render({ model: window.model, "
        "el: document.getElementById('el') }); });</script>"
    )
    page.locator(".layer").wait_for()
    assert page.locator(".layer").text_content() == "layer 2 of 3"
    page.mouse.click(*patch_center(page, words, 1, 3))
    page.wait_for_function("window.saved.length === 1")
    assert page.evaluate("window.saved.at(-1)") == [2, 1, 3, 0]
    assert page.locator(".card").first.is_visible()  # the notebook's own style stays outside
    page.locator(".slide input").fill("0")
    page.wait_for_function("window.saved.length === 2")
    assert page.evaluate("window.saved.at(-1)") == [0, 1, 3, 0]
    page.get_by_label("Tiles in detail").check()
    box = page.locator("canvas.picture").bounding_box()
    page.mouse.click(box["x"] + 0.95 * box["width"], box["y"] + 0.95 * box["height"])
    page.wait_for_function("String(window.saved.at(-1)) === '0,3,4,2'")
    page.keyboard.press("Escape")
    page.wait_for_function("window.saved.at(-1) === null")
    page.evaluate("window.close_it()")


@pytest.mark.long
def test_a_notebook_that_ran_shows_the_view(open_page: Open, tmp_path: Path) -> None:
    from notebooks import of_type, run_cells

    support = Path(__file__).parents[1] / "support"
    shown, shown_with, kept = run_cells(
        f"import sys; sys.path.insert(0, {str(support)!r})\n"
        "from made_up_words import made_up_words\n"
        "words = made_up_words(4, 5, 3, 3, sure=True)\nwords.show(layer=1)",
        "import llavit_lens as ll\nll.show(words, made_up_words(4, 5, 3, 3, seed=1), height=700)",
        "viewer = words.show()",
        folder=tmp_path,
    )
    assert kept == [] and of_type(shown, "image/png")
    (one,), (two,) = (of_type(outputs, "text/html") for outputs in (shown, shown_with))
    page = open_page(f"{AROUND.format(width=960)}{one}{two}")
    views = [page.frame_locator("iframe").nth(i) for i in (0, 1)]
    for view, panes in zip(views, (1, 2), strict=True):
        view.locator(".layer").wait_for()
        assert view.locator("canvas.picture").count() == panes
    assert views[0].locator(".layer").text_content() == "layer 1 of 3"


def test_without_iframes_the_still_image_is_seen(open_page: Open) -> None:
    import re

    html = re.sub("<iframe.*?</iframe>", "", in_notebook(small().show()), flags=re.S)
    page = open_page(re.sub(' style="[^"]*"', "", html))  # as GitHub leaves it
    assert page.locator("img").bounding_box()["width"] > 300
    assert page.locator("img").get_attribute("alt") == "made up: 4 layers, 20 patches"
