"""Progress in a notebook: no warning and nothing on stderr, with ipywidgets and without."""

from __future__ import annotations

from pathlib import Path

import pytest
from notebooks import of_type, printed, run_cells

pytestmark = pytest.mark.long

WITHOUT = "import sys\nsys.modules['ipywidgets'] = None  # as where it is not installed"
LOAD = "import llavit_lens as ll\nvlm = ll.load('demo:llavit')"
RESTORE = """
images = ["example:kite-moon", "example:house-grapes-stop-robot"]
restored = ll.restore_map(vlm, *images, "What is in the picture?", "kite", layers=[0])
"""
READ = """
from llavit_lens.printing import progress_bar
from time import sleep
for step in progress_bar(range(3), "<b>reading"):
    sleep(0.3)
list(progress_bar(iter("ab"), "counting"))
"""


@pytest.mark.parametrize("first", ["import sys", WITHOUT], ids=["widgets", "no widgets"])
def test_progress_is_seen_without_a_warning(first: str, tmp_path: Path) -> None:
    _, *cells = run_cells(first, LOAD, RESTORE, READ, folder=tmp_path)
    assert "".join(printed(outputs, "stderr") for outputs in cells) == ""
    loading, restoring, reading = cells
    assert loading == []
    texts = [of_type(outputs, "text/plain") for outputs in (restoring, reading)]
    assert "restorations in" in texts[0][0] and texts[0][-1].startswith("restoring: done in ")
    # what stays in the notebook's file is the last state of each bar
    assert texts[1][:2] == ["<b>reading: done in 1 s", "counting: done in 0 s"]
    assert not of_type(reading, "application/vnd.jupyter.widget-view+json")
