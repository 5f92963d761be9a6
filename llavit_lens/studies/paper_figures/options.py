"""The options of `analyses/figure_1.py` to `figure_6.py`, which are alike but for their number."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llavit_lens.inputs import check_out_folder
from llavit_lens.options import (
    CHECKED_IMAGE,
    CHECKED_MODEL,
    PaperLayoutOption,
    PromptOption,
    checked,
    image_path,
    path,
)
from llavit_lens.waiting import PYTORCH, waiting


def figure_app(number: int, summary: str) -> typer.Typer:
    """The command line of one figure.

    Args:
        number: the paper's.
        summary: what it draws, in one line.
    """
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command(help=summary)
    def main(
        baseline: Annotated[
            list[str] | None,
            typer.Option(
                callback=CHECKED_MODEL,
                help="demo:NAME, a checkpoint folder, or owner/name on the Hub; '' for none. Once "
                "for all images, or once for each. Default: demo:baseline.",
            ),
        ] = None,
        model: Annotated[
            list[str] | None,
            typer.Option(
                callback=CHECKED_MODEL,
                help="A model to show beside it, likewise. Default, as in the paper: demo:llavit "
                "in Figures 3, 5 and 6, none in Figures 1 and 4.",
            ),
        ] = None,
        image: Annotated[
            list[Path] | None,
            typer.Option(
                parser=image_path,
                callback=CHECKED_IMAGE,
                help="An image, or example:NAME; may be given several times.",
            ),
        ] = None,
        scene: Annotated[
            list[str] | None,
            typer.Option(
                help="Name of an example scene; may be given several times. Default, without "
                "--image: two of them."
            ),
        ] = None,
        patches: Annotated[
            list[str] | None,
            typer.Option(
                metavar="PLACES",
                help="Row and column of each patch, like '3,5 0,2'. Once for all images, or once "
                "for each. Default: by a rule, which the figure states.",
            ),
        ] = None,
        relevant: Annotated[
            list[str] | None,
            typer.Option(
                metavar="WORDS",
                help="Words to mark, like 'dog,tail,belly'. Once for all images of --image, or "
                "once for each. Scenes are marked by their truth.",
            ),
        ] = None,
        layer: Annotated[int, typer.Option(help="Layer of the logit lens: -1 is the output.")] = -1,
        prompt: PromptOption = None,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
        dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
        paper_layout: PaperLayoutOption = False,
        out: Annotated[
            Path,
            typer.Option(
                parser=path,
                callback=checked(check_out_folder),
                help="Folder for the figure (.png, .pdf) and its data (.json).",
            ),
        ] = Path(),
    ) -> None:
        with waiting(PYTORCH):
            from llavit_lens.studies.paper_figures.report import figure_report

        figure_report(
            number,
            image or [],
            scene or [],
            baseline,
            model,
            patches or [],
            relevant or [],
            prompt,
            layer,
            device,
            dtype,
            out,
            paper_layout=paper_layout,
        )

    return app
