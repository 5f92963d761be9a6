"""What has to stay light: importing the package and asking for help; and names of modules."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from loaded import loaded_after

import llavit_lens


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
