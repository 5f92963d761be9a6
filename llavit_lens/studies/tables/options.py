"""The options of `analyses/table_1.py` and `table_3.py`, which are alike but for their number."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import check_out_folder
from llavit_lens.options import (
    FolderOption,
    PaperLayoutOption,
    PresetName,
    PresetOption,
    checked,
    path,
)
from llavit_lens.waiting import PYTORCH, waiting


def table_app(number: int, ours: Path) -> typer.Typer:
    """The command line of one table in miniature.

    Args:
        number: the paper's, 1 or 3.
        ours: folder of the results that are compared without --results and --train.
    """
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command(help=f"Table {number} of the paper in miniature, beside the paper's numbers.")
    def main(
        results: Annotated[
            Path | None,
            typer.Option(
                parser=path,
                callback=checked(check_out_folder),
                help="Folder of the runs' results, a JSON file each. "
                "(default: ours; with --train, the folder `results` in it)",
            ),
        ] = None,
        train: Annotated[
            Path | None,
            typer.Option(
                parser=path,
                callback=checked(check_out_folder),
                help="Folder of trained models; those missing are trained there (hours).",
            ),
        ] = None,
        seeds: Annotated[
            str, typer.Option(metavar="N,N,…", help="Seeds of the runs to train.")
        ] = "0,1,2",
        preset: PresetOption = PresetName.cpu,
        scenes: Annotated[
            int, typer.Option(max=100_000, help="Held-out scenes to examine new runs on.")
        ] = 500,
        paper_layout: PaperLayoutOption = False,
        out: FolderOption = None,
    ) -> None:
        numbers = _numbers(seeds)
        from llavit_lens.studies.tables.paper_accuracy import TABLE_1, TABLE_3

        with waiting(PYTORCH):
            from llavit_lens.studies.tables.report import table_report

        paper = {1: TABLE_1, 3: TABLE_3}[number]
        folder = results or (train / "results" if train else ours)
        table_report(number, paper, folder, train, numbers, preset.value, out, scenes, paper_layout)

    return app


def _numbers(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = [-1]
    if min(seeds) < 0:
        raise ConfigurationError(f"--seeds {text!r}: give numbers from 0 on, like 0,1,2")
    return seeds
