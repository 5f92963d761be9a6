"""The view of the explorer with as many patches as real models have, in a real Chromium.

These tests use saved pages, which show the same view as the app.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browser import open_browser
from explorer_results import grid_result, result_of
from PIL import Image
from tiny_vlm import tiled_vlm, tiny_vlm

from llavit_lens.explorer.search_payload import search_payload
from llavit_lens.figures.style import PALETTE
from llavit_lens.lens.search import search as search_for
from llavit_lens.results.matching import matched_layer, partners
from llavit_lens.viewer.page import page_html
from llavit_lens.viewer.payload import words_payload

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    Visit = Callable[..., Page]

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SIDE = 24
GRAY = 128
LONG = "extraordinarily"
# every word on the canvas, with its position and size
WATCH = """
const fill = CanvasRenderingContext2D.prototype.fillText;
const clear = CanvasRenderingContext2D.prototype.clearRect;
window.drawn = [];
CanvasRenderingContext2D.prototype.clearRect = function (...args) {
  if (this.canvas.className === 'picture') window.drawn = [];
  return clear.apply(this, args);
};
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  window.drawn.push({ text, x, y, size: parseFloat(this.font.match(/([\\d.]+)px/)[1]) });
  return fill.call(this, text, x, y);
};
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    """Sky above grass, a dog on it, and one long word."""
    grid = np.full((SIDE, SIDE), "sky", object)
    grid[10:] = "grass"
    grid[15:18, 3:8] = "dog"
    grid[20, 20] = LONG
    return grid


@pytest.fixture(scope="module")
def probabilities() -> np.ndarray:
    """At the first layer all are about one in a thousand, at the last they differ widely."""
    rng = np.random.default_rng(0)
    flat = rng.uniform(0.001, 0.002, (SIDE, SIDE))
    return np.stack([flat, rng.uniform(0.01, 0.99, (SIDE, SIDE))])


@pytest.fixture
def visit(
    browser: Browser, words: np.ndarray, probabilities: np.ndarray, tmp_path: Path
) -> Iterator[Visit]:
    """Opens a saved page; in the end nothing may have gone wrong in the browser."""
    wrong, pages = [], []
    image = Image.new("RGB", (480, 480), (GRAY,) * 3)

    def open_page(
        result=None, truth=None, viewport=(940, 1000), other=None, apart=None, search=None, **start
    ):
        result = result or grid_result(words, probabilities, image)
        panes = [("model", result), *([("other", other)] if other else [])]
        still = words_payload(panes, image, 2, truth, apart)
        where = {"slot": 1, "pin": None, "color": "probability", "scale": "", "labels": ""}
        path = tmp_path / "page.html"
        path.write_text(page_html(still, {**where, **start}, search))
        page = browser.new_page(viewport={"width": viewport[0], "height": viewport[1]})
        pages.append(page)
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.add_init_script(WATCH)
        page.goto(path.as_uri())
        page.wait_for_function("document.querySelector('.layer').textContent")
        page.wait_for_timeout(200)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not wrong


def drawn(page: Page) -> list[tuple[str, int, int, float]]:
    """Texts on the image, each with the row and column of the patch in its center."""
    side = picture_of(page)["width"] / SIDE
    return [
        (found["text"], int(found["y"] / side), int(found["x"] / side), found["size"])
        for found in page.evaluate("window.drawn")
    ]


def picture_of(page: Page) -> dict[str, float]:
    canvas = page.locator("canvas.picture")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box["width"] == pytest.approx(box["height"], abs=1)
    return box


def choose(page: Page, label: str, value: str) -> None:
    page.get_by_label(label, exact=True).select_option(value)


def test_neighbors_with_the_same_word_share_a_label_that_lies_on_them(
    visit: Visit, words: np.ndarray
) -> None:
    page = visit()
    found = drawn(page)
    # the long word of a single patch could not be read
    assert Counter(text for text, *_ in found) == {"sky": 1, "grass": 1, "dog": 1}
    for text, row, col, size in found:
        assert words[row, col] == text and size >= 12
    assert "share a label" in page.locator(".note").text_content()
    assert "left out" in page.locator(".note").text_content()


def test_zoomed_in_every_label_is_in_view_and_whole(visit: Visit) -> None:
    page = visit(pin=20 * SIDE + 20)
    box = picture_of(page)
    page.mouse.move(box["x"] + 20.5 / SIDE * box["width"], box["y"] + 20.5 / SIDE * box["height"])
    page.keyboard.down("Control")
    page.mouse.wheel(0, -350)
    page.keyboard.up("Control")
    page.wait_for_timeout(200)
    found = page.evaluate("window.drawn")
    assert {each["text"] for each in found} == {"grass", LONG}
    assert all(0 < each["x"] < box["width"] and 0 < each["y"] < box["height"] for each in found)


def test_a_word_on_each_patch_or_none(visit: Visit, words: np.ndarray) -> None:
    page = visit(labels="each", viewport=(1500, 1400))
    found = drawn(page)
    assert len(found) == SIDE * SIDE
    for text, row, col, size in found:
        assert words[row, col].startswith(text.rstrip("…")) and len(text) > 2 and size >= 8.5
    choose(page, "How words are shown", "off")
    assert drawn(page) == []


def test_the_pointer_is_on_the_patch_that_is_named(visit: Visit) -> None:
    page = visit(labels="off")
    box, inset = picture_of(page), 0.15  # the frame's corners are round
    rng = np.random.default_rng(1)
    cells = [(0, 0), (0, 23), (23, 0), (23, 23), *rng.integers(0, SIDE, (12, 2)).tolist()]
    for row, col in cells:
        for down in (inset, 1 - inset):
            for right in (inset, 1 - inset):
                page.mouse.move(
                    box["x"] + (col + right) / SIDE * box["width"],
                    box["y"] + (row + down) / SIDE * box["height"],
                )
                said = page.locator(".card .where").first.text_content()
                assert said == f"row {row}, column {col}"
        page.mouse.down()
        page.mouse.up()
        assert page.locator("h4").text_content() == f"Patch at row {row}, column {col}"


def test_hovering_shows_the_patch_s_own_words(
    visit: Visit, words: np.ndarray, probabilities: np.ndarray
) -> None:
    page = visit(slot=2)
    box = picture_of(page)
    for row, col in ((3, 3), (16, 5), (20, 20)):
        page.mouse.move(
            box["x"] + (col + 0.5) / SIDE * box["width"],
            box["y"] + (row + 0.5) / SIDE * box["height"],
        )
        card = page.locator(".card")
        assert card.locator("b").all_text_contents() == [words[row, col], "second"]
        value = 100 * probabilities[1, row, col]
        said = float(card.locator(".entry span").first.text_content().removesuffix(" %"))
        assert said == pytest.approx(value, abs=0.51 if value >= 9.95 else 0.051)


def pixels(page: Page, image_side: int = 480) -> np.ndarray:
    """Colors of the image [SIDE, SIDE, 3] at a point of each patch without a line."""
    data = page.locator("canvas.picture").evaluate(
        """(canvas, side) => {
            const context = canvas.getContext('2d');
            const found = [];
            for (let row = 0; row < side; row++) for (let col = 0; col < side; col++) {
                const at = (i) => Math.round((i + 0.5) / side * canvas.width);
                found.push([...context.getImageData(at(col), at(row), 1, 1).data.slice(0, 3)]);
            }
            return found;
        }""",
        SIDE,
    )
    return np.array(data).reshape(SIDE, SIDE, 3)


def expected(share: np.ndarray) -> np.ndarray:
    """The palette over gray: higher values cover more."""
    share = np.clip(share, 0, 1)
    color = 255 * PALETTE(np.rint(share * 63) / 63)[..., :3]
    cover = (0.1 + 0.5 * share)[..., None]
    return cover * color + (1 - cover) * GRAY


@pytest.mark.parametrize("slot", [1, 2])
def test_colors_are_those_of_the_scale(visit: Visit, probabilities: np.ndarray, slot: int) -> None:
    page = visit(labels="off", slot=slot)
    p = probabilities[slot - 1]
    ranked = np.sort(p.ravel())
    low, high = ranked[[round(0.05 * (p.size - 1)), round(0.95 * (p.size - 1))]]
    shares = {
        "fixed": p,
        "layer": (p - low) / (high - low),
        "log": np.log(p / 1e-4) / np.log(1e4),
    }
    assert page.get_by_label("Scale of the colors").input_value() == ""
    for scale, share in {"": shares["layer" if slot == 1 else "fixed"], **shares}.items():
        choose(page, "Scale of the colors", scale)
        apart = np.abs(pixels(page) - expected(share)).max()
        assert apart <= 8, scale  # a step of the palette, for a value between two
    spread = {scale: np.ptp(expected(share)[..., 0]) for scale, share in shares.items()}
    assert spread["layer"] > 40  # even where the fixed scale is one dull color
    assert slot == 2 or spread["fixed"] < 3


def test_small_pictures_are_painted_anew_only_when_their_colors_change(visit: Visit) -> None:
    page = visit()
    page.evaluate("""() => {
        const fill = CanvasRenderingContext2D.prototype.fillRect;
        window.painted = 0;
        CanvasRenderingContext2D.prototype.fillRect = function (...args) {
            if (this.canvas.closest('.thumbnail')) window.painted += 1;
            return fill.apply(this, args);
        };
    }""")
    page.locator(".slide input").fill("2")
    page.locator("canvas.picture").click()
    assert page.locator("h4").text_content().startswith("Patch at row")
    assert page.evaluate("window.painted") == 0
    colors = page.evaluate(COLORS_OF_THUMBNAILS)
    choose(page, "What the colors show", "entropy")
    assert page.evaluate("window.painted") == 3 * (1 + SIDE * SIDE)
    assert page.evaluate(COLORS_OF_THUMBNAILS) != colors
    choose(page, "Scale of the colors", "layer")
    assert page.evaluate("window.painted") == 6 * (1 + SIDE * SIDE)


COLORS_OF_THUMBNAILS = "[...document.querySelectorAll('.thumbnail canvas')].map(c => c.toDataURL())"


def test_the_legend_says_the_numbers_of_the_scale(visit: Visit, probabilities: np.ndarray) -> None:
    page = visit()
    legend = page.locator(".legend")
    ranked = 100 * np.sort(probabilities[0].ravel())
    fitted = f"≤ {ranked[29]:.1f} %≥ {ranked[546]:.1f} %"
    assert legend.text_content().startswith(fitted)  # by itself: the layer is of one color
    assert "fitted to this layer" in legend.text_content()
    choose(page, "Scale of the colors", "fixed")
    assert legend.text_content().startswith("0 %100 %")
    assert "probability of the top word (here 0.1 % to 0" in legend.text_content()
    page.get_by_role("button", name="Fit the scale to this layer").click()
    assert legend.text_content().startswith(fitted)
    assert page.get_by_label("Scale of the colors").input_value() == "layer"
    assert not page.get_by_role("button", name="Fit the scale").is_visible()
    choose(page, "Scale of the colors", "log")
    assert (
        "≤ 0.01 %100 %" in legend.text_content() and "1.0 % in the middle" in legend.text_content()
    )
    choose(page, "What the colors show", "entropy")
    assert page.get_by_label("Scale of the colors").input_value() == ""


def test_marks_need_words(visit: Visit, words: np.ndarray, probabilities: np.ndarray) -> None:
    truth = [{"sky"}] * (SIDE * SIDE)
    page = visit(truth=truth)
    box = page.get_by_label("Mark true words")
    assert box.is_enabled()
    choose(page, "How words are shown", "off")
    assert box.is_disabled()
    choose(page, "How words are shown", "merged")
    assert box.is_enabled()


def test_only_a_wheel_with_control_zooms(visit: Visit) -> None:
    page = visit(viewport=(940, 500))
    canvas = page.locator("canvas.picture")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
    before, scrolled = page.evaluate("window.drawn.length"), page.evaluate("window.scrollY")
    page.mouse.wheel(0, 40)
    page.wait_for_function("y => window.scrollY > y", arg=scrolled)
    assert page.evaluate("window.drawn.length") == before
    page.keyboard.down("Control")
    scrolled = page.evaluate("window.scrollY")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Control")
    page.wait_for_timeout(200)
    assert page.evaluate("window.scrollY") == scrolled
    assert {each["text"] for each in page.evaluate("window.drawn")} != {"sky", "grass", "dog"}
    assert "Ctrl + wheel" in page.locator(".note").text_content()


def test_large_fills_the_width(visit: Visit) -> None:
    page = visit()
    before = picture_of(page)["width"]
    page.get_by_label("Large").check()
    page.wait_for_timeout(200)
    assert picture_of(page)["width"] > 1.3 * before


def test_tiles_are_one_lattice(visit: Visit, image: Image.Image) -> None:
    result = result_of(tiled_vlm("spatial"), image)
    page = visit(result, labels="merged")
    page.get_by_label("Tiles in detail").check()
    top = result.words.ids[0, :, 0]
    layout = result.words.layout
    shown = (layout.tile > 0) & layout.on_image
    page.wait_for_timeout(200)
    assert len(page.evaluate("window.drawn")) <= shown.sum()
    assert {result.words.strings[i].strip() for i in top[shown]} >= {
        each["text"].rstrip("…") for each in page.evaluate("window.drawn")
        if not each["text"].endswith("…") and each["text"].isalpha()
    }  # fmt: skip


COLOR = """canvas => [...canvas.getContext('2d').getImageData(
    Math.round(canvas.width / 2 + 5), Math.round(canvas.height / 2 + 5), 1, 1).data]"""


@pytest.mark.parametrize(("depth", "other"), [(6, 3), (3, 6), (5, 4)])
def test_models_of_other_depth_show_the_same_layer_and_difference(
    visit: Visit, words: np.ndarray, probabilities: np.ndarray, depth: int, other: int
) -> None:
    image = Image.new("RGB", (480, 480), (GRAY,) * 3)
    pair = [
        grid_result(words, np.repeat(probabilities[1:], n + 1, axis=0), image)
        for n in (depth, other)
    ]
    slots = depth + 2
    apart = np.repeat(np.arange(slots)[:, None] / slots, SIDE * SIDE, axis=1)
    page = visit(pair[0], other=pair[1], apart=apart, color="difference", labels="off")
    seen = set()
    for layer in range(depth + 1):
        page.locator(".slide input").fill(str(layer + 1))
        current = page.locator(".thumbnail[aria-current] span").all_text_contents()
        assert current == [str(layer), str(matched_layer(layer, depth, other))]
        left, right = (page.locator("canvas.picture").nth(i).evaluate(COLOR) for i in range(2))
        assert left == right
        seen.add(tuple(left))
    assert len(seen) == depth + 1


def test_a_place_on_a_tile_of_the_second_model_alone(visit: Visit, image: Image.Image) -> None:
    lead, other = result_of(tiny_vlm("llava"), image), result_of(tiled_vlm("llava_next"), image)
    pair = [("model", lead), ("other", other)]
    search = search_payload(
        "dog", [(name, r, search_for("dog", r.trace, r.words)) for name, r in pair]
    )
    layout = other.words.layout
    patch = int(np.flatnonzero((layout.tile > 1) & layout.on_image)[-1])
    search["panes"][1] |= {"patch": patch, "slot": 2}
    page = visit(lead, other=other, search=search)
    page.get_by_role("button", name="Show where other has it likeliest").click()
    places = page.locator("h4").all_text_contents()
    own = int(partners(layout, lead.words.layout)[patch])
    assert (
        places[0]
        == f"Patch at row {lead.words.layout.row[own]}, column {lead.words.layout.col[own]}"
    )
    assert "tile" in places[1]
    assert page.get_by_label("Tiles in detail").is_checked()


def test_the_focus_stays_and_the_browser_keeps_its_keys(visit: Visit) -> None:
    page = visit(pin=5)
    button = page.locator(".go").nth(2)
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator(".thumbnail[aria-current] span").text_content() == "1"
    assert page.locator(".go").nth(2).evaluate("button => button === document.activeElement")
    page.locator("canvas.picture").focus()
    page.keyboard.press("Control+ArrowRight")
    assert page.locator("h4").text_content() == "Patch at row 0, column 5"
    page.keyboard.press("ArrowRight")
    assert page.locator("h4").text_content() == "Patch at row 0, column 6"


def test_on_a_narrow_page_the_options_are_behind_a_button(visit: Visit) -> None:
    page = visit(viewport=(390, 844))
    color, more = page.get_by_label("What the colors show"), page.locator(".more")
    assert not color.is_visible() and page.locator(".legend").is_visible()
    more.focus()
    page.keyboard.press("Enter")
    assert color.is_visible() and more.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Enter")
    assert not color.is_visible() and more.get_attribute("aria-expanded") == "false"
    page.set_viewport_size({"width": 940, "height": 1000})
    assert color.is_visible() and not more.is_visible()
