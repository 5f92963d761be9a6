"""What `analyses/visual_qkv_undone.py` does: take W^vis from the last layers, measure, draw."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.interventions.text_projections import text_projections
from llavit_lens.miniature.benchmark.evaluate import benchmark_scenes
from llavit_lens.output import make_folder, print_report_files, write_report
from llavit_lens.printing import print_notes, print_table, progress_bar, with_interval
from llavit_lens.studies.conditions import (
    COLUMNS,
    TRAINED,
    Condition,
    condition_table,
    evaluate_under,
)
from llavit_lens.studies.qkv_undone.figure import draw_undone
from llavit_lens.studies.redraw import draw_again
from llavit_lens.vlm.program import load


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
    vlm, other = load(model), load(baseline) if baseline and baseline != model else None
    text_projections(vlm, "all", projections)  # refused now, not after minutes
    layers = vlm.decoder.n_layers
    planned = [TRAINED]
    for first in reversed(range(layers)):
        undo = partial(text_projections, layers=range(first, layers), projections=projections)
        planned.append(Condition(f"text {projections.upper()}", first, layers - 1, undo))
    benchmark, bootstrap = benchmark_scenes(scenes, seed), Bootstrap(scenes)
    steps = progress_bar(planned, f"asking {model}")
    results = [(condition, evaluate_under(condition, vlm, benchmark)) for condition in steps]
    tables = [condition_table(model, results, bootstrap)]
    if other is not None:
        as_trained = [(TRAINED, evaluate_under(TRAINED, other, benchmark))]
        tables.append(condition_table(baseline, as_trained, bootstrap))
    table = pd.concat(tables, ignore_index=True)
    write_report("visual_qkv_undone", table, draw_undone(table), out)
    _print(table, scenes)
    print_report_files("visual_qkv_undone", out)


def redraw_undone(table: Path, out: Path | None) -> None:
    """Draw the figure of a table that `qkv_undone_report` wrote.

    Raises:
        ConfigurationError: as `draw_again`.
    """
    draw_again("visual_qkv_undone", table, COLUMNS, draw_undone, out)


def _print(table: pd.DataFrame, scenes: int) -> None:
    """Words by state and answers, a row for each condition."""
    print_notes(
        f"W^text for W^vis in the last decoder layers, {scenes} scenes: by state, patches of "
        "things with a true word among the top 3; right answers in percent and what changes, in "
        "points (± half a 95 % interval)."
    )
    for title, column in (("words, by state", "state"), ("answers", "category")):
        names = list(dict.fromkeys(table[column].dropna()))
        lines = []
        keys = ["model", "condition", "first_layer", "last_layer"]
        for (model, how, first, last), group in table.groupby(keys, sort=False, dropna=False):
            undone = how != TRAINED.name
            where = last if undone and first == last else f"{first}-{last}"
            rows = [group[group[column].eq(name)].iloc[0] for name in names]
            cells = (_share(row) if column == "state" else _answers(row, undone) for row in rows)
            lines.append([f"  {how} in {where}" if undone else str(model), *cells])
        print_table(["", *(str(name).replace("_", " ") for name in names)], lines, title)


def _share(row: pd.Series) -> str:
    return f"{row['value']:.2f}"


def _answers(row: pd.Series, undone: bool) -> str:
    if not undone:
        return with_interval(row, 1, 100)
    return f"{100 * row['change']:+.1f} ±{50 * (row['change_high'] - row['change_low']):.1f}"
