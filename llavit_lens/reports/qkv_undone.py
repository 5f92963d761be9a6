"""What `analyses/visual_qkv_undone.py` does: take W^vis from the last layers, measure, draw."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.figures.qkv_undone import draw_undone
from llavit_lens.interventions.projections import text_projections
from llavit_lens.miniature.ablation import AS_TRAINED, Condition, run, table
from llavit_lens.miniature.examine import exams
from llavit_lens.reports.files import make_folder, write_report
from llavit_lens.vlm.anatomy import language_parts
from llavit_lens.vlm.load import load

UNDONE = "text QKV"


def qkv_undone_report(
    model: str, baseline: str, projections: str, scenes: int, seed: int, out: Path | None
) -> None:
    """A trained LLaViT with W^text for W^vis from each layer on, beside a baseline as trained.

    Args:
        model: a LLaViT, as `load` takes it.
        baseline: a model to compare with; "" for none.
        projections: which are undone: "qkv" or some of these letters.
        scenes: held-out scenes of the miniature world; at least 2.
        seed: which set of them.
        out: folder for visual_qkv_undone.csv, .png and .pdf.

    Raises:
        LlavitLensError: a model that cannot be read or has no W^vis, a number of scenes that makes
            no sense, or a folder that cannot be written to.
    """
    make_folder(out)
    if scenes < 2:
        raise ConfigurationError(f"--scenes {scenes}: intervals need at least 2 scenes")
    vlm = load(model)
    with text_projections(vlm, "all", projections):  # refused now, not after minutes
        layers = len(language_parts(vlm.model).layers)
    trained = Condition(AS_TRAINED, None, None, lambda vlm: nullcontext())
    planned = [trained]
    for first in reversed(range(layers)):
        undo = partial(text_projections, layers=range(first, layers), projections=projections)
        planned.append(Condition(UNDONE, first, layers - 1, undo))
    asked, bootstrap = exams(scenes, seed), Bootstrap(scenes)
    steps = track(planned, f"asking {model}", console=Console(stderr=True))
    tables = [table(model, [(how, run(vlm, asked, how)) for how in steps], bootstrap)]
    if baseline:
        other = run(load(baseline), asked, trained)
        tables.append(table(baseline, [(trained, other)], bootstrap))
    found = pd.concat(tables, ignore_index=True)
    _print(found, scenes)
    write_report("visual_qkv_undone", found, draw_undone(found, model, scenes), out)


def _print(found: pd.DataFrame, scenes: int) -> None:
    """Words by state and accuracy, a row for each condition."""
    console = Console()
    console.print(
        f"W^text for W^vis in the last decoder layers, {scenes} scenes: by state, patches of "
        "things with a true word among the top 3; right answers (± half a 95 % interval)."
    )
    words = found[found["measure"].eq("hit3")]
    states = list(dict.fromkeys(words["state"]))
    categories = list(dict.fromkeys(found["category"].dropna()))
    keys = ["model", "condition", "first_layer", "last_layer"]
    for title, names, column in (
        ("words, by state", states, "state"),
        ("answers", categories, "category"),
    ):
        shown = Table("", *(str(n).replace("_", " ") for n in names), title=title, box=SIMPLE)
        for (model, how, first, last), own in found.groupby(keys, sort=False, dropna=False):
            where = last if how != AS_TRAINED and first == last else f"{first}-{last}"
            label = str(model) if how == AS_TRAINED else f"  {how} in {where}"
            rows = (own[own[column].eq(name)].iloc[0] for name in names)
            cells = [
                f"{r['value']:.2f}" + ("" if column == "state" else f" ±{_half(r):.2f}")
                for r in rows
            ]
            shown.add_row(label, *cells)
        console.print(shown)


def _half(row: pd.Series) -> float:
    return float(row["high"] - row["low"]) / 2
