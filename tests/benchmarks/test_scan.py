"""The benchmark of corpora runs, and counts what it says."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from tiny import tiny_llavit, tiny_processor
from typer.testing import CliRunner

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[2] / "benchmarks"
SIDE, STATES = 3, 2


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """With images of few patches. Its files import one another by name."""
    monkeypatch.syspath_prepend(FOLDER)
    scan = importlib.import_module("scan")
    sizes = sys.modules["scan_sizes"]
    for name, value in (("SIDE", SIDE), ("STATES", STATES), ("WORDS", 500)):
        monkeypatch.setattr(sizes, name, value)
    yield scan
    for name in ("scan", "scan_sizes"):
        sys.modules.pop(name, None)


def run(benchmark: ModuleType, *arguments: str) -> Any:
    app = typer.Typer()
    app.command()(benchmark.main)
    return CliRunner().invoke(app, [*arguments])


def test_it_measures_and_writes(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands themselves stand aside: an image costs a tenth of a second, a start one."""

    def scanned(images: Path, count: int, index: Path, model: str, processes: int) -> Any:
        assert len(list(images.iterdir())) == count
        benchmark.sized_index(index, "equal", count)
        seconds = 1 + 0.1 * count / processes
        return benchmark.Run(count, processes, seconds, 2.0 + 0.1 * count, 500.0, 8000.0)

    monkeypatch.setattr(benchmark, "scanned", scanned)
    out = tmp_path / "scan.json"
    result = run(benchmark, "--quick", "--images", "9", "--images", "3", "--out", str(out))
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert report["images_per_second"] == {"1": 10.0, "2": 20.0}
    assert report["cpu_seconds_per_image"] == {"1": 0.1, "2": 0.1}
    assert report["peak_mb"] == {"3": 500, "9": 500}
    assert set(report["bytes_per_image_576_x_33"]) == {"equal", "1/rank"}
    small, large = report["searches"][:2]
    assert (small["images"], large["images"]) == (3, 9)
    assert (small["rows"], large["rows"]) == tuple(n * STATES * SIDE**2 for n in (3, 9))
    for search in report["searches"]:
        assert 0 < search["seconds"] <= search["slowest_seconds"]
    for heading in ("llavit-lens scan", "MB/image", "WordIndex.find"):
        assert heading in result.output


def test_a_command_is_measured(benchmark: ModuleType, tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    tiny_llavit().save_pretrained(model)
    tiny_processor().save_pretrained(model)
    benchmark.draw(tmp_path / "images", 2)
    index = tmp_path / "index"
    found = benchmark.scanned(tmp_path / "images", 2, index, str(model), 1)
    assert (found.images, found.processes) == (2, 1)
    assert found.cpu_seconds > 1  # PyTorch alone takes that
    assert 100 < found.peak_mb < 5000
    assert found.bytes_per_image == benchmark.size_of(index) / 2 > 100
    files = (index / "patches").glob("*.parquet")
    assert sum(pq.read_metadata(file).num_rows for file in files) > 0


def test_a_command_that_fails_says_why(benchmark: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(RuntimeError, match="holds no images"):
        benchmark.scanned(tmp_path / "images", 2, tmp_path / "index", "demo:llavit", 1)
