"""Run the notebooks from their plain sources, and store them with their outputs.

    python docs/notebooks/build.py           # all of them: beside each source, as .ipynb

They need `pip install -e '.[dev]'`. The same source and outputs give the same file.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
_CELL = re.compile(r"^# %%(?: \[(markdown)\])?\n", re.M)


def sources() -> list[Path]:
    """The notebooks' sources."""
    return sorted(path for path in FOLDER.glob("*.py") if path != Path(__file__))


def notebook_of(source: str) -> Any:
    """The notebook of a source, not yet run; what stands above its first cell is left out."""
    _, *parts = _CELL.split(source)
    cells = []
    for number, (kind, text) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        if kind == "markdown":
            text = re.sub(r"^# ?", "", text, flags=re.M)
        new = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        cells.append(new(text.strip(), id=f"cell-{number}"))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}
    )


def run(notebook: Any) -> Any:
    """The notebook with its outputs, run in an empty folder; an error in a cell is raised."""
    with tempfile.TemporaryDirectory() as folder:
        done = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
            coalesce_streams=True,
            store_widget_state=False,
        ).execute()
    done.metadata["language_info"] = {"name": "python"}  # not the version that ran it
    return done


if __name__ == "__main__":
    for path in sources():
        built = run(notebook_of(path.read_text("utf-8")))
        nbformat.validate(built)
        target = path.with_suffix(".ipynb")
        nbformat.write(built, target)
        print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")
