"""Options that commands and scripts share, checked before anything slow is imported."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from llavit_lens.disk import check_file, user_path
from llavit_lens.errors import ImageError, LlavitLensError
from llavit_lens.inputs import (
    PICTURES,
    TABLES,
    check_model,
    check_out,
    check_out_folder,
    check_text,
)


def path(text: str | Path) -> Path:
    """The parser of options and arguments that are paths; `Path` takes an empty name for `.`.

    Raises:
        LlavitLensError: the name is empty.
    """
    if text == "":
        raise LlavitLensError("the name of a file or folder is empty; give one")
    return Path(text)


def checked(check: Callable[[Any], object]) -> Callable[[Any], Any]:
    """A callback for an option: `check` looks at the value, or at each of several.

    None and '' are left to the command. So errors of names come before anything slow is imported.
    Paths come out with `~` replaced, so that all that follows means the same place.
    """

    def one(value: Any) -> Any:
        if value is None or value == "":
            return value
        check(value)
        return user_path(value) if isinstance(value, Path) else value

    def callback(value: Any) -> Any:
        return [one(each) for each in value] if isinstance(value, list) else one(value)

    return callback


CHECKED_IMAGE = checked(partial(check_file, error=ImageError))
CHECKED_FILE = checked(check_file)
CHECKED_MODEL = checked(check_model)

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        callback=CHECKED_MODEL,
        help="demo:NAME, a checkpoint folder, or owner/name on the Hub.",
    ),
]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        callback=CHECKED_MODEL,
        help="A second model to show beside it; '' for none.",
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        callback=CHECKED_MODEL,
        help="The language model that they were trained from: a folder or name.",
    ),
]
ImageOption = Annotated[
    Path | None,
    typer.Option(
        "--image",
        parser=path,
        callback=CHECKED_IMAGE,
        help="The picture; default: an example scene.",
    ),
]
PromptOption = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        callback=checked(partial(check_text, what="--prompt")),
        help="What the model is asked.",
    ),
]
LayersOption = Annotated[
    str | None,
    typer.Option(
        "--layers",
        help="'all' or numbers like '0,3,-1': 0 is the input, -1 the output. "
        "Without it: input, middle and output for a picture, all for a table.",
    ),
]
KOption = Annotated[int, typer.Option("-k", min=1, help="How many words.")]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=path,
        callback=checked(partial(check_out, suffixes=PICTURES + TABLES)),
        help="Where to write: .png, .pdf or .svg (picture), .csv or .parquet (table).",
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=path,
        callback=checked(check_out_folder),
        help="Folder for the table (.csv) and a figure of it (.png, .pdf).",
    ),
]


class Preset(StrEnum):
    """Sizes of the demo's training run."""

    cpu = "cpu"
    gpu = "gpu"
    smoke = "smoke"
