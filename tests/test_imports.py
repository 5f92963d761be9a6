"""What has to stay light: importing the package and asking for help."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
