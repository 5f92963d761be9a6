"""What `analyses/visual_attention_ablation.py` does: measure, print, draw, save."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.miniature.benchmark.evaluate import benchmark_scenes
from llavit_lens.output import make_folder, print_report_files, write_report
from llavit_lens.printing import print_notes, print_table, progress_bar, with_interval
from llavit_lens.studies.ablation.figure import draw_ablation
from llavit_lens.studies.ablation.measure import conditions
from llavit_lens.studies.conditions import AS_TRAINED, COLUMNS, condition_table, evaluate_under
from llavit_lens.studies.redraw import draw_again
from llavit_lens.vlm.program import load


def ablation_report(
    models: Sequence[str],
    trained_without: str | None,
    scenes: int,
    seed: int,
    window: int,
    out: Path | None,
) -> None:
    """Eq. 5 on trained models, everywhere and in each window of layers, beside a model trained so.

    Args:
        models: as `load` takes them.
        trained_without: a model that was trained without visual attention; it is run as trained.
        scenes: held-out scenes of the miniature world; at least 2.
        seed: which set of them.
        window: decoder layers of a window.
        out: folder for visual_attention_ablation.csv, .png and .pdf.

    Raises:
        LlavitLensError: a model that cannot be read, a window or a number of scenes that makes no
            sense, or a folder that cannot be written to.
    """
    make_folder(out)
    if scenes < 2:
        raise ConfigurationError(f"--scenes {scenes}: intervals need at least 2 scenes")
    vlms = {name: load(name) for name in (*models, *([trained_without] if trained_without else []))}
    planned = {name: conditions(vlm.decoder.n_layers, window) for name, vlm in vlms.items()}
    if trained_without:
        planned[trained_without] = planned[trained_without][:1]
    benchmark, bootstrap = benchmark_scenes(scenes, seed), Bootstrap(scenes)
    tables = []
    for name, vlm in vlms.items():
        steps = progress_bar(planned[name], f"asking {name}")
        results = [(condition, evaluate_under(condition, vlm, benchmark)) for condition in steps]
        tables.append(condition_table(name, results, bootstrap))
    table = pd.concat(tables, ignore_index=True)
    write_report("visual_attention_ablation", table, draw_ablation(table), out)
    _print(table, scenes)
    print_report_files("visual_attention_ablation", out)


def redraw_ablation(table: Path, out: Path | None) -> None:
    """Draw the figure of a table that `ablation_report` wrote.

    Raises:
        ConfigurationError: as `draw_again`.
    """
    draw_again("visual_attention_ablation", table, COLUMNS, draw_ablation, out)


def _print(table: pd.DataFrame, scenes: int) -> None:
    """A table for each model: accuracies, and words at its best state as trained."""
    print_notes(f"Visual attention taken away, {scenes} scenes (± half a 95 % interval)")
    for model, of_model in table.groupby("model", sort=False):
        words = of_model[of_model["measure"].eq("hit3") & of_model["condition"].eq(AS_TRAINED)]
        best = int(words.sort_values("value", ascending=False)["state"].iloc[0])
        categories = list(dict.fromkeys(of_model["category"].dropna()))
        headings = [*(name.replace("_", " ") for name in categories), f"hit@3, state {best}"]
        lines = []
        keys = ["condition", "first_layer", "last_layer"]
        for _, rows in of_model.groupby(keys, sort=False, dropna=False):
            first = rows.iloc[0]
            by_category = rows[rows["measure"].eq("accuracy")].set_index("category")
            read = rows[rows["state"].eq(best)].iloc[0]
            layers = f"{first.first_layer}-{first.last_layer}"
            lines.append(
                [
                    first["condition"],
                    "" if pd.isna(first["last_layer"]) else layers,
                    *(with_interval(by_category.loc[name]) for name in categories),
                    with_interval(read),
                ]
            )
        print_table(["condition", "layers", *headings], lines, str(model))
