"""Notebooks that run in a fresh kernel, as a person would run them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]


def run_cells(*sources: str, folder: Path) -> list[list[Any]]:
    """The outputs of each cell, run one after another in a fresh kernel that sees this package."""
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = run_notebook(nbformat.v4.new_notebook(cells=cells), folder)
    return [cell.outputs for cell in notebook.cells]


def run_notebook(notebook: Any, folder: Path) -> Any:
    """The notebook with the outputs of its cells; an error in a cell is raised."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute(env=environment)


def of_type(outputs: Sequence[Any], mime: str) -> list[Any]:
    """What the outputs of a cell hold of one MIME type."""
    return [output.data[mime] for output in outputs if mime in output.get("data", {})]


def printed(outputs: Sequence[Any], stream: str) -> str:
    """What a cell wrote to "stdout" or "stderr"."""
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == stream)
