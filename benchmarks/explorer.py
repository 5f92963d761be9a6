"""How long a person waits for the explorer: for the first words, and after a change of layer.

    python benchmarks/explorer.py --out explorer.json

Three times are measured. From the start of the server's process to words on the canvas of a browser
that waits for it. On the server, a run of the page's whole script after a change of layer, for
models of random weights with 576 and 2,880 visual tokens and 32 layers (read before, so that the
size of a model does not matter). In the browser, the redraw itself, which needs no server.
Needs Chromium and the `dev` extra.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/support")]

from browser import EXPLORER, explorer_process, explorer_server, open_browser  # noqa: E402

from llavit_lens.disk import write_text_atomically  # noqa: E402

TARGETS = {"open": 5000.0, "server, 576 patches": 150.0}
"""Most milliseconds, of the median; beyond them the command fails."""
LAYERS = 32
_PAINTED = """canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value, at) => at % 4 === 3 && value > 0);
}"""
_REDRAW = """(slider, count) => {
    const start = performance.now();
    for (let value = 0; value < count; value++) {
        slider.value = value;
        slider.dispatchEvent(new Event('input'));
    }
    return (performance.now() - start) / count;
}"""


def main(
    repeats: Annotated[int, typer.Option(help="Times that each is measured.", min=1)] = 5,
    out: Annotated[Path | None, typer.Option(help="Write the measurements here, as JSON.")] = None,
) -> None:
    """Measure and print a table."""
    times: dict[str, list[float]] = {"open": [opening() for _ in range(repeats)]}
    with tempfile.TemporaryDirectory() as folder:
        for patches in (576, 2880):
            model = Path(folder, f"random-{patches}")
            save_model(model, patches)
            times[f"server, {patches} patches"] = on_the_server(model, repeats)
            times[f"browser, {patches} patches"] = in_the_browser(model, repeats)
    table = Table("what", "median ms", "least", "most", "target", box=SIMPLE)
    for name, values in times.items():
        cells = [f"{f(values):.0f}" for f in (statistics.median, min, max)]
        table.add_row(name, *cells, f"{TARGETS[name]:.0f}" if name in TARGETS else "")
    Console().print(table)
    if out is not None:
        write_text_atomically(out, json.dumps(times, indent=1))
    missed = [name for name, most in TARGETS.items() if statistics.median(times[name]) > most]
    if missed:
        print(f"target missed: {'; '.join(missed)}", file=sys.stderr)
        raise typer.Exit(1)


def opening() -> float:
    """Milliseconds from the start of the process to words on the screen."""
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        with explorer_process(log=Path(folder, "log")) as address:
            while True:
                try:
                    page.goto(address, wait_until="commit")
                    break
                except Exception:  # not listening yet
                    time.sleep(0.02)
            canvas = page.locator("canvas.picture")
            canvas.wait_for()
            while not canvas.evaluate(_PAINTED):
                pass
            return 1000 * (time.perf_counter() - start)


def save_model(folder: Path, patches: int) -> None:
    """A LLaViT of random weights that sees an image in so many patches."""
    from tiny import tiny_llavit, tiny_processor, tiny_text_config, tiny_vision_config

    size = 168  # 24 x 24 patches of 7 pixels
    changes: dict[str, Any] = {}
    if patches == 2880:
        changes = {
            "image_aspect_ratio": "anyres",
            "mm_patch_merge_type": "flat",
            "image_grid_pinpoints": [[2 * size, 2 * size]],
        }
    model = tiny_llavit(
        vision_config=tiny_vision_config(image_size=size),
        text_config=tiny_text_config(
            num_hidden_layers=LAYERS, hidden_size=256, max_position_embeddings=4096
        ),
        image_seq_length=576,
        **changes,
    )
    processor = tiny_processor()
    processor.image_processor.size = {"shortest_edge": size}
    processor.image_processor.crop_size = {"height": size, "width": size}
    processor.set_resolution(model.config)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def on_the_server(model: Path, repeats: int) -> list[float]:
    """Milliseconds of the page's script, from top to bottom, after each change of layer."""
    from streamlit.logger import set_log_level
    from streamlit.testing.v1 import AppTest

    set_log_level("ERROR")  # it misses a browser, run after run
    sys.argv = [str(EXPLORER), "--model", str(model)]
    page = AppTest.from_file(str(EXPLORER), default_timeout=600)
    page.query_params["model"] = str(model)
    page.run()
    assert not page.exception and not page.error, (page.exception, page.error)
    times = []
    for number in range(repeats + 2):
        page.session_state["layer"] = number % LAYERS
        start = time.perf_counter()
        page.run()
        times.append(1000 * (time.perf_counter() - start))
    return times[2:]


def in_the_browser(model: Path, repeats: int) -> list[float]:
    """Milliseconds of a redraw, the mean over all layers."""
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        log = Path(folder, "log")
        with explorer_server("--model", str(model), log=log) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{address}/?model={model}")
            slider = page.locator(".slide input")
            slider.wait_for(timeout=300_000)
            page.get_by_text("Take it with you").wait_for(timeout=300_000)
            return [slider.evaluate(_REDRAW, LAYERS + 2) for _ in range(repeats)]


if __name__ == "__main__":
    typer.run(main)
