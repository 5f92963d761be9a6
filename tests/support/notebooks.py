"""Notebooks that run in a fresh kernel, as a person would run them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
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


def as_page(notebook: Any, style: str = "") -> str:
    """The notebook as a page: of each output the richest form, as JupyterLab chooses it."""
    parts = []
    for cell in notebook.cells:
        parts.append(f"<pre class={cell.cell_type}>{escape(cell.source)}</pre>")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if output.output_type == "stream":
                parts.append(f"<pre class={output.name}>{escape(output.text)}</pre>")
            elif "text/html" in data:
                parts.append(f"<div class=output>{data['text/html']}</div>")
            elif "image/png" in data:
                size = output.get("metadata", {}).get("image/png", {})
                sides = " ".join(f'{side}="{pixels}"' for side, pixels in size.items())
                parts.append(f'<img {sides} src="data:image/png;base64,{data["image/png"]}">')
            else:
                parts.append(f"<pre>{escape(data.get('text/plain', ''))}</pre>")
    body = "\n".join(parts)
    return f"<!DOCTYPE html><meta charset=utf-8><style>{_STYLE}{style}</style><body>{body}"


_STYLE = """
html { color-scheme: light dark; }
body { font: 14px/1.5 sans-serif; max-width: 940px; margin: 20px auto; }
.code { background: #8882; padding: 8px; } .markdown { font: inherit; white-space: pre-wrap; }
img { max-width: 100%; height: auto; } th, td { padding: 2px 8px; } .stderr { background: #f008; }
"""
