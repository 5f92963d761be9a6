"""Options that commands and scripts share, checked before anything slow is imported."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from llavit_lens.disk import check_file, user_path
from llavit_lens.errors import ConfigurationError, ImageError, LlavitLensError
from llavit_lens.inputs import (
    FIGURES,
    PAGES,
    TABLES,
    check_folder,
    check_model,
    check_new_folder,
    check_out,
    check_out_folder,
    check_text,
)
from llavit_lens.rows import ROWS, VISUAL_ATTENTION_MODES
from llavit_lens.shipped import named_example
from llavit_lens.typed_numbers import parse_layers, parse_tile, parse_vision_layers

# typer makes the choices of an option of an enum.
Variant = StrEnum("Variant", list(ROWS))  # type: ignore[misc]  # mypy wants the names here
Conversion = StrEnum("Conversion", [*ROWS, "llava"])  # type: ignore[misc]
VisualAttentionName = StrEnum("VisualAttentionName", list(VISUAL_ATTENTION_MODES))  # type: ignore[misc]


class PresetName(StrEnum):
    """Sizes of the demo's training run."""

    cpu = "cpu"
    gpu = "gpu"
    smoke = "smoke"


class LabelOrientation(StrEnum):
    """Which pixels labels refer to."""

    upright = "upright"
    stored = "stored"


def path(text: str | Path) -> Path:
    """The parser of options and arguments that are paths; `Path` takes an empty name for `.`.

    Raises:
        LlavitLensError: the name is empty.
    """
    if text == "":
        raise LlavitLensError("the name of a file or folder is empty; give one")
    return Path(text)


def image_path(text: str | Path) -> Path:
    """The parser of images: as `path`, and `example:NAME` is the file of an example scene.

    Raises:
        LlavitLensError: the name is empty, or there is no such example.
    """
    return named_example(str(text)) or path(text)


def checked(check: Callable[[Any], object]) -> Callable[[Any], Any]:
    """A callback for an option: `check` looks at the value, or at each of several.

    So wrong names are refused before anything slow is imported. The command itself treats None and
    ''. `~` is replaced in paths, so that all later steps mean the same file.
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
        parser=image_path,
        callback=CHECKED_IMAGE,
        help="The image, or example:NAME; default: an example scene.",
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
        callback=checked(parse_layers),
        help="'all' or numbers like '0,3,-1': 0 is the input, -1 the output. "
        "Without it: input, middle and output for a figure, all for a table or page.",
    ),
]
KOption = Annotated[int, typer.Option("-k", min=1, help="How many words per patch and layer.")]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=path,
        callback=checked(partial(check_out, suffixes=FIGURES + TABLES)),
        help="Where to write: .png, .pdf or .svg (figure), .csv or .parquet (table).",
    ),
]
WordsOutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=path,
        callback=checked(partial(check_out, suffixes=FIGURES + TABLES + PAGES)),
        help="Where to write: .png, .pdf or .svg (figure), .csv or .parquet (table), .html (a page "
        "to look at: hover, layers, search).",
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
TableOption = Annotated[
    Path | None,
    typer.Option(
        "--table",
        parser=path,
        callback=CHECKED_FILE,
        help="A table (.csv) that this command wrote: its figure is drawn again, to --out, and "
        "nothing is measured.",
    ),
]
PaperLayoutOption = Annotated[
    bool,
    typer.Option("--paper-layout", help="Draw it as the paper does, with the paper's number."),
]
PresetOption = Annotated[PresetName, typer.Option("--preset", help="How large.")]
ScenesOption = Annotated[int, typer.Option("--scenes", max=100_000, help="Held-out scenes.")]
SeedOption = Annotated[int, typer.Option("--seed", max=899_999, help="Which set of scenes.")]

# Of `lens`, `convert` and `readability` alone.
ImageArgument = Annotated[
    Path,
    typer.Argument(
        parser=image_path,
        callback=CHECKED_IMAGE,
        help="The image, or example:NAME for an example scene.",
        show_default=False,
    ),
]
TileOption = Annotated[
    str | None,
    typer.Option(
        "--tile",
        callback=checked(parse_tile),
        help="Which tile to draw where a model sees the image in several: its number, or 'grid' "
        "for all that show parts. (default: the whole image)",
    ),
]
SourceArgument = Annotated[
    str,
    typer.Argument(
        callback=CHECKED_MODEL,
        help="A LLaVA or LLaViT checkpoint of any format: a folder, or owner/name on the Hub.",
        show_default=False,
    ),
]
NewFolderArgument = Annotated[
    Path,
    typer.Argument(
        parser=path,
        callback=checked(check_new_folder),
        help="The folder to write; it must not exist.",
        show_default=False,
    ),
]
ConversionOption = Annotated[
    Conversion,
    typer.Option(
        "--to",
        metavar="ROW",
        help=f"A row of the paper's Tables 1 and 3: {', '.join(ROWS)}; or llava, which is "
        "transformers' own.",
    ),
]
SeparateQkvOption = Annotated[
    bool | None,
    typer.Option(
        "--separate-qkv/--no-separate-qkv",
        help="Visual projections of their own, copied from the text ones. (default: the row's)",
    ),
]
VisualAttentionOption = Annotated[
    VisualAttentionName | None,
    typer.Option("--visual-attention", help="What visual tokens attend to. (default: the row's)"),
]
VisionLayersOption = Annotated[
    str | None,
    typer.Option(
        "--vision-feature-layer",
        callback=checked(parse_vision_layers),
        metavar="LAYERS",
        help="Like -2 or 5,15,23, with those of SRC among them. (default: the row's)",
    ),
]
ProjectorBaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        callback=CHECKED_MODEL,
        help="For a projector alone (stage 1): its language model, folder or name.",
    ),
]
VisionTowerOption = Annotated[
    str | None,
    typer.Option(
        "--vision-tower",
        callback=CHECKED_MODEL,
        help="For an original LLaVA folder: its vision tower, folder or name.",
    ),
]
ModelsOption = Annotated[
    list[str],
    typer.Option(
        "--model",
        callback=CHECKED_MODEL,
        help="demo:NAME, a folder, or owner/name on the Hub; may be repeated.",
    ),
]
CocoOption = Annotated[
    Path | None,
    typer.Option(
        "--coco",
        parser=path,
        callback=CHECKED_FILE,
        help="Annotations in COCO's format, to read images and not scenes.",
    ),
]
CocoImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--images",
        parser=path,
        callback=checked(check_folder),
        help="Folder of the images of --coco.",
    ),
]
CocoWordsOption = Annotated[
    Path | None,
    typer.Option(
        "--words",
        parser=path,
        callback=CHECKED_FILE,
        help='JSON of more true words for --coco: {"person": ["man", "woman"]}.',
    ),
]
OrientationOption = Annotated[
    LabelOrientation | None,
    typer.Option(
        "--orientation",
        help="The pixels that --coco refers to: of the upright image, or as stored in the "
        "file, before its EXIF orientation is applied. (default: upright, with a warning)",
    ),
]
ProbeOption = Annotated[
    int,
    typer.Option(
        "--probe",
        min=0,
        max=1_000_000,
        help="Other images to train the linear probe on; 0: no probe.",
    ),
]
FloorOption = Annotated[
    bool, typer.Option(help="Read each architecture with untrained weights, too.")
]
OutsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--out",
        parser=path,
        callback=checked(partial(check_out, suffixes=TABLES + FIGURES)),
        help="Where to write: .csv or .parquet (table), .png, .pdf or .svg (figure); may be "
        "repeated.",
    ),
]


def table_alone(context: typer.Context) -> None:
    """Refuse what is given beside --table and --out: a figure that is drawn again measures nothing.

    Raises:
        ConfigurationError: another option was given.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in ("table", "out") and source and source.name == "COMMANDLINE":
            raise ConfigurationError(
                f"{parameter.opts[0]} has no effect beside --table, which draws the figure of a "
                "table again and measures nothing: leave out one of them"
            )
