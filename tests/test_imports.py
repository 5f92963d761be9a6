"""What has to stay light: importing the package and asking for help; and names of modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from loaded import loaded_after

import llavit_lens


@pytest.mark.long
def test_the_package_is_light() -> None:
    assert loaded_after("import llavit_lens; assert llavit_lens.__version__") == set()
    assert "torch" in loaded_after("import llavit_lens; llavit_lens.load")  # the check can fail


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["lens", "--help"],
        ["demo", "train", "--help"],
        ["lens"],
        ["lens", "no such file.png"],
        ["lens", "--model", "./no such folder"],
        ["readability", "--scenes", "0"],
    ],
)
def test_help_and_usage_errors_are_light(arguments: list[str]) -> None:
    code = (
        "from llavit_lens.cli import main\n"
        f"sys.argv = {['llavit-lens', *arguments]!r}\n"
        "try: main()\n"
        "except SystemExit: pass\n"
    )
    assert loaded_after(code) == set()


@pytest.mark.long
def test_words_that_are_printed_cost_no_table_and_no_figure() -> None:
    """Of what `llavit-lens lens` imports without --out, only what it needs."""
    code = "import llavit_lens.commands.word_tables, llavit_lens.lens.logit_lens"
    assert loaded_after(code) == {"torch", "transformers", "numpy", "PIL"}


def test_names_of_modules_stand_in_two_tables_only() -> None:
    """No linter reads them. Each table has a test that all its names are there.

    (Processors are in modules of transformers that the config names.)
    """
    folder = Path(llavit_lens.__file__).parent
    calls = re.compile(r"\b(?:import_module|__import__)\(")
    by_name = {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*.py")
        if calls.search(file.read_text())
    }
    assert by_name == {"__init__.py", "results/plotting.py", "model/image_only.py"}
