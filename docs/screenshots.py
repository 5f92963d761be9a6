"""Take the screenshots of the explorer for the README and the documents, from the running page.

    python docs/screenshots.py

Needs Chromium and the `dev` extra.
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/support")]

from browser import explorer_server, open_browser  # noqa: E402

from llavit_lens.disk import write_atomically  # noqa: E402
from llavit_lens.miniature.world.scenes import PATCH, example_truth  # noqa: E402

COLORS = 256
"""With a palette of this size a screenshot is a third as large, and it looks the same."""


def main() -> None:
    """Write docs/explorer*.png."""
    thing, row, col = largest_object()
    with (
        tempfile.TemporaryDirectory() as folder,
        explorer_server(log=Path(folder, "log")) as address,
        open_browser() as browser,
    ):
        page = open_page(browser, address, f"?patch={8 * row + col}", 1280, 960)
        hover(page, 2, 5)
        save(page, "explorer")

        page = open_page(browser, address, "?mode=compare&layer=5&color=difference", 1280, 1150)
        save(page, "explorer-compare")

        page = open_page(browser, address, f"?word={thing}&color=word&layer=2", 1280, 960, "dark")
        page.get_by_role("button", name="Show where").click()
        page.wait_for_timeout(1500)
        save(page, "explorer-search")

        switches = "visual_attention:0-2,last->visual"
        page = open_page(browser, address, f"?mode=ablate&ablation={switches}", 1280, 1550)
        save(page, "explorer-ablate")


def largest_object() -> tuple[str, int, int]:
    """Name of the largest object in the first example scene, and row and column of its patch."""
    scene = example_truth().scene
    thing = max(scene.objects, key=lambda thing: thing.width * thing.height)
    return thing.name, thing.y // PATCH, thing.x // PATCH


def open_page(
    browser: Any, address: str, query: str, width: int, height: int, scheme: str = "light",
) -> Any:  # fmt: skip
    """A page with all its words."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
    )
    page = context.new_page()
    page.goto(f"{address}/{query}")
    page.get_by_text("Take it with you").wait_for(timeout=120_000)
    page.wait_for_timeout(1500)
    return page


def center_of(page: Any, row: int, col: int) -> tuple[float, float]:
    """The center of a patch on the screen."""
    box = page.locator("canvas.picture").first.bounding_box()
    side = min(box["width"], box["height"]) / 8
    left = box["x"] + (box["width"] - 8 * side) / 2
    return left + (col + 0.5) * side, box["y"] + (row + 0.5) * side


def hover(page: Any, row: int, col: int) -> None:
    page.mouse.move(*center_of(page, row, col))
    page.wait_for_timeout(300)


def save(page: Any, name: str) -> None:
    path = REPOSITORY / "docs" / f"{name}.png"
    with write_atomically(path) as unfinished, Image.open(BytesIO(page.screenshot())) as screenshot:
        small = screenshot.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
        small.save(unfinished, optimize=True)
    page.context.close()
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
