"""Options of commands that read or search corpora, checked before anything slow is imported."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from llavit_lens.inputs import (
    FIGURES,
    PAGES,
    TABLES,
    check_folder,
    check_out,
    check_out_folder,
    check_text,
)
from llavit_lens.options import checked, path
from llavit_lens.typed_numbers import parse_layers


class LensName(StrEnum):
    """Which lens reads a corpus."""

    logit = "logit"
    input_similarity = "input-similarity"


class PerName(StrEnum):
    """What one hit of a search is."""

    image = "image"
    patch = "patch"
    layer = "layer"


class EngineName(StrEnum):
    """Who reads a corpus."""

    local = "local"
    ray = "ray"


# Of `scan`.
ImagesArgument = Annotated[
    str,
    typer.Argument(
        help="A folder; a list of paths (.csv, .jsonl, .parquet; list.csv:COLUMN); a COCO-style "
        ".json; tars as webdataset writes them; or a pattern.",
        show_default=False,
    ),
]
ImagesFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        parser=path,
        callback=checked(check_folder),
        help="Of the images of a .json; where relative paths start, for a list.",
    ),
]
IndexOutOption = Annotated[
    Path,
    typer.Option(
        "--out",
        parser=path,
        callback=checked(check_out_folder),
        metavar="INDEX",
        help="Folder of the index; an unfinished index is continued.",
    ),
]
ScanLayersOption = Annotated[
    str | None,
    typer.Option(
        "--layers",
        callback=checked(parse_layers),
        help="Numbers like '0,3,-1': 0 is the input, -1 the output. (default: all)",
    ),
]
TrackedOption = Annotated[
    str | None,
    typer.Option(
        "--words",
        callback=checked(partial(check_text, what="--words")),
        help="Words to follow through all patches and layers, such as 'dog,cat'; each one token, "
        "with or without a space before it.",
    ),
]
LensOption = Annotated[
    LensName, typer.Option("--lens", help="The logit lens, or cosines of embeddings (Eq. 4).")
]
ImagesPerShardOption = Annotated[
    int,
    typer.Option(
        "--images-per-shard",
        min=1,
        max=1_000_000,
        help="Images in one file: the most that a crash may cost.",
    ),
]
EngineOption = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        help="Who reads: this process and others that torchrun or srun started, or those of a Ray "
        "cluster.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        max=100_000,
        help="Processes of Ray that hold the model. (default: one for each GPU, or else core)",
    ),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, max=10_000, help="Images in one pass. (default: by their size)"
    ),
]

# Of `find` and `words`.
IndexArgument = Annotated[
    Path,
    typer.Argument(
        parser=path,
        callback=checked(check_folder),
        help="The folder that llavit-lens scan wrote.",
        show_default=False,
    ),
]
AgainstOption = Annotated[
    Path | None,
    typer.Option(
        "--against",
        parser=path,
        callback=checked(check_folder),
        help="The index of another model on the same images: print what they read differently.",
    ),
]
LayerOption = Annotated[
    str | None,
    typer.Option(
        "--layer",
        callback=checked(partial(parse_layers, option="--layer")),
        help="One or several, like '12' or '0,12,-1': 0 is the input, -1 the output. "
        "(default: all)",
    ),
]
PerOption = Annotated[
    PerName,
    typer.Option(
        "--per",
        help="What a hit is: a patch at its best layer, an image at its best patch and layer, or "
        "every layer of every patch.",
    ),
]
HitsOutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=path,
        callback=checked(partial(check_out, suffixes=TABLES + FIGURES + PAGES)),
        help="Where to write: .csv or .parquet (table), .png, .pdf, .svg or .html (a sheet of the "
        "best hits in their images).",
    ),
]
IndexTableOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=path,
        callback=checked(partial(check_out, suffixes=TABLES)),
        help="Where to write the table: .csv or .parquet.",
    ),
]
