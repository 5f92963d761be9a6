"""Programs that run in the process of a test: `llavit-lens` and the scripts of `analyses/`."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llavit_lens import cli

Program = Callable[..., tuple[int, str, str]]
"""Takes arguments; returns exit code, stdout and stderr."""

ANALYSES = Path(__file__).parents[2] / "analyses"


def _program(
    main: Callable[[], object],
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", arguments)
    capsys.readouterr()
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, *capsys.readouterr()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs `llavit-lens`, in a terminal of 200 columns."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "200")
        return _program(cli.main, ["llavit-lens", *map(str, arguments)], capsys, monkeypatch)

    return run


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs a script of `analyses/`, which the first argument names."""

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        def main() -> object:
            return runpy.run_path(str(ANALYSES / name), run_name="__main__")

        return _program(main, [name, *map(str, arguments)], capsys, monkeypatch)

    return run
