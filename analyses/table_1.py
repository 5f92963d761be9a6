"""Visual attention matters: the baseline beside a model trained without it, in miniature.

    python analyses/table_1.py --out tables
    python analyses/table_1.py --train runs --seeds 0,1,2 --out tables

After Table 1 of the paper. The first command compares the results of our runs, kept in
`analyses/results`; the second trains every model anew (hours) and needs the font Noto Color Emoji.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llavit_lens import cli

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Table 1 of the paper in miniature, beside the paper's numbers.")
def main(
    results: cli.ResultsOption = None,
    train: cli.TrainOption = None,
    seeds: cli.SeedsOption = "0,1,2",
    preset: Annotated[cli.Preset, typer.Option(help="How large.")] = cli.Preset.cpu,
    scenes: Annotated[int, typer.Option(help="Held-out scenes to examine new runs on.")] = 500,
    out: cli.FolderOption = None,
) -> None:
    from llavit_lens.evaluation.paper_accuracy import TABLE_1
    from llavit_lens.reports.tables import table_report

    numbers = cli.seed_numbers(seeds)
    results = results or (train / "results" if train else Path(__file__).parent / "results")
    table_report("table_1", TABLE_1, results, train, numbers, preset.value, out, scenes)


if __name__ == "__main__":
    cli.run(app)
