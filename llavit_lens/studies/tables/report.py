"""What `analyses/table_1.py` and `table_3.py` do: train what is missing, evaluate, compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from llavit_lens.disk import read_json, user_path
from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.names import category_name, variant_titles
from llavit_lens.miniature.benchmark.evaluate import BenchmarkScene, benchmark_scenes
from llavit_lens.miniature.recipe.train import train_demo
from llavit_lens.output import make_folder, print_report_files, write_report
from llavit_lens.printing import print_notes, print_table, progress_bar, with_interval
from llavit_lens.rows import ROWS
from llavit_lens.studies.tables.comparison import PaperTable, compare, losses, orderings
from llavit_lens.studies.tables.figure import draw_study, how_many_seeds, over_what
from llavit_lens.studies.tables.kinds import by_kind
from llavit_lens.studies.tables.kinds_figure import HALF_INTERVAL, READ_KINDS, draw_kinds
from llavit_lens.studies.tables.paper_accuracy import BASE_LLMS, CATEGORIES
from llavit_lens.studies.tables.paper_layout import draw_paper_table
from llavit_lens.studies.tables.run_result import RunResult, load_result, save_result
from llavit_lens.studies.tables.trained_runs import evaluate_run, guessed, load_results
from llavit_lens.vlm.program import load

SCENES, SCENE_SET = 500, 12345
FEW = 10  # runs: too few for a correlation
KINDS_TITLE = "What each variant has learned to answer"
KINDS_CAPTION = (
    "Percent of right answers by kind of question, {seeds} of each variant, on {scenes} held-out "
    f"scenes of the miniature world. {READ_KINDS}{{ends}} {HALF_INTERVAL}"
)
ENDS = " Beside a mean: the lowest and highest of its seeds, where they differ."
# What a result keeps of the training record.
MADE = ("preset", "minutes", "losses", "machine", "precision", "versions")


def table_report(
    number: int,
    paper: PaperTable,
    results: Path,
    train: Path | None,
    seeds: Sequence[int],
    preset: str,
    out: Path | None,
    scenes: int = SCENES,
    paper_layout: bool = False,
) -> None:
    """A table of the paper in miniature, beside the paper's own numbers.

    Args:
        number: the paper's, 1 or 3. Files in `out` are table_1.csv, .png and .pdf; those by kind
            of question are called table_1_kinds.
        paper: its rows by variant, its values in percent by base LLM.
        results: folder of the runs' results, one small JSON file each.
        train: folder of trained models (`llavit-lens demo train --out`); what is missing there is
            trained, and its result written to `results`. None compares the results that are there.
        seeds: of the runs to train; all that `results` holds are compared.
        paper_layout: draw a table as the paper has it, not differences to the baseline.

    Raises:
        LlavitLensError: no result of a variant, results that cannot be compared, a folder that
            cannot be read or written, or nothing to draw scenes with.
    """
    make_folder(out)
    name = f"table_{number}"
    if scenes < 2:
        raise ConfigurationError(f"--scenes {scenes}: intervals need at least 2 scenes")
    results = user_path(results, what="the folder of the results")
    if train is not None:
        make_folder(results)
        _train_and_evaluate(list(paper), results, train, seeds, preset, scenes)
    runs = load_results(results, list(paper))
    table = compare(runs, paper)
    guess = guessed(runs["baseline"][0])
    scenes_of_runs = len(runs["baseline"][0].patches)
    if paper_layout:
        figure = draw_paper_table(table, number, scenes_of_runs)
    else:
        figure = draw_study(table, guess, scenes_of_runs)
    write_report(name, table, figure, out)
    kinds = by_kind(runs)
    several = kinds["seeds"].max() > 1
    caption = KINDS_CAPTION.format(
        seeds=how_many_seeds(kinds["seeds"]), scenes=scenes_of_runs, ends=ENDS if several else ""
    )
    titles = variant_titles(kinds["variant"])
    write_report(f"{name}_kinds", kinds, draw_kinds(kinds, KINDS_TITLE, caption, titles), out)
    _print(name, table, guess, runs)
    _print_orderings(runs, paper)
    _print_losses(losses(runs))
    print_report_files(name, out)
    print_report_files(f"{name}_kinds", out)


def _train_and_evaluate(
    variants: Sequence[str],
    results: Path,
    train: Path,
    seeds: Sequence[int],
    preset: str,
    scenes: int,
) -> None:
    benchmark: list[BenchmarkScene] = []
    for seed, variant in product(seeds, variants):
        path = results / f"{variant}-seed{seed}.json"
        if path.is_file():
            preset_of_run = load_result(path).made.get("preset")
            if preset_of_run != preset:
                raise ConfigurationError(
                    f"{path} is a run of the preset {preset_of_run}, not {preset}; name another "
                    "folder with --results"
                )
            continue
        folder = train_demo(variant, seed, train, preset)
        record, recipe = _table(folder / "scores.json"), _table(folder.parent / "recipe.json")
        made = {key: record[key] for key in MADE if key in record}
        made |= {key: recipe[key] for key in ("tower", "llm") if key in recipe}
        benchmark = benchmark or benchmark_scenes(scenes, SCENE_SET)
        steps = progress_bar(benchmark, f"examining {folder.parent.name}")
        save_result(evaluate_run(load(str(folder)), variant, seed, made, steps, SCENE_SET), results)


def _table(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: is no table of names and values; train the model again")
    return content


def _print(
    name: str,
    table: pd.DataFrame,
    guess: Mapping[str, float],
    runs: Mapping[str, Sequence[RunResult]],
) -> None:
    run = next(iter(runs.values()))[0]
    numbers = [len(results) for results in runs.values()]
    over = over_what(numbers)
    print_notes(
        f"{name.replace('_', ' ').capitalize()} in miniature: percent of right answers on "
        f"{len(run.patches)} held-out scenes (± half a 95 % interval over {over}; "
        f"{how_many_seeds(numbers)} each); below them the paper's own ({' / '.join(BASE_LLMS)}). "
        f"World {run.world}."
    )
    lines = [["by guessing", *(f"{100 * guess[c]:.1f}" for c in CATEGORIES)]]
    answers = table[table["measure"].eq("accuracy")]
    for variant, rows in answers.groupby("variant", sort=False):
        cells = []
        for _, row in rows.iterrows():
            theirs = " / ".join(f"{row[f'paper {llm}']:.1f}" for llm in BASE_LLMS)
            cells.append(f"{with_interval(row, 1, 100)}\n{theirs}")
        lines.append([ROWS[str(variant)].label, *cells])
    print_table(["", *map(category_name, CATEGORIES)], lines)
    words = table[table["measure"].eq("hit3")]
    states = list(dict.fromkeys(words["state"]))
    title = "patches of things with a true word among the top 3, by state (0: projector)"
    lines = [
        [ROWS[str(variant)].label, *(f"{value:.2f}" for value in rows["value"])]
        for variant, rows in words.groupby("variant", sort=False)
    ]
    print_table(["", *map(str, states)], lines, title)


def _print_orderings(runs: Mapping[str, Sequence[RunResult]], paper: PaperTable) -> None:
    """How many pairs of the paper's rows come out in the same order, and which do not."""
    pairs = orderings(runs, paper)
    verdicts = Counter(ordering.verdict for ordering in pairs)
    alike = sum(ordering.change > 0 for ordering in pairs)
    text = (
        f"Of {len(pairs)} orderings that the paper has for both of its base LLMs (two rows, a "
        f"category), {alike} have its direction here."
    )
    decidable = sum(ordering.seeds > 1 for ordering in pairs)
    if decidable:
        text += (
            f" {decidable} rest on several seeds: by their intervals {verdicts['same']} are the "
            f"same, {verdicts['opposite']} the opposite; by chance alone, about "
            f"{0.05 * decidable:.0f} would be called the one or the other."
        )
    if decidable < len(pairs):
        text += (
            f" {len(pairs) - decidable} rest on one seed, which decides none: it tells nothing of "
            "what another would give."
        )
    print_notes(text)
    for category in CATEGORIES:
        in_category = [pair for pair in pairs if pair.category == category]
        verdicts = Counter(pair.verdict for pair in in_category)
        alike = sum(pair.change > 0 for pair in in_category)
        print_notes(
            f"  {category_name(category)}: {alike} of {len(in_category)} in its direction; "
            f"{verdicts['same']} same, {verdicts['opposite']} opposite, "
            f"{verdicts['undecided']} undecided"
        )
    for pair in pairs:
        if pair.verdict == "opposite":
            print_notes(
                f"  opposite: {category_name(pair.category)}: the paper has {pair.higher} "
                f"above {pair.lower}, here it is {100 * pair.change:+.1f} points "
                f"({100 * pair.low:+.1f} to {100 * pair.high:+.1f})"
            )


def _print_losses(runs: pd.DataFrame) -> None:
    """How far the training of each variant has come, and how closely answers go with that."""
    if runs.empty:  # of runs whose losses are on record
        return
    means = runs.groupby("variant", sort=False)["loss"].mean()
    print_notes(
        "Training loss in the last fifth of stage 2: "
        + ", ".join(f"{variant} {loss:.4f}" for variant, loss in means.items())
        + "."
    )
    if len(runs) < FEW:
        return
    numbers = runs[["loss", *CATEGORIES]]
    apart = numbers - numbers.groupby(runs["variant"]).transform("mean")
    related = apart.corr()["loss"]
    print_notes(
        f"Seeds apart from their variant's mean, {len(runs)} runs: correlation of that loss with "
        "right answers: "
        + ", ".join(f"{category_name(c)} {related[c]:+.2f}" for c in CATEGORIES)
        + "."
    )
