"""Families whose image processor needs torchvision: the tests of all families once more for them,
in a subprocess with a stand-in for it.

The stand-in must never be importable here: transformers would take it for the real one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import transformers
from family_cases import CASES
from packaging.version import Version

NAMES = [name for name, case in CASES.items() if case.needs_torchvision]
STAND_IN = Path(__file__).parents[2] / "support" / "torchvision_stand_in"


def test_the_stand_in_is_not_importable_here() -> None:
    spec = find_spec("torchvision")
    assert spec is None or STAND_IN not in Path(str(spec.origin)).parents


@pytest.mark.long
@pytest.mark.skipif(
    find_spec("torchvision") is not None, reason="the other tests have the real one"
)
def test_these_families_pass_the_tests_of_all() -> None:
    paths = os.pathsep.join(filter(None, [str(STAND_IN), os.environ.get("PYTHONPATH")]))
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        " or ".join(NAMES),
        str(Path(__file__).parent),
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed and int(passed[1]) >= len(NAMES), run.stdout[-2000:]
    if Version(transformers.__version__) < Version("5.24"):  # which does not run Llama 4
        assert "skipped" not in run.stdout.splitlines()[-1], run.stdout[-2000:]
