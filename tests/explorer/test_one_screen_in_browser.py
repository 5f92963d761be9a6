"""Cause and effect are on one screen: where the parts of the page lie, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from browser import explorer_server, open_browser
from explorer_browser import MILLISECONDS, PHONE, settled, soon

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

LAPTOP = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with explorer_server(log=tmp_path_factory.mktemp("one_screen") / "log.txt") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context(viewport=LAPTOP)
    found.set_default_timeout(MILLISECONDS)
    yield found
    found.close()


def opened(context: BrowserContext, address: str, query: str = "") -> Page:
    page = context.new_page()
    page.goto(f"{address}/{query}")
    page.get_by_text("Take it with you").wait_for()
    settled(page)
    return page


def is_inside(page: Page, part: Locator) -> bool:
    """Whether the whole part lies in the window, as it was opened."""
    box, window = part.bounding_box(), page.viewport_size
    return box is not None and (
        min(box["x"], box["y"]) >= 0
        and box["x"] + box["width"] <= window["width"]
        and box["y"] + box["height"] <= window["height"]
    )


@pytest.mark.parametrize("query", ["", "?mode=compare", "?mode=ablate"])
def test_cause_and_effect_are_on_one_screen(
    context: BrowserContext, address: str, query: str
) -> None:
    page = opened(context, address, query)
    images = page.locator("canvas.picture")
    assert soon(page, lambda: images.count() == (2 if query else 1))
    parts = {
        "slider": page.locator(".slide input"),
        "colors": page.get_by_label("What the colors show"),
        "zoom": page.get_by_role("button", name="Zoom in"),
        "search": page.get_by_label("Find a word"),
        "question": page.get_by_role("textbox", name="Ask"),
    }
    for number in range(images.count()):
        parts[f"image {number}"] = images.nth(number)
        parts[f"answer {number}"] = page.locator(".st-key-answers .stColumn").nth(number)
    if not query:
        parts["words of the patch"] = page.locator("table.words")
    if "ablate" in query:
        parts["effect"] = page.get_by_text("words changed on")
        for button in page.locator(".st-key-presets button:visible").all():
            parts[f"preset {button.text_content()}"] = button
        for switch in page.locator(".st-key-switches").get_by_test_id("stCheckbox").all():
            parts[switch.text_content()] = switch
        assert len(parts) == 5 + 4 + 1 + 9 + 10
    outside = {}

    def holds() -> bool:  # the view may still move for some frames
        outside.clear()
        outside.update({k: p.bounding_box() for k, p in parts.items() if not is_inside(page, p)})
        return not outside

    assert soon(page, holds), outside
    sides = [images.nth(number).bounding_box() for number in range(images.count())]
    assert all(side["width"] >= 320 and side["height"] >= 320 for side in sides)


def test_a_long_and_a_short_name_leave_both_images_at_the_same_height(
    context: BrowserContext, address: str
) -> None:
    switches = "visual_attention:0-1,visual->text:2-3,last->visual:2-4".replace(">", "%3E")
    page = opened(context, address, f"?mode=ablate&ablation={switches}")
    images = page.locator("canvas.picture")
    assert soon(page, lambda: images.count() == 2)
    names = [box.bounding_box() for box in page.locator("h3.name").all()]
    assert names[1]["height"] > 1.5 * names[0]["height"]  # two lines, one line
    first, second = (image.bounding_box() for image in images.all())
    assert (first["y"], first["height"]) == (second["y"], second["height"])


def test_one_click_asks_where_the_answer_comes_from(context: BrowserContext, address: str) -> None:
    page = opened(context, address, "?mode=ablate")
    page.get_by_role("button", name="Text, early").click()
    page.get_by_text("If the answer breaks, the model reads the image there.").first.wait_for()
    page.wait_for_function("location.search.includes('ablation=text-%3Evisual%3A0-2')")
    page.get_by_text("The answer is now wrong; no word on any patch changed").wait_for()
    page.get_by_role("button", name="Early off").click()
    page.get_by_text("words changed on").wait_for()
    assert page.locator(".st-key-presets .katex").count() >= 1  # Eq. 5 is set as a formula


def test_the_hint_is_shown_until_it_was_read(context: BrowserContext, address: str) -> None:
    page = opened(context, address)
    steps = page.locator(".about .steps")
    steps.wait_for()
    assert steps.locator("li").count() == 3
    page.get_by_role("button", name="Got it").click()
    steps.wait_for(state="hidden")
    again = opened(context, address)  # the browser remembers it
    again.locator(".about .what").wait_for()
    assert not again.locator(".about .steps").is_visible()


def test_a_link_shows_no_hint(context: BrowserContext, address: str) -> None:
    page = opened(context, address, "?layer=2")
    page.locator(".about .what").wait_for()
    assert not page.locator(".about .steps").is_visible()


def test_help_explains_the_terms_and_links_the_paper(context: BrowserContext, address: str) -> None:
    page = opened(context, address, "?layer=2")
    page.get_by_text("llavit-lens", exact=True).first.wait_for()
    page.get_by_test_id("stMain").get_by_test_id("stPopoverButton").filter(has_text="Help").click()
    page.get_by_text("Logit lens.").wait_for()
    for term in ("visual token", "cos (Eq. 4)", "Eq. 5.", "Eq. 8.", "LLaViT.", "Arrow keys"):
        page.get_by_text(term).first.wait_for()
    paper = page.get_by_role("link", name="the paper")
    assert paper.get_attribute("href") == "https://arxiv.org/abs/2511.10301"


def test_names_of_models_are_not_cut(context: BrowserContext, address: str) -> None:
    page = opened(context, address, "?model=demo:no_visual_attention")
    box = page.get_by_role("combobox", name="Model")
    assert box.evaluate("e => e.scrollWidth <= e.clientWidth"), box.input_value()
    box.click()
    for option in page.get_by_role("option").all():
        cut = "e => [e, ...e.querySelectorAll('*')].some((x) => x.scrollWidth > x.clientWidth + 1)"
        assert not option.evaluate(cut), option.text_content()


@pytest.mark.parametrize("mode", ["look", "compare", "ablate"])
def test_a_phone_shows_the_image_first(browser: Browser, address: str, mode: str) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    context.set_default_timeout(MILLISECONDS)
    page = opened(context, address, f"?mode={mode}")
    image = page.locator("canvas.picture").first
    assert soon(page, lambda: is_inside(page, image)), image.bounding_box()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    row = page.locator(".strip").first
    assert soon(page, lambda: "fades-right" in row.get_attribute("class"))  # there is more
    row.evaluate("row => { row.scrollLeft = row.scrollWidth; }")
    assert soon(page, lambda: row.get_attribute("class") == "strip fades-left")
    if mode == "ablate":
        assert page.get_by_text("words changed on").bounding_box()["y"] < image.bounding_box()["y"]
        page.get_by_test_id("stExpandSidebarButton").tap()
        switch = page.get_by_test_id("stCheckbox").last
        assert soon(page, lambda: switch.bounding_box()["y"] < PHONE["height"])
    context.close()
