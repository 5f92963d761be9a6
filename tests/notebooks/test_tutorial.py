"""The tutorial: its stored outputs are whole and small, and it still runs as it stands."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from browser import open_browser
from notebooks import REPOSITORY, as_page, of_type, printed, run_notebook

FOLDER = REPOSITORY / "docs" / "notebooks"
TUTORIAL = FOLDER / "tutorial.ipynb"


def stored() -> Any:
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
    return nbformat.read(TUTORIAL, as_version=4)


def built_from_source(path: Path) -> Any:
    """The notebook of a source, as docs/notebooks/build.py makes it before it is run."""
    pytest.importorskip("nbclient", reason="needs nbclient")
    spec = importlib.util.spec_from_file_location("build_notebooks", FOLDER / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert path in build.sources()
    return build.notebook_of(path.read_text("utf-8"))


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def check_outputs(cells: list[Any]) -> None:
    """Every cell but assignments shows something, without an error or a warning."""
    for cell in cells:
        assert cell.outputs, f"this cell shows nothing:\n{cell.source}"
        assert all(output.output_type != "error" for output in cell.outputs)
        assert printed(cell.outputs, "stderr") == ""


def test_it_is_what_its_source_makes() -> None:
    source = built_from_source(TUTORIAL.with_suffix(".py"))
    assert [(c.cell_type, c.id, c.source) for c in stored().cells] == [
        (c.cell_type, c.id, c.source) for c in source.cells
    ], "run python docs/notebooks/build.py"


def test_its_stored_outputs_are_whole_and_small() -> None:
    cells = code_cells(stored())
    assert 10 <= len(cells) <= 14 and TUTORIAL.stat().st_size < 1_500_000
    check_outputs(cells)
    shown = [output for cell in cells for output in cell.outputs]
    assert len(of_type(shown, "image/png")) >= 2
    assert sum("<img" in html for html in of_type(shown, "text/html")) >= 4
    # nothing of the machine that made it
    text = TUTORIAL.read_text("utf-8")
    assert "/home/" not in text and "/tmp/" not in text and "/root" not in text


@pytest.mark.long
def test_it_runs_as_it_stands(tmp_path: Path) -> None:
    notebook = stored()
    before = [answer_texts(cell) for cell in code_cells(notebook)]
    for cell in code_cells(notebook):
        cell.outputs = []
    cells = code_cells(run_notebook(notebook, tmp_path))
    check_outputs(cells)
    # the model's words are those that the text around them speaks of
    assert [answer_texts(cell) for cell in cells] == before


def answer_texts(cell: Any) -> list[str]:
    """What a cell says in letters: lines that were printed, and values; not how long it took."""
    values = of_type(cell.outputs, "text/plain")
    texts = [printed(cell.outputs, "stdout"), *(v for v in values if "done in" not in v)]
    return [" ".join(text.split()) for text in texts]  # tables are set by pandas' release


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_page_shows_all_images(scheme: Any, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(as_page(stored()), "utf-8")
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: line.type == "error" and errors.append(line.text))
        page.goto((tmp_path / "page.html").as_uri(), wait_until="load")
        sizes = page.eval_on_selector_all(
            "img", "all => all.map(one => [one.naturalWidth, one.naturalHeight, one.width])"
        )
        assert len(sizes) >= 6 and all(min(size) > 0 for size in sizes)
        assert max(width for _, _, width in sizes) <= 960
        assert page.evaluate("document.documentElement.scrollHeight") < 10_000
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        view = page.frame_locator("iframe")  # of words.show()
        view.get_by_text("layer 4 of 6").first.wait_for()
        assert errors == []
