"""benchmarks/start.py counts the CPU time of other processes."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

START: dict[str, Any] = runpy.run_path(
    str(Path(__file__).parents[2] / "benchmarks" / "start.py"), run_name="start"
)


@pytest.mark.long
def test_it_counts_work_and_not_waiting() -> None:
    busy = "import time\nwhile time.process_time() < 0.4: pass"
    assert 0.35 < START["cpu_seconds"](busy) < 4
    assert START["cpu_seconds"]("import time; time.sleep(0.6)") < 0.35
