"""The pages of docs/recipes are programs that run.

The convention: every block of a page that starts with ```python is a part of one program, run from
top to bottom in one namespace, in a process of its own and without a network. Its folder holds two
example scenes, `scene.png` and `other.png`, and nothing else; the demo models are at hand as
"demo:llavit" and so on. Other blocks (```text, ```console) are only for reading. A page shows what
comes out with `assert`. One that needs packages which the library itself does not says so in a line
of its own near the top:

    Needs: nnsight, transformer_lens

(names as they are imported); its test is skipped where one of them is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
SCENES = ROOT / "llavit_lens" / "assets" / "scenes"
PAGES = sorted((ROOT / "docs" / "recipes").glob("[a-z]*.md"))  # all but the list in README.md
EXPECTED = {"hooks", "eq5", "knockouts", "patching", "attention", "transformer_lens", "nnsight"}
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"^Needs: (.+)$", re.MULTILINE)


def needed(page: str) -> list[str]:
    """The packages that a page names."""
    found = _NEEDS.search(page)
    return [] if found is None else re.split(r"[,\s]+", found[1].strip())


def program(page: str) -> str:
    """Its blocks, each on the lines where it stands in the page."""
    lines = [""] * (page.count("\n") + 1)
    for block in _BLOCK.finditer(page):
        first = page.count("\n", 0, block.start(1))
        body = block[1].splitlines()
        lines[first : first + len(body)] = body
    return "\n".join(lines)


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program from a file: nnsight reads the source of what it runs."""
    shutil.copy(SCENES / "kite-moon.png", folder / "scene.png")
    shutil.copy(SCENES / "tent-strawberry-taxi-zoo.png", folder / "other.png")
    script = folder / "recipe.py"
    script.write_text(code)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    return subprocess.run(
        [sys.executable, script.name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_no_recipe_is_missing() -> None:
    assert {page.stem for page in PAGES} >= EXPECTED
    listed = (ROOT / "docs" / "recipes" / "README.md").read_text()
    assert [name for name in sorted(EXPECTED) if f"({name}.md)" not in listed] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_recipe_runs(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    missing = [name for name in needed(text) if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    assert _BLOCK.search(text), "the page has no python block"
    done = run(program(text), tmp_path)
    assert done.returncode == 0, f"{page.name} (lines are those of the page):\n{done.stderr}"


def test_a_recipe_that_is_wrong_fails_at_its_line(tmp_path: Path) -> None:
    blocks = ["```python\nx = 1\n```", "```text\nno\n```", "```python\nassert x == 2\n```"]
    page = "\n\n".join(["# T\nNeeds: a, b", *blocks, ""])
    assert needed(page) == ["a", "b"] and needed("# T\n") == []
    done = run(program(page), tmp_path)
    assert done.returncode == 1
    assert "line 13" in done.stderr and "assert x == 2" in done.stderr
