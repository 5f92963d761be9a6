"""LLaViT beside LLaVA on the same weights: operations, time and memory of a prompt and an answer.

    python benchmarks/model.py --model qwen2.5-1.5b --layers 4 --tokens 576 --out model.json

The decoder alone is measured, from ready embeddings, for it is all that LLaViT changes: with the
vision tower, which is the same for both, ratios would only be closer to 1. Both models share the
weights that they have in common. All variants take turns in one process, and a ratio is the median
over turns of times in the same turn, so that a slow spell of the machine slows all of them.
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
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, Qwen2Config
from transformers.utils import is_flash_attn_2_available, logging

from llavit_lens.disk import write_text_atomically
from llavit_lens.model import LlavitConfig, LlavitForConditionalGeneration
from llavit_lens.model.decoders import add_hook_points

# config.json of Qwen/Qwen2.5-1.5B-Instruct and Qwen/Qwen2.5-3B-Instruct on the Hugging Face Hub.
_QWEN = {
    "vocab_size": 151936,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    "tie_word_embeddings": True,
}
MODELS: dict[str, dict[str, Any]] = {
    "qwen2.5-1.5b": {
        **_QWEN,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
    },
    "qwen2.5-3b": {
        **_QWEN,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
    },
}
TARGETS = {576: 1.05, 2880: 1.10}
"""Most time of LLaViT's forward pass over LLaVA's, by visual tokens; both on a CPU with sdpa."""
TEXT_BEFORE, TEXT_AFTER = 24, 40
"""Tokens of a chat template and a question around the image."""


@dataclass
class Variant:
    """One model with one attention implementation, and what was measured of it."""

    name: str
    attention: str
    linear_flops: int | None = None
    """Of all matrix products but attention's, counted; None for a compiled kernel, which is not
    compiled where operations are counted."""
    attention_flops: int | None = None
    """Of the attention kernels' calls, counted: a causal or masked call counts all its pairs."""
    needed_attention_flops: int = 0
    """Of the pairs of tokens that attend at all, by formula."""
    forward_seconds: list[float] = field(default_factory=list)
    generate_seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    """Beyond the weights, in a forward pass."""


def main(
    model: Annotated[str, typer.Option(help=f"One of: {', '.join(MODELS)}.")] = "qwen2.5-1.5b",
    layers: Annotated[int, typer.Option(help="Decoder layers; 0 is all of them.", min=0)] = 4,
    tokens: Annotated[list[int] | None, typer.Option(help="Visual tokens.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    repeats: Annotated[int, typer.Option(help="Turns that are timed.", min=1)] = 5,
    new_tokens: Annotated[int, typer.Option(help="Length of the answer.", min=1)] = 16,
    flex: Annotated[
        bool, typer.Option("--flex", help="flex_attention too, which is compiled first.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the measurements here, as JSON.")] = None,
) -> None:
    """Measure and print a table."""
    logging.set_verbosity_error()
    if model not in MODELS:
        raise typer.BadParameter(f"{model!r} is not one of {', '.join(MODELS)}")
    settings = dict(MODELS[model])
    settings["num_hidden_layers"] = layers or settings["num_hidden_layers"]
    kind = getattr(torch, dtype, None)
    if kind not in (torch.float32, torch.bfloat16, torch.float16):
        raise typer.BadParameter(f"{dtype!r} is not float32, bfloat16 or float16")
    check_device(device)
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise typer.BadParameter(f"--out {out}: is a folder, or its folder does not exist")
    models = build(settings, device, kind)
    results = []
    for visual in tokens or [576, 2880]:
        variants = measure(models, settings, visual, repeats, new_tokens, flex)
        results.append({"visual_tokens": visual, "variants": [asdict(v) for v in variants]})
        Console().print(table(variants, f"{model}, {settings['num_hidden_layers']} layers", visual))
        if device == "cpu" and visual in TARGETS:
            print(verdict(variants, visual))
    report = {
        "model": model,
        "layers": settings["num_hidden_layers"],
        "text_tokens": [TEXT_BEFORE, TEXT_AFTER],
        "new_tokens": new_tokens,
        "device": torch.cuda.get_device_name(device) if device != "cpu" else platform.processor(),
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_at_end": os.getloadavg()[0],
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "results": results,
    }
    if out is not None:
        write_text_atomically(out, json.dumps(report, indent=1) + "\n")


def check_device(device: str) -> None:
    """BadParameter for a device that is not here, or not served."""
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise typer.BadParameter(f"--device {device!r} is neither cpu nor cuda")
    if kind == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise typer.BadParameter(f"--device {device}: PyTorch finds no such GPU; use cpu")


def build(settings: dict[str, Any], device: str, dtype: torch.dtype) -> dict[str, Any]:
    """The models by name, with random weights; those that they have in common are held once."""
    arguments: dict[str, Any] = {
        "vision_config": CLIPVisionConfig(  # never called
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
        ),
        "text_config": Qwen2Config(**settings),
        "image_token_index": settings["vocab_size"] - 1,
        "vision_feature_layer": -1,
        "tie_word_embeddings": settings["tie_word_embeddings"],
        "dtype": dtype,
    }
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            llavit = LlavitForConditionalGeneration(LlavitConfig(**arguments)).eval()
        with torch.device("meta"):
            llava, hooked = (
                LlavaForConditionalGeneration(LlavaConfig(**arguments)).eval() for _ in range(2)
            )
    finally:
        torch.set_default_dtype(before)
    common = {name: value for name, value in llavit.state_dict().items() if "_visual" not in name}
    for plain in (llava, hooked):
        plain.load_state_dict(common, assign=True)
        plain.tie_weights()
        # its buffers are no part of a state dict
        plain.model.language_model.rotary_emb = llavit.model.language_model.rotary_emb
        plain.model.vision_tower = llavit.model.vision_tower
    add_hook_points(hooked)
    return {"LLaVA": llava, "LLaVA, hook points": hooked, "LLaViT": llavit}


def variants_to_measure(dtype: torch.dtype, flex: bool) -> list[Variant]:
    """Each model with each attention implementation that it can run here."""
    variants = [
        Variant("LLaVA", "sdpa"),
        Variant("LLaVA, hook points", "sdpa"),
        Variant("LLaViT", "sdpa"),
        Variant("LLaViT", "llavit_sdpa"),
    ]
    if flex:
        variants.append(Variant("LLaViT", "flex_attention"))
    if is_flash_attn_2_available() and dtype != torch.float32:
        variants += [Variant("LLaVA", "flash_attention_2"), Variant("LLaViT", "llavit_fa2")]
    return variants


def measure(
    models: dict[str, Any],
    settings: dict[str, Any],
    visual: int,
    repeats: int,
    new_tokens: int,
    flex: bool = False,
) -> list[Variant]:
    """All variants on a prompt with one image of `visual` tokens; the first is the baseline."""
    llavit = models["LLaViT"]
    variants = variants_to_measure(llavit.dtype, flex)
    length = TEXT_BEFORE + visual + TEXT_AFTER
    width = settings["hidden_size"]
    embeddings = torch.randn(1, length, width, device=llavit.device, dtype=llavit.dtype)
    types = torch.zeros(1, length, dtype=torch.long, device=llavit.device)
    types[:, TEXT_BEFORE : TEXT_BEFORE + visual] = 1
    inputs = {name: {"inputs_embeds": embeddings} for name in models}
    inputs["LLaViT"]["mm_token_type_ids"] = types

    def forward(variant: Variant) -> None:
        models[variant.name](**inputs[variant.name], logits_to_keep=1, use_cache=False)

    def generate(variant: Variant) -> None:
        models[variant.name].generate(
            **inputs[variant.name],
            attention_mask=torch.ones_like(types),
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
        )

    per_pair = 4 * width * settings["num_hidden_layers"]
    with torch.no_grad():
        for variant in variants:  # which also warms up
            models[variant.name].set_attn_implementation({"text_config": variant.attention})
            compiled = variant.attention == "flex_attention"
            if not compiled:
                variant.linear_flops, variant.attention_flops = count_flops(
                    lambda: forward(variant)  # noqa: B023
                )
            if compiled or llavit.device.type == "cuda":  # kernels are made or loaded on first use
                forward(variant)
                generate(variant)
            extra = visual * (visual - 1) // 2 if variant.name == "LLaViT" else 0
            variant.needed_attention_flops = per_pair * (length * (length + 1) // 2 + extra)
            variant.peak_bytes = peak_memory(lambda: forward(variant), llavit.device)  # noqa: B023
        for turn in range(repeats):
            for variant in variants if turn % 2 == 0 else variants[::-1]:
                models[variant.name].set_attn_implementation({"text_config": variant.attention})
                for task, seconds in (
                    (forward, variant.forward_seconds),
                    (generate, variant.generate_seconds),
                ):
                    seconds.append(timed(lambda: task(variant), llavit.device))  # noqa: B023
    return variants


def count_flops(run: Callable[[], None]) -> tuple[int, int]:
    """Multiplications and additions of linear layers, and of attention."""

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        # torch's own formula knows no kernel of CPUs, and no keys that several heads share
        batch, heads, length, width = query
        return 2 * batch * heads * length * key[2] * (width + value[3])

    def batched(one: Any, other: Any, *_: Any, **__: Any) -> int:
        batch, rows, terms = one
        # one term: rotary angles, which some versions of transformers write as a product
        return 2 * batch * rows * terms * other[2] if terms > 1 else 0

    counted = {torch.ops.aten.bmm: batched} | dict.fromkeys(_kernels(), attention)
    with FlopCounterMode(display=False, custom_mapping=counted) as counter:
        run()
    by_operation = counter.get_flop_counts()["Global"]
    linear = sum(
        flops for operation, flops in by_operation.items() if str(operation) in LINEAR_OPERATIONS
    )
    return linear, counter.get_total_flops() - linear


LINEAR_OPERATIONS = ("aten.mm", "aten.addmm")


def _kernels() -> list[Any]:
    """The kernels of scaled-dot-product attention, on CPUs and on GPUs."""
    kinds = ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")
    return [getattr(torch.ops.aten, f"_scaled_dot_product_{kind}") for kind in kinds]


def timed(run: Callable[[], None], device: torch.device) -> float:
    """Seconds."""
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def peak_memory(run: Callable[[], None], device: torch.device) -> int:
    """Bytes of the tensors that a run holds at its peak, without the weights.

    On a GPU with the workspace of its kernels; on a CPU the running sum of what is allocated and
    freed, for the size of the process says more about the allocator than about the run.
    """
    if device.type == "cuda":
        _wait(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        _wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()  # in order of time
    return max(accumulate(event.nbytes() for event in events if event.name() == "[memory]"))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratio(one: list[float], other: list[float]) -> float:
    """Median over turns."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def verdict(variants: list[Variant], visual: int) -> str:
    """Whether the target for a number of visual tokens is met."""
    base = variants[0]
    others = [v for v in variants if v.name == "LLaViT" and "sdpa" in v.attention]
    ratios = {
        other.attention: ratio(other.forward_seconds, base.forward_seconds) for other in others
    }
    listed = ", ".join(f"{attention} ×{value:.3f}" for attention, value in ratios.items())
    met = "met" if ratios["sdpa"] <= TARGETS[visual] else "not met"
    return f"Target at {visual} visual tokens, ×{TARGETS[visual]:.2f} with sdpa: {met} ({listed})"


def table(variants: list[Variant], title: str, visual: int) -> Table:
    """Each LLaViT beside the LLaVA with the same kernel."""
    columns = ("GFLOP linear", "GFLOP attention", "forward", "generate", "peak MiB")
    result = Table("", *columns, title=f"{title}, {visual} visual tokens", box=SIMPLE)
    for variant in variants:
        flash = "fa2" in variant.attention or "flash" in variant.attention
        base = next(v for v in variants if v.name == "LLaVA" and ("flash" in v.attention) == flash)
        times = [
            f"{statistics.median(seconds):.3f} s ×{ratio(seconds, base_seconds):.3f}"
            for seconds, base_seconds in (
                (variant.forward_seconds, base.forward_seconds),
                (variant.generate_seconds, base.generate_seconds),
            )
        ]
        result.add_row(
            f"{variant.name} {variant.attention}",
            *(
                "" if flops is None else f"{flops / 1e9:.1f}"
                for flops in (variant.linear_flops, variant.attention_flops)
            ),
            *times,
            f"{variant.peak_bytes / 2**20:.0f}",
        )
    return result


if __name__ == "__main__":
    typer.run(main)
