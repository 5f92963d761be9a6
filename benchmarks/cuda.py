"""What `benchmarks/cuda.sh` runs: every part in a process of its own, the results in one JSON.

A part that fails or runs out of time is reported in the JSON and stops no other part. Results of
its tests and measurements until then are kept.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from llavit_lens.disk import write_text_atomically

SECONDS = 460
"""For everything."""
PACKAGES = ("torch", "transformers", "accelerate", "triton", "flash-attn", "numpy", "pytest")
TESTS = ("benchmarks/cuda.py", "--tests")
MODEL = (
    *("benchmarks/model.py", "--model", "qwen2.5-1.5b", "--layers", "0"),
    *("--device", "cuda", "--dtype", "bfloat16"),
)
LENS = ("benchmarks/lens.py", "--device", "cuda", "--no-real")
LONGEST = 600
"""How many characters of a message are kept, from its end."""


@dataclass(frozen=True)
class Part:
    """One process.

    Attributes:
        name: what it is called in the JSON.
        arguments: of Python; a file that results are written to is added.
        seconds: its limit.
        read: makes of that file, whole or not, what stands in the JSON.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: float
    read: Callable[[Path], dict[str, Any]]


def read_tests(file: Path) -> dict[str, Any]:
    """Counts of outcomes, failures with the end of their message, and the reasons of skips."""
    whole_lines = file.read_text().rpartition("\n")[0].splitlines()
    reports = [json.loads(line) for line in whole_lines]
    done = [report for report in reports if "outcome" in report]
    counts = Counter(report["outcome"] for report in done)
    skips = Counter(report["message"] for report in done if report["outcome"] == "skipped")
    begun = reports[-1].get("begun") if reports else None
    return {
        **{outcome: counts[outcome] for outcome in ("passed", "failed", "skipped")},
        "failures": [
            {"test": report["test"], "message": report["message"]}
            for report in done
            if report["outcome"] == "failed"
        ],
        "skips": dict(skips),
        "slowest": {
            report["test"]: round(report["seconds"], 1)
            for report in sorted(done, key=lambda report: -report["seconds"])[:5]
        },
        **({"not_finished": begun} if begun else {}),
    }


def read_model(file: Path) -> dict[str, Any]:
    """What `benchmarks/model.py` or `benchmarks/lens.py` measured."""
    return json.loads(file.read_text())


COMPILED = "flex_attention or compiled"
"""Tests that wait for a compiler, by their names."""
PARTS = (
    Part("tests", (*TESTS, f"not ({COMPILED})"), 140, read_tests),
    Part("model, 576 tokens", (*MODEL, "--tokens", "576", "--out"), 50, read_model),
    Part("lens", LENS, 75, read_model),
    Part("model, 2880 tokens", (*MODEL, "--tokens", "2880", "--out"), 65, read_model),
    Part("tests that compile", (*TESTS, COMPILED), 190, read_tests),
    Part(
        "model, flex_attention",
        (*MODEL, "--tokens", "2880", "--flex", "--repeats", "3", "--out"),
        120,
        read_model,
    ),
)
"""Those that wait for a compiler come last, with what is left of the time."""


def main(parts: tuple[Part, ...], out: Path | None, seconds: float = SECONDS) -> bool:
    """Run the parts one after another and print their JSON; whether all of them are right."""
    start = time.monotonic()
    report: dict[str, Any] = {"machine": machine(), "parts": {}}
    for part in parts:
        left = seconds - (time.monotonic() - start)
        report["parts"][part.name] = run(part, min(part.seconds, left))
        report["seconds"] = round(time.monotonic() - start, 1)
        if out is not None:  # after each part, should the whole be stopped
            write_text_atomically(out, json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, separators=(",", ":"), ensure_ascii=False))
    return all(result["outcome"] == "done" for result in report["parts"].values())


def run(part: Part, seconds: float) -> dict[str, Any]:
    """Outcome (`done`, `failed`, `out of time`, `not begun`), seconds and results."""
    if seconds < 5:
        return {"outcome": "not begun"}
    print(f"{part.name}: at most {seconds:.0f} s", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder, "result"), Path(folder, "log")
        start = time.monotonic()
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, *part.arguments, str(file)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                outcome = "done" if process.wait(seconds) == 0 else "failed"
            except subprocess.TimeoutExpired:
                outcome = "out of time"
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        result: dict[str, Any] = {
            "outcome": outcome,
            "seconds": round(time.monotonic() - start, 1),
        }
        try:
            result |= part.read(file) if file.exists() else {}
        except ValueError:
            result["log"] = "its results are cut off"
        if outcome != "done":
            result["log"] = log.read_text(errors="replace")[-LONGEST:]
    return result


def machine() -> dict[str, Any]:
    """GPU, driver, Python and packages."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        gpus = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        gpus = ""
    return {
        "gpus": gpus.splitlines(),
        "python": platform.python_version(),
        "versions": {name: number for name in PACKAGES if (number := installed(name)) is not None},
    }


def installed(package: str) -> str | None:
    """Its version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def run_tests(chosen: str, file: Path) -> int:
    """The chosen tests of `tests/cuda` for a GPU; a line of JSON for each, at once.

    Returns pytest's exit code, or 1 where none has passed.
    """
    import pytest

    class Recorder:
        passed = 0

        def __init__(self) -> None:
            self.stream = file.open("w", buffering=1)

        def write(self, **report: Any) -> None:
            self.stream.write(json.dumps(report) + "\n")

        def pytest_runtest_logstart(self, nodeid: str) -> None:
            self.write(begun=nodeid)

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.failed:
                self.write(
                    test=report.nodeid,
                    outcome="failed",
                    seconds=0.0,
                    message=report.longreprtext[-LONGEST:],
                )

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.when == "call" or report.outcome != "passed":
                self.passed += report.outcome == "passed"
                message = report.longreprtext[-LONGEST:]
                if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
                    message = report.longrepr[2].removeprefix("Skipped: ")
                self.write(
                    test=report.nodeid,
                    outcome=report.outcome,
                    seconds=report.duration,
                    message=message,
                )

    recorder = Recorder()
    options = ["-q", "--tb=short", "--show-capture=no", "-p", "no:cacheprovider"]
    code = pytest.main(["tests/cuda", "-m", "cuda", "-k", chosen, *options], plugins=[recorder])
    return int(code) or int(recorder.passed == 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--tests"]:
        sys.exit(run_tests(sys.argv[2], Path(sys.argv[3])))
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if target is not None and target.is_dir():
        target = target / "cuda.json"
    sys.exit(not main(PARTS, target))
