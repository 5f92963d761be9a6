"""What `llavit-lens demo score` does: score a model on new scenes, print tables or JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llavit_lens.miniature.benchmark.score import score_model
from llavit_lens.vlm.program import load

# Columns of the table of layers; the JSON has more.
_COLUMNS = {
    "layer": "layer",
    "hit3": "hit@3",
    "chance3": "chance",
    "name3": "name@3",
    "name_chance3": "chance",
    "background3": "backgr.@3",
    "newline1": "newline",
}


def score_report(model: str, scenes: int, seed: int, as_json: bool) -> None:
    """Score what the lens reads and the model answers, against the truth of new scenes.

    Args:
        model: as `load` takes it.
        scenes, seed: how many scenes, and which.
        as_json: print JSON, not tables.

    Raises:
        LlavitLensError: as `load` and `score_model`.
    """
    scores = score_model(load(model), scenes, seed)  # its progress bar goes to stderr
    if as_json:
        print(json.dumps(scores, indent=2))
    else:
        _print(scores, model)


def _print(scores: dict[str, Any], model: str) -> None:
    """The JSON in short: each layer, the input similarity, the answers."""
    console = Console()
    table = Table(
        *_COLUMNS.values(), title=Text(f"{model}: true words among the top 3", "table.title")
    )
    best_layer = scores["best_layer"]["layer"]
    for row in [{"layer": "input (cosine)", **scores["input_similarity"]}, *scores["layers"]]:
        cells = [_cell(row[column]) for column in _COLUMNS]
        table.add_row(*cells, style="bold" if row["layer"] == best_layer else None)
    console.print(table)
    console.print(f"best layer, chosen on other scenes: {best_layer}")
    table = Table("", *scores["accuracy"], title="share of questions answered rightly")
    table.add_row("model", *map(_cell, scores["accuracy"].values()))
    table.add_row("by guessing", *map(_cell, scores["guess"].values()))
    console.print(table)


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
