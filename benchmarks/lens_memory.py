"""How much memory a way to read states takes beside the matrix: measured, not computed.

On a CPU the way has a process of its own, and its peak of resident memory counts.

    python benchmarks/lens_memory.py '{"way": "exact", "words": 32064, "width": 4096}'
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lens_ways import WAYS, Case, random_case


def memory(way: str, case: Case, threads: int = 0) -> dict[str, float]:
    """MiB that a call needs at its peak; MiB that the first one keeps, and its seconds."""
    if case.weight.device.type == "cuda":
        return measured(way, case)
    words, width = case.weight.shape
    order = {
        "way": way,
        "words": words,
        "width": width,
        "rows": len(next(iter(case.layers.values()))),
        "dtype": str(case.weight.dtype).removeprefix("torch."),
        "threads": threads or torch.get_num_threads(),
    }
    command = [sys.executable, str(Path(__file__)), json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measured(way: str, case: Case) -> dict[str, float]:
    """The same, in this process."""
    hidden_ND = next(iter(case.layers.values()))
    cuda = case.weight.device.type == "cuda"
    used, peak = (_used_cuda, _peak_cuda) if cuda else (_used, _peak)
    before = used()
    start = time.perf_counter()
    WAYS[way](hidden_ND[:16], case)  # makes what is made once
    kept, seconds = used() - before, time.perf_counter() - start
    extra = peak(lambda: WAYS[way](hidden_ND, case))
    return {
        "extra_mb": round(extra / 2**20, 1),
        "kept_mb": round(max(0, kept) / 2**20, 1),
        "first_seconds": round(seconds, 3),
    }


def _used_cuda() -> int:
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


def _peak_cuda(run: Callable[[], object]) -> int:
    before = _used_cuda()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _used() -> int:
    return _status("VmRSS")


def _peak(run: Callable[[], object]) -> int:
    before = _used()
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # forgets the peak so far
    run()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """Bytes; off Linux only the peak is known, of the whole process."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = status.read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def _main(order: dict[str, Any]) -> None:
    torch.set_num_threads(order.get("threads", 1))
    dtype = getattr(torch, order.get("dtype", "float32"))
    case = random_case(order["words"], order["width"], order.get("rows", 576), 1, dtype, "cpu")
    with torch.no_grad():
        print(json.dumps(measured(order["way"], case)))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
