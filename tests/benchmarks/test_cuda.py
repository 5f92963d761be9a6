"""The GPU command ends in its time with all that was found, whatever its parts do."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parents[2] / "benchmarks"
GOOD = "import json, sys; json.dump({'seen': 1}, open(sys.argv[1], 'w'))"
BAD = "import sys; print('no such kernel'); sys.exit(3)"
SLOW = """
import subprocess, sys, time
stream = open(sys.argv[1], "w", buffering=1)
stream.write('{"test": "a", "outcome": "passed", "seconds": 1, "message": ""}\\n')
stream.write('{"begun": "b"}\\n{"test": "b", "outc')
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
time.sleep(60)
"""


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_cuda", FOLDER / "cuda.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_one_part_stops_no_other(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def part(name: str, program: str, seconds: float, read: object) -> object:
        return benchmark.Part(name, ("-c", program), seconds, read)

    parts = (
        part("good", GOOD, 30, benchmark.read_model),
        part("bad", BAD, 30, benchmark.read_model),
        part("slow", SLOW, 5.5, benchmark.read_tests),
        part("last", GOOD, 30, benchmark.read_model),
    )
    start = time.monotonic()
    assert not benchmark.main(parts, tmp_path / "out.json", seconds=60)
    assert time.monotonic() - start < 30
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report == json.loads((tmp_path / "out.json").read_text())
    good, bad, slow, last = report["parts"].values()
    assert good["outcome"] == last["outcome"] == "done" and good["seen"] == last["seen"] == 1
    assert bad["outcome"] == "failed" and "no such kernel" in bad["log"]
    assert slow["outcome"] == "out of time" and 5 < slow["seconds"] < 15
    assert (slow["passed"], slow["failed"], slow["not_finished"]) == (1, 0, "b")
    assert benchmark.main(parts[:1], None)


def test_what_would_begin_too_late_does_not(benchmark: ModuleType) -> None:
    parts = (benchmark.Part("late", ("-c", GOOD), 30, benchmark.read_model),)
    assert not benchmark.main(parts, None, seconds=1)


def test_it_fits_into_eight_minutes(benchmark: ModuleType) -> None:
    """With what it takes to start and to stop."""
    assert benchmark.SECONDS <= 8 * 60 - 15


def test_a_run_of_skipped_tests_has_proved_nothing(tmp_path: Path) -> None:
    """Where there is no GPU; and the names that choose a part's tests are those of tests."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("is about machines without a GPU")
    command = [
        sys.executable,
        str(FOLDER / "cuda.py"),
        "--tests",
        "test_a_demo",
        str(tmp_path / "r"),
    ]
    finished = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    skipped = [line for line in lines if line.get("outcome") == "skipped"]
    assert len(skipped) == 4
    assert {line["message"] for line in skipped} == {"needs an NVIDIA GPU that PyTorch can use"}
