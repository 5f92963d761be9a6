"""What has to stay light: importing the package and asking for help; and names of modules."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import llavit_lens

HEAVY = ("torch", "transformers", "pandas", "matplotlib", "numpy", "PIL")


def loaded_after(code: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has loaded after running `code`."""
    report = f"import sys\n{code}\nprint('\\0', *(m for m in {HEAVY} if m in sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=120
    )
    return set(run.stdout.rpartition("\0")[2].split())


def test_the_package_is_light() -> None:
    assert loaded_after("import llavit_lens; assert llavit_lens.__version__") == set()
    assert "torch" in loaded_after("import llavit_lens; llavit_lens.load")  # the check can fail


@pytest.mark.parametrize(
    "arguments", [["--help"], ["lens", "--help"], ["demo", "train", "--help"], ["lens"]]
)
def test_help_and_usage_errors_are_light(arguments: list[str]) -> None:
    code = (
        "from llavit_lens.cli import main\n"
        f"sys.argv = {['llavit-lens', *arguments]!r}\n"
        "try: main()\n"
        "except SystemExit: pass\n"
    )
    assert loaded_after(code) == set()


def test_modules_that_are_imported_by_name_are_there() -> None:
    """`plot` of words, patterns and maps reaches up to `figures` so; no linter reads such names."""
    folder = Path(llavit_lens.__file__).parent
    by_name = re.compile(r'(\w+) = import_module\(\s*"([\w.]+)"\s*\)\s+return \1\.(\w+)')
    found = {
        match.groups()[1:]
        for file in folder.rglob("*.py")
        for match in by_name.finditer(file.read_text())
    }
    assert {module for module, _ in found} >= {
        f"llavit_lens.figures.{name}" for name in ("patch_words", "attention_map", "restore_map")
    }
    for module, name in found:
        assert callable(getattr(import_module(module), name)), (module, name)
