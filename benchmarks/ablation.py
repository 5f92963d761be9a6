"""What interventions on attention cost or save, beside the same forward pass without them.

    python benchmarks/ablation.py --model qwen2.5-1.5b --layers 4 --tokens 576

Eq. 5 without the queries of visual tokens, as it is, and with these queries computed but not used;
a knockout of attention among patches, and the same with its weights read (in the first pass only).
The decoder alone is measured, as in `benchmarks/model.py`: the median over turns of ratios within a
turn.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer
from model import MODELS, TEXT_AFTER, TEXT_BEFORE, build, check_device, ratio, timed
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import Tensor

import llavit_lens as ll
from llavit_lens.model.attention import visual_attention as attention
from llavit_lens.vlm.vlm import VLM


def main(
    model: Annotated[str, typer.Option(help=f"One of: {', '.join(MODELS)}.")] = "qwen2.5-1.5b",
    layers: Annotated[int, typer.Option(help="Decoder layers.", min=1)] = 4,
    tokens: Annotated[list[int] | None, typer.Option(help="Visual tokens.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    repeats: Annotated[int, typer.Option(help="Turns that are timed.", min=1)] = 5,
) -> None:
    """Measure and print a table."""
    check_device(device)
    settings = {**MODELS[model], "num_hidden_layers": layers}
    models = build(settings, device, torch.float32)
    both = {name: models[name] for name in ("LLaVA", "LLaViT")}
    for visual in tokens or [576, 2880]:
        for name, llava in both.items():
            llava.set_attn_implementation({"text_config": "sdpa"})
            seconds = measure(llava, visual, settings["hidden_size"], repeats)
            Console().print(table(seconds, f"{name}, {layers} layers, {visual} visual tokens"))


class _Decoder(VLM):
    """What interventions need of a VLM; there is no image and no processor."""

    def __init__(self, model: Any) -> None:
        self.model = model


def measure(model: Any, visual: int, width: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of a forward pass in each turn, by intervention; the first is none."""
    vlm = _Decoder(model)
    length = TEXT_BEFORE + visual + TEXT_AFTER
    types = torch.zeros(1, length, dtype=torch.long, device=model.device)
    types[:, TEXT_BEFORE : TEXT_BEFORE + visual] = 1
    embeddings = torch.randn(1, length, width, device=model.device)
    all_queries = patch.object(attention, "_LEAVES_OUT_QUERIES", ())
    interventions: dict[str, Callable[[], list[AbstractContextManager[Any]]]] = {
        "none": lambda: [],
        "Eq. 5": lambda: [ll.ablate_visual_attention(vlm)],
        "Eq. 5, all queries computed": lambda: [all_queries, ll.ablate_visual_attention(vlm)],
        "knockout": lambda: [ll.knock_out(vlm, "visual->visual", verify=False)],
        "knockout, verified": lambda: [ll.knock_out(vlm, "visual->visual")],
    }
    seconds: dict[str, list[float]] = {name: [] for name in interventions}
    with torch.no_grad():
        for turn in range(repeats + 1):
            order = list(interventions)[:: 1 if turn % 2 == 0 else -1]
            for name in order:
                with ExitStack() as stack:
                    for intervention in interventions[name]():
                        stack.enter_context(intervention)
                    took = timed(lambda: forward(model, embeddings, types), model.device)
                if turn > 0:  # the first warms up
                    seconds[name].append(took)
    return seconds


def forward(model: Any, embeddings: Tensor, types: Tensor) -> None:
    model(inputs_embeds=embeddings, mm_token_type_ids=types, logits_to_keep=1, use_cache=False)


def table(seconds: dict[str, list[float]], title: str) -> Table:
    """Each intervention beside none."""
    result = Table("", "forward", title=title, box=SIMPLE)
    for name, times in seconds.items():
        cost = ratio(times, seconds["none"])
        result.add_row(name, f"{statistics.median(times):.3f} s ×{cost:.3f}")
    return result


if __name__ == "__main__":
    typer.run(main)
