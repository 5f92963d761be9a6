"""What a person does with the explorer, in a real Chromium, without an error in its console."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browser import explorer_server, open_browser
from explorer_browser import (
    COUNT_RUNS,
    DESKTOP,
    MILLISECONDS,
    PHONE,
    center_of,
    color,
    is_foreign,
    link,
    pinned,
    rerun,
    saved,
    settled,
    soon,
)
from explorer_results import decoded
from PIL import Image

from llavit_lens.explorer.first_view import compute_first_view
from llavit_lens.miniature.world.scenes import example_names, sharper_path
from llavit_lens.miniature.world.scenes import example_path as path_of
from llavit_lens.results.words import Words
from llavit_lens.vlm.load import checkpoint_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    Visit = Callable[..., Page]
    Tops = tuple[np.ndarray, int]

# a server and a browser are not cheap: with pytest-xdist all of these run in one process
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SCRIPT = "<script>window.hacked=1</script>"
IMAGE = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def tops() -> Tops:
    """The top words of the first view, [layers, patches], and the layer where it starts."""
    first = compute_first_view()
    words, _, _ = decoded(first["still"]["panes"][0])
    return words[1:, :, 0], first["layer"]


@pytest.fixture(scope="module")
def hostile_folder(tmp_path_factory: pytest.TempPathFactory, tops: Tops) -> Path:
    """The demo LLaViT with markup for the top words of the first and the last patch."""
    words, layer = tops
    hostile = {words[layer, 0]: SCRIPT, words[layer, -1]: IMAGE}
    assert len(hostile) == 2
    folder = tmp_path_factory.mktemp("models") / "hostile"
    shutil.copytree(checkpoint_folder("demo:llavit"), folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {hostile.get(w, w): i for w, i in vocabulary.items()}
    path.write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, hostile_folder: Path) -> Iterator[str]:
    # from another folder: the settings beside the script count
    folder = tmp_path_factory.mktemp("elsewhere")
    log = folder / "log.txt"
    with explorer_server("--model", str(hostile_folder), folder=folder, log=log) as found:
        yield found
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """Opens the page; in the end nothing may have gone wrong in the browser."""
    wrong, contexts = [], []

    def open_page(query: str = "", viewport: dict[str, int] = DESKTOP, **options) -> Page:
        context = browser.new_context(viewport=viewport, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.add_init_script(COUNT_RUNS)
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: wrong.append(r.url) if is_foreign(r.url, address) else None)
        page.goto(f"{address}/{query}")
        page.locator("canvas.picture").first.wait_for()
        page.get_by_text("Take it with you").wait_for()
        settled(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def test_open_hover_click_and_move_the_slider(visit: Visit, tops: Tops) -> None:
    page = visit()
    assert page.locator(".layer").text_content().startswith("layer ")
    before = pinned(page)
    page.mouse.move(*center_of(page, 0, 0))
    card = page.locator(".card")
    assert card.is_visible() and "row 0, column 0" in card.text_content()
    words, layer = tops
    assert card.locator(".entry").count() == 5
    assert card.locator(".entry b").first.text_content() == words[layer, 0]
    page.mouse.click(*center_of(page, 7, 1))
    assert "row 7, column 1" in pinned(page) != before
    assert page.locator("h4").text_content() == "Patch at row 7, column 1"
    table = page.locator("table.words")
    assert table.locator("tr").count() == 8 and table.locator("td").count() == 8 * 5
    page.get_by_role("heading", name="The patch at row 7, column 1").wait_for()
    slider = page.locator(".slide input")
    slider.fill("7")
    assert page.locator(".layer").text_content() == "output (layer 6 of 6)"
    slider.fill("0")
    assert page.locator(".layer").text_content().startswith("input, by cosine")
    assert "cosine" in page.locator(".meaning").text_content()
    link(page, "layer=similarity", "patch=57")
    page.locator(".thumbnail").nth(3).click()
    assert page.locator(".layer").text_content() == "layer 2 of 6"
    page.locator(".go").nth(6).click()
    assert page.locator(".layer").text_content() == "layer 5 of 6"
    color(page).select_option("entropy")
    assert "entropy" in page.locator(".meaning").text_content()


def test_play(visit: Visit) -> None:
    page = visit()
    start = page.locator(".layer").text_content()
    page.get_by_label("Play through the layers").click()
    page.locator(".layer").get_by_text(start).wait_for(state="detached")
    page.get_by_role("button", name="Stop").click()
    rest = page.locator(".layer").text_content()
    page.wait_for_timeout(1000)
    assert page.locator(".layer").text_content() == rest


def test_keyboard(visit: Visit) -> None:
    page = visit("?patch=27&layer=2")
    canvas = page.locator("canvas.picture")
    canvas.focus()
    for key, place in (
        ("ArrowRight", "row 3, column 4"),
        ("ArrowDown", "row 4, column 4"),
        ("ArrowLeft", "row 4, column 3"),
        ("ArrowUp", "row 3, column 3"),
    ):
        page.keyboard.press(key)
        assert place in pinned(page)
    page.keyboard.press("PageUp")
    assert page.locator(".layer").text_content() == "layer 3 of 6"
    page.keyboard.press("+")
    page.keyboard.press("+")
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    assert "row 3, column 7" in pinned(page)  # and no further
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    assert "Click a patch" in page.locator(".panel").text_content()
    page.keyboard.press("Tab")
    focused = page.evaluate(
        "document.activeElement.shadowRoot?.activeElement.getAttribute('aria-label')"
    )
    assert focused  # the next control has the focus, and a name


def test_zoom_and_pan(visit: Visit) -> None:
    page = visit("?patch=0")
    page.locator("canvas.picture").scroll_into_view_if_needed()
    page.mouse.move(*center_of(page, 0, 0))
    page.keyboard.down("Control")
    for _ in range(2):
        page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    page.wait_for_timeout(200)
    x, y = center_of(page, 3, 3)
    page.mouse.click(x, y)
    assert re.search("row [01], column [01]", pinned(page))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 300, y, steps=5)
    page.mouse.up()
    before = pinned(page)
    page.mouse.click(x, y)
    assert pinned(page) != before
    page.get_by_role("button", name="Whole image").click()
    page.mouse.click(*center_of(page, 7, 7))
    assert "row 7, column 7" in pinned(page)


def test_search_a_word(visit: Visit, tops: Tops) -> None:
    words, layer = tops
    word = words[layer, 27]
    page = visit()
    box = page.get_by_label("Find a word")
    box.fill(word)
    box.press("Enter")
    found = page.locator(".found")
    found.get_by_text("likeliest at layer").wait_for()
    assert color(page).input_value() == "word"
    assert f"probability of “{word}”" in page.locator(".meaning").text_content()
    said = re.search(r"layer (\d) of 6, row (\d), column (\d)", found.text_content())
    with rerun(page):
        found.get_by_role("button").click()
    assert page.locator(".layer").text_content().startswith(("layer " + said[1], "input", "output"))
    assert f"row {said[2]}, column {said[3]}" in pinned(page)
    assert word in pinned(page)
    page.get_by_text(f"{word} (searched)").wait_for()
    link(page, "color=word")
    box.fill("")
    box.press("Enter")
    page.locator(".found").wait_for(state="hidden")
    assert color(page).input_value() == "probability"


def test_compare_two_models(visit: Visit) -> None:
    page = visit()
    page.get_by_role("radio", name="Compare two").click()
    page.locator("canvas.picture").nth(1).wait_for()
    names = page.locator("h3.name").all_text_contents()
    assert "baseline" in names[0] and "LLaViT" in names[1]
    chips = page.locator(".chip")
    assert chips.count() >= 1
    chips.first.click()
    page.mouse.click(*center_of(page, 6, 1, pane=1))
    places = page.locator("h4").all_text_contents()
    assert places == ["Patch at row 6, column 1"] * 2
    page.mouse.move(*center_of(page, 2, 2, pane=0))
    assert page.locator(".card:visible").count() == 2
    color(page).select_option("difference")
    assert "disagree" in page.locator(".meaning").text_content()


def switch(page: Page, label: str) -> None:
    """The switch of an intervention, pressed as a person does."""
    with rerun(page):
        page.get_by_test_id("stCheckbox").filter(has_text=label).locator("label").click()


def test_ablate(visit: Visit) -> None:
    page = visit("?patch=27")
    with rerun(page):
        page.get_by_role("radio", name="Ablate").click()
    page.locator("canvas.picture").nth(1).wait_for()
    assert "no visual attention (Eq. 5), all" in page.locator("h3.name").nth(1).text_content()
    switch(page, "The last token does not see the patches")
    names = page.locator("h3.name").all_text_contents()
    assert names[1].startswith("no visual attention (Eq. 5), all layers; the last token")
    assert page.get_by_text("lens layer 1 is what decoder layer 0 puts out").is_visible()
    with rerun(page):
        page.get_by_test_id("stSlider").get_by_role("slider").first.press("ArrowRight")
    names = page.locator("h3.name").all_text_contents()
    assert names[0] == "As it is"
    assert names[1].startswith("no visual attention (Eq. 5), decoder layers 1 to 5; the last")
    assert page.locator(".st-key-answers .stColumn").count() == 2
    page.locator(".slide input").fill("2")  # decoder layer 0 is as it was
    assert "The words are the same on both sides." in page.locator(".apart").text_content()
    page.locator(".slide input").fill("7")
    assert page.locator(".chip").count() >= 1
    again = visit(link(page, "mode=ablate", "visual_attention%3A1-5", "layer=6"))
    again.locator("canvas.picture").nth(1).wait_for()
    assert again.locator("h3.name").all_text_contents() == names
    with rerun(again):
        again.get_by_role("combobox", name="Take attention away in").click()
        again.get_by_role("option", name="words of both, after").click()
    assert again.locator(".st-key-answers .stColumn").count() == 4
    titles = again.locator("h3.name").all_text_contents()
    assert "baseline" in titles[0] and all("decoder layers 1 to 5" in title for title in titles)


@pytest.mark.parametrize("mode", ["compare", "ablate"])
def test_on_a_phone(visit: Visit, mode: str) -> None:
    page = visit(f"?mode={mode}", viewport=PHONE, has_touch=True, is_mobile=True)
    pictures = page.locator("canvas.picture")
    reach = PHONE["height"] / 2 + 60
    assert soon(page, lambda: pictures.first.bounding_box()["y"] < reach)  # much of it is seen
    tops = [pictures.nth(number).bounding_box()["y"] for number in range(2)]
    others = [page.locator(".panel").first, page.get_by_label("Find a word")]
    others += [page.locator(".st-key-answers .stColumn").first]
    assert all(other.bounding_box()["y"] > tops[1] for other in others)  # pictures first
    pictures.nth(1).evaluate("canvas => canvas.scrollIntoView({ block: 'end' })")
    box, slider = pictures.nth(1).bounding_box(), page.locator(".slide input")
    tools = slider.bounding_box()
    assert 0 < tools["y"] < box["y"] and tools["y"] < PHONE["height"]  # the slider is in reach
    x, y = box["x"] + box["width"] * 5.5 / 8, box["y"] + box["height"] * 4.5 / 8
    page.touchscreen.tap(x, y)
    cards = page.locator(".card:visible")
    assert cards.count() == 2 and "row 4, column 5" in cards.nth(1).text_content()
    assert cards.nth(1).locator(".entry").count() == 5
    before = cards.nth(1).text_content()
    page.touchscreen.tap(tools["x"] + tools["width"] - 3, tools["y"] + tools["height"] / 2)
    assert page.locator(".layer").text_content() == "output (layer 6 of 6)"
    assert cards.nth(1).text_content() != before  # its words at that layer
    page.touchscreen.tap(x, y)
    assert page.locator(".card:visible").count() == 0


def test_upload_a_picture_and_take_it_out_again(visit: Visit, tmp_path: Path) -> None:
    page = visit("?patch=5")
    picture = tmp_path / "wide.png"
    with Image.open(sharper_path(path_of(example_names()[3]))) as scene:
        scene.resize((600, 300)).save(picture)
    page.locator("input[type=file]").set_input_files(str(picture))
    page.locator(".truth").wait_for(state="detached")  # what is true of it is unknown
    link(page, "picture=own")
    box = page.locator("canvas.picture").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(2, rel=0.02)
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    page.locator("input[type=file]").set_input_files(str(tmp_path / "bad.png"))
    page.get_by_text("not an image that can be read").wait_for()


def test_paste_a_picture(visit: Visit) -> None:
    page = visit()
    paste = """async () => {
            const canvas = document.createElement('canvas');
            canvas.width = 300; canvas.height = 100;
            canvas.getContext('2d').fillRect(0, 0, 150, 100);
            const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
            const data = new DataTransfer();
            data.items.add(new File([blob], 'image.png', { type: 'image/png' }));
            document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }));
        }"""
    with rerun(page):
        page.evaluate(paste)
    page.locator(".truth").wait_for(state="detached")
    box = page.locator("canvas.picture").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(3, rel=0.02)


def test_downloads(visit: Visit, browser: Browser, tmp_path: Path) -> None:
    page = visit("?word=red&layer=3&patch=54")
    assert saved(page, "Figure (PNG)", tmp_path).read_bytes().startswith(b"\x89PNG")
    assert saved(page, "Figure (PDF)", tmp_path).read_bytes().startswith(b"%PDF")
    words = Words.load(saved(page, "Words (Parquet)", tmp_path))
    similarity = Words.load(saved(page, "Input similarity (Parquet)", tmp_path))
    assert (words.kind, similarity.kind) == ("logit_lens", "input_similarity")
    assert saved(page, "Words (CSV)", tmp_path).read_text().startswith('"model","lens","layer"')
    path = saved(page, "Web page (HTML)", tmp_path)
    check_saved_page(browser, path)


def check_saved_page(browser: Browser, path: Path) -> None:
    """The page on its own: no network, the same hover and slider."""
    context = browser.new_context(viewport={"width": 1280, "height": 1400}, offline=True)
    page, wrong = context.new_page(), []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(path.as_uri())
    assert page.locator(".layer").text_content() == "layer 3 of 6"
    assert "row 6, column 6" in pinned(page)
    assert "likeliest at layer" in page.locator(".found").text_content()
    page.mouse.move(*center_of(page, 0, 0))
    assert "row 0, column 0" in page.locator(".card").text_content()
    page.locator(".slide input").fill("7")
    assert page.locator(".layer").text_content() == "output (layer 6 of 6)"
    page.mouse.click(*center_of(page, 7, 7))
    assert "row 7, column 7" in pinned(page)
    assert page.locator("canvas.picture").evaluate(COLORS) > 50
    context.close()
    assert not wrong


COLORS = """canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) seen.add(data[i] << 16 | data[i+1] << 8 | data[i+2]);
    return seen.size;
}"""


def test_a_link_restores_the_view(visit: Visit) -> None:
    page = visit()
    page.mouse.click(*center_of(page, 2, 5))
    page.locator(".slide input").fill("5")
    color(page).select_option("entropy")
    page.get_by_label("Scale of the colors").select_option("layer")
    page.get_by_label("How words are shown").select_option("merged")
    parts = ("layer=4", "patch=21", "color=entropy", "scale=layer", "labels=merged")
    again = visit(link(page, *parts))
    assert again.locator(".layer").text_content() == "layer 4 of 6"
    assert "row 2, column 5" in pinned(again)
    assert color(again).input_value() == "entropy"
    assert again.get_by_label("Scale of the colors").input_value() == "layer"
    assert again.get_by_label("How words are shown").input_value() == "merged"
    third = visit(link(again, "layer=4") + "&word=red")
    assert third.locator(".found").get_by_text("likeliest").is_visible()
    assert color(third).input_value() == "entropy"
    again.reload()
    again.locator("canvas.picture").wait_for()
    assert "row 2, column 5" in pinned(again)


def test_words_that_are_markup_stay_words(
    visit: Visit, hostile_folder: Path, tmp_path: Path, browser: Browser
) -> None:
    page = visit("?model=" + str(hostile_folder))
    with rerun(page):
        page.mouse.click(*center_of(page, 7, 7))
    page.locator("table.words").get_by_text(IMAGE).first.wait_for()
    page.mouse.move(*center_of(page, 0, 0))
    page.locator(".card").get_by_text(SCRIPT).first.wait_for()
    page.locator(".js-plotly-plot").get_by_text(IMAGE[:20]).first.wait_for()
    page.get_by_label("Find a word").fill(IMAGE)
    with rerun(page):
        page.get_by_label("Find a word").press("Enter")
    page.locator(".found").get_by_text("likeliest").wait_for()
    # the colors turn to the word, which starts another run; files offered before it are gone then
    link(page, "color=word")
    settled(page)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    path = saved(page, "Web page (HTML)", tmp_path)
    alone = browser.new_page()
    alone.goto(path.as_uri())
    alone.locator("canvas.picture").wait_for()
    assert alone.evaluate("window.hacked") is None and alone.locator("img").count() == 0
    alone.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_the_screen_in_light_and_dark(
    visit: Visit, viewport: dict[str, int], scheme: str
) -> None:
    page = visit("?mode=compare&word=red", viewport=viewport, color_scheme=scheme)
    wide = page.evaluate(
        "document.querySelector('[data-testid=stMain]').scrollWidth - "
        "document.querySelector('[data-testid=stMain]').clientWidth"
    )
    assert wide <= 0
    for number in range(2):
        box = page.locator("canvas.picture").nth(number).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= viewport["width"]
    ink, paper = page.locator(".layer").evaluate(
        """element => {
            const ink = getComputedStyle(element).color;
            const paper = getComputedStyle(document.querySelector('.stApp')).backgroundColor;
            const parts = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
            return [ink, paper].map((color) => parts(color).reduce((a, b) => a + b) / 765);
        }"""
    )
    assert abs(ink - paper) > 0.5
    assert (paper > 0.5) == (scheme == "light")


def test_it_listens_on_this_machine_only(address: str) -> None:
    port = int(address.rpartition(":")[2])
    listening = [
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == port
    ]
    assert listening == [f"0100007F:{port:04X}"]


def test_a_layer_change_or_a_search_does_not_send_the_picture_again(visit: Visit) -> None:
    page = visit()
    received = []
    take = lambda frame: received.append(len(frame))  # noqa: E731  (Playwright marks what it calls)
    page.on("websocket", lambda socket: socket.on("framereceived", take))
    page.reload()
    page.get_by_text("Take it with you").wait_for()
    settled(page)
    assert max(received) > 100_000  # the first view itself, in one message
    page.locator("canvas.picture").focus()
    for key in ("PageDown", "PageDown", "ArrowLeft"):
        received.clear()
        with rerun(page):
            page.keyboard.press(key)
        assert 0 < max(received) < 20_000
    for word in ("sky", "red"):
        received.clear()
        with rerun(page):
            box = page.get_by_label("Find a word")
            box.fill(word)
            box.press("Enter")
        page.get_by_text(f"probability of “{word}”").wait_for()
        assert 0 < max(received) < 20_000


def test_the_link_is_copied(visit: Visit) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy link")
    button.click()
    page.get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    assert "image, model, question" in button.get_attribute("title")


def test_a_suggested_question_is_one_click(visit: Visit) -> None:
    page = visit()
    with rerun(page):
        page.get_by_text("What does the sign say?", exact=True).click()
    assert "prompt=What+does+the+sign+say" in link(page, "prompt=")
    answer = page.locator(".st-key-answers [data-testid=stMarkdown]")
    assert soon(page, lambda: answer.last.inner_text().strip() == "slow ✓")
