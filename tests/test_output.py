"""Files of reports are written before anything is printed, which may fail at any line."""

from __future__ import annotations

import ast
import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_image, tiny_llavit, tiny_processor

import llavit_lens
from llavit_lens.commands.input_similarity import input_similarity_report
from llavit_lens.commands.logit_lens import logit_lens_report
from llavit_lens.studies.costs.report import flop_report, parameter_report

PACKAGE = Path(llavit_lens.__file__).parent
SOURCES = sorted([*PACKAGE.glob("studies/*/report.py"), *PACKAGE.glob("commands/*.py")])


class _Full(io.TextIOBase):
    """Standard output into a file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def full() -> Any:
    return contextlib.redirect_stdout(_Full())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files")
    tiny_llavit().save_pretrained(place)
    tiny_processor().save_pretrained(place)
    tiny_image().save(place / "image.png")
    return place


@pytest.mark.long
@pytest.mark.parametrize("report", [parameter_report, flop_report])
def test_costs(report, tmp_path: Path, full: Any) -> None:
    with full, pytest.raises(OSError, match="No space"):
        report(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("report", [logit_lens_report, input_similarity_report])
@pytest.mark.parametrize("name", ["x.csv", "x.png"])
def test_lens(report, name: str, folder: Path, tmp_path: Path, full: Any) -> None:
    with full, pytest.raises(OSError, match="No space"):
        report(folder / "image.png", str(folder), k=1, out=tmp_path / name)
    assert (tmp_path / name).is_file()


@pytest.mark.parametrize(
    "source", SOURCES, ids=[source.relative_to(PACKAGE).as_posix() for source in SOURCES]
)
def test_nothing_is_printed_before_a_file_is_written(source: Path) -> None:
    for function in ast.parse(source.read_text()).body:
        if not isinstance(function, ast.FunctionDef):
            continue
        calls = [
            (node.lineno, node.func.id)
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        written = [line for line, name in calls if name.startswith(("write_", "_write_"))]
        printed = [line for line, name in calls if name.startswith(("print", "_print"))]
        assert not written or not printed or max(written) < min(printed), function.name
