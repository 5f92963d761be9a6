"""What conversion holds in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from llava_layouts import reference, write_original

pytestmark = pytest.mark.long

_MEASURE = """
import re, sys
from pathlib import Path
from llavit_lens.model.checkpoints.convert import convert
source, small, out = map(Path, sys.argv[1:])
def resident(what):
    return 1024 * int(re.search(what + r":\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
convert(small, out / "small", "separate_qkv")  # everything is imported and allocated once
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from now on
before = resident("VmRSS")
convert(source, out / "large", "separate_qkv")
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_memory_is_less_than_two_shards(suffix: str, tmp_path: Path, folder: Path) -> None:
    """Resident memory, mapped pages of the source included."""
    wide = reference(mlp=75_000)
    source = write_original(tmp_path / "x", wide, suffix=suffix, shards=3)
    shards = [path.stat().st_size for path in source.glob(f"*-of-*.{suffix}")]
    total, largest = sum(shards), max(shards)
    assert len(shards) == 3 and largest > 30e6 and total > 2.5 * largest
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(source), str(folder), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0.5 * largest < int(measured.stdout) < 2 * largest
    written = sum(path.stat().st_size for path in (tmp_path / "large").glob("*.safetensors"))
    assert written > total
