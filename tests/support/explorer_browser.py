"""Steps that tests take with the explorer in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MILLISECONDS = 90_000  # on a machine with other work, PyTorch alone may take half a minute
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

COUNT_RUNS = """(() => {
    window.runs = 0;
    const state = () => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState;
    let before = state();
    new MutationObserver((records) => {
        // a busy browser may report the start and the end of a run at once
        const ran = records.some(({ oldValue }) => oldValue && oldValue !== 'notRunning');
        const now = state();
        if (now === 'notRunning' && (ran || before !== now)) window.runs += 1;
        before = now;
    }).observe(document, {
        subtree: true, childList: true, attributeOldValue: true,
        attributeFilter: ['data-test-script-state'],
    });
})()"""
"""Counts how often the page's script ended, in `window.runs`."""


def is_foreign(url: str, address: str) -> bool:
    """Whether a request goes elsewhere than to the server."""
    port = address.rpartition(":")[2]
    return not re.match(rf"(data:|blob:|(http|ws)://127\.0\.0\.1:{port}/)", url)


def center_of(page: Page, row: int, col: int, pane: int = 0, grid: int = 8) -> tuple[float, float]:
    """The center of a patch on the screen, of a square image that is wholly visible."""
    canvas = page.locator("canvas.picture").nth(pane)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    side = min(box["width"], box["height"])
    left = box["x"] + (box["width"] - side) / 2
    return left + (col + 0.5) * side / grid, box["y"] + (row + 0.5) * side / grid


def settled(page: Page) -> None:
    """Wait until the page's script does not run."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def soon(page: Page, holds: Callable[[], bool]) -> bool:
    """Wait until a condition holds; the result says whether it does.

    Elements of a page that has just loaded may move for some frames.
    """
    for _ in range(MILLISECONDS // 100):
        if holds():
            return True
        page.wait_for_timeout(100)
    return False


@contextmanager
def rerun(page: Page) -> Iterator[None]:
    """Wait at the end until the page's script has run once more."""
    settled(page)
    before = page.evaluate("window.runs")
    yield
    page.wait_for_function("before => window.runs > before", arg=before)
    settled(page)


def link(page: Page, *parts: str) -> str:
    """The query of the page's address, once all these parts are in it."""
    page.wait_for_function(
        "parts => parts.every((part) => location.search.includes(part))", arg=list(parts)
    )
    return page.url[page.url.index("?") :]


def color(page: Page) -> Locator:
    """The choice of what the colors show."""
    return page.get_by_label("What the colors show")


def pinned(page: Page) -> str:
    """The text that says which patch is pinned."""
    return page.locator(".live").text_content()


def saved(page: Page, label: str, folder: Path) -> Path:
    """The file of a download button."""
    with page.expect_download() as started:
        page.get_by_role("button", name=label).click()
    path = Path(folder) / started.value.suggested_filename
    started.value.save_as(path)
    return path
