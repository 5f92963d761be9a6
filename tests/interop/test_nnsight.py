"""nnsight on LLaViT and LLaVA."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.long


@pytest.mark.skipif(find_spec("nnsight") is None, reason="nnsight is not installed")
def test_nnsight_reads_and_edits_what_our_hooks_do() -> None:
    cases = Path(__file__).with_name("nnsight_cases.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cases]
    run = subprocess.run(
        command, cwd=cases.parents[2], capture_output=True, text=True, timeout=600, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
