"""`make demo` says how long things take, and little else: stand-ins for pip and the command."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$*" in
  *" -q "*) ;;
  *) seq 170 ;;
esac
[ -e "$(dirname "$0")/broken" ] && { echo "ERROR: no such package" >&2; exit 1; }
exit 0
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment that has been made, and into which nothing is installed yet."""
    place = tmp_path / "venv"
    (place / "bin").mkdir(parents=True)
    for name, script in (("python", PYTHON), ("llavit-lens", "#!/bin/sh\necho The figure is\n")):
        (place / "bin" / name).write_text(script)
        (place / "bin" / name).chmod(0o755)
    (place / ".made").touch()
    return place


def make(venv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None or not (ROOT / "constraints.txt").is_file():
        pytest.skip("no make")
    command = ["make", "demo", f"VENV={venv}", *arguments]
    # as a user types it, though `make test` is what runs this
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFL"))
    }
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=env)


def test_it_prints_ten_lines_at_most(venv: Path) -> None:
    done = make(venv)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == "" and lines[-1] == "The figure is"
    assert len(lines) <= 10 and "minutes" in lines[0] and "GB" in lines[0]
    assert "download.pytorch.org/whl/cpu" in done.stdout
    assert make(venv).stdout.count("Installing") == 0  # once


def test_pytorch_from_another_index(venv: Path) -> None:
    assert make(venv, "TORCH_INDEX=https://a.org/cpu").returncode == 0
    first, second = (venv / "bin" / "calls").read_text().splitlines()
    assert first.endswith("torch --index-url https://a.org/cpu") and second.endswith("-e .")


def test_errors_of_pip_are_shown(venv: Path) -> None:
    (venv / "bin" / "broken").touch()
    done = make(venv)
    assert done.returncode != 0 and "ERROR: no such package" in done.stderr
    assert not (venv / ".installed").exists()
