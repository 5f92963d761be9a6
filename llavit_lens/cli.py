"""The command `llavit-lens`, and what the scripts in `analyses/` share with it.

Whatever needs PyTorch is imported inside the commands: help and usage errors answer at once.
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import (
    PICTURES,
    TABLES,
    check_folder,
    check_new_folder,
    check_out,
    check_out_folder,
)
from llavit_lens.options import (
    CHECKED_FILE,
    CHECKED_IMAGE,
    CHECKED_MODEL,
    BaselineOption,
    KOption,
    LayersOption,
    ModelOption,
    OutOption,
    Preset,
    PromptOption,
    checked,
    path,
)
from llavit_lens.rows import ROWS, VISUAL_ATTENTION_MODES
from llavit_lens.terminal import run
from llavit_lens.version import __version__

app = typer.Typer(
    help="See, in words, what a vision-language model makes of every patch of a picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
demo = typer.Typer(
    help="The miniature models that come with llavit-lens, and the world they were trained on.",
    no_args_is_help=True,
)
app.add_typer(demo, name="demo")


Variant = StrEnum("Variant", list(ROWS))  # type: ignore[misc]  # mypy wants the names here
Conversion = StrEnum("Conversion", [*ROWS, "llava"])  # type: ignore[misc]
VisualAttention = StrEnum("VisualAttention", list(VISUAL_ATTENTION_MODES))  # type: ignore[misc]


class LabelOrientation(StrEnum):
    """Which pixels labels refer to."""

    upright = "upright"
    stored = "stored"


def main() -> None:
    """Entry point of `llavit-lens`."""
    run(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"llavit-lens {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """See, in words, what a vision-language model makes of every patch of a picture."""


@app.command()
def lens(
    image: Annotated[
        Path,
        typer.Argument(
            parser=path, callback=CHECKED_IMAGE, help="The picture.", show_default=False
        ),
    ],
    model: ModelOption = "demo:llavit",
    baseline: BaselineOption = None,
    prompt: PromptOption = None,
    layers: LayersOption = None,
    k: KOption = 5,
    out: OutOption = None,
    tile: Annotated[
        str | None,
        typer.Option(
            help="Which tile to draw where a model sees the picture in several: 1, 2, …, or "
            "'grid' for all of them. (default: the whole picture)"
        ),
    ] = None,
) -> None:
    """Read words off every patch of a picture with the logit lens.

    Prints the most frequent words of each layer; --out also draws them or saves them all.
    """
    from llavit_lens.commands.lens import logit_lens_report

    logit_lens_report(image, model, baseline or None, prompt, layers, k, out, tile)


@app.command()
def readability(
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            callback=CHECKED_MODEL,
            help="demo:NAME, a folder, or owner/name on the Hub; may be repeated.",
        ),
    ] = ["demo:llavit"],  # noqa: B006  # typer copies it
    scenes: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="How many pictures to read.")
    ] = 100,
    seed: Annotated[
        int, typer.Option(min=0, max=899_999, help="Which scenes, or the order of --coco.")
    ] = 12345,
    coco: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            callback=CHECKED_FILE,
            help="Annotations in COCO's format, to read pictures and not scenes.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            parser=path, callback=checked(check_folder), help="Folder of the pictures of --coco."
        ),
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            callback=CHECKED_FILE,
            help='JSON of more true words for --coco: {"person": ["man", "woman"]}.',
        ),
    ] = None,
    orientation: Annotated[
        LabelOrientation | None,
        typer.Option(
            help="The pixels that --coco refers to: of the upright image, or as stored in the "
            "file, before its EXIF orientation is applied. (default: upright, with a warning)"
        ),
    ] = None,
    probe: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_000_000,
            help="Other pictures to train the linear probe on; 0: no probe.",
        ),
    ] = 400,
    floor: Annotated[
        bool, typer.Option(help="Read each architecture with untrained weights, too.")
    ] = True,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            parser=path,
            callback=checked(partial(check_out, suffixes=TABLES + PICTURES)),
            help="Where to write: .csv or .parquet (table), .png, .pdf or .svg (picture); may be "
            "repeated.",
        ),
    ] = None,
) -> None:
    """Measure whether words name what patches show, with chance, ceiling and floor."""
    from llavit_lens.commands.readability import readability_report

    readability_report(
        model, scenes, seed, coco, images, words, probe, floor, out or [], _pixels(orientation)
    )


def _pixels(said: LabelOrientation | None) -> Literal["upright", "stored"] | None:
    if said is None:
        return None
    return "stored" if said is LabelOrientation.stored else "upright"


@app.command()
def convert(
    src: Annotated[
        str,
        typer.Argument(
            callback=CHECKED_MODEL,
            help="A LLaVA or LLaViT checkpoint of any format: a folder, or owner/name on the Hub.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            parser=path,
            callback=checked(check_new_folder),
            help="The folder to write; it must not exist.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Conversion,
        typer.Option(
            metavar="ROW",
            help=f"A row of the paper's Tables 1 and 3: {', '.join(ROWS)}; "
            "or llava, which is transformers' own.",
        ),
    ] = Conversion("llavit"),  # noqa: B008  # a member, not a call
    separate_qkv: Annotated[
        bool | None,
        typer.Option(
            "--separate-qkv/--no-separate-qkv",
            help="Visual projections of their own, copied from the text ones. (default: the row's)",
        ),
    ] = None,
    visual_attention: Annotated[
        VisualAttention | None,
        typer.Option(help="What visual tokens attend to. (default: the row's)"),
    ] = None,
    vision_feature_layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYERS",
            help="Like -2 or 5,15,23, with those of SRC among them. (default: the row's)",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            callback=CHECKED_MODEL,
            help="For a projector alone (stage 1): its language model, folder or name.",
        ),
    ] = None,
    vision_tower: Annotated[
        str | None,
        typer.Option(
            callback=CHECKED_MODEL,
            help="For an original LLaVA folder: its vision tower, folder or name.",
        ),
    ] = None,
) -> None:
    """Convert a LLaVA checkpoint of any format to LLaViT, or to transformers' LLaVA.

    Weights are copied shard by shard; after an interruption, the same command goes on.
    """
    layers = _layer_numbers(vision_feature_layer)
    from llavit_lens.model.checkpoints.convert import convert as convert_folder
    from llavit_lens.vlm.load import checkpoint_folder

    place = out.resolve()  # now: the current folder may be replaced
    target = convert_folder(
        checkpoint_folder(src),
        out,
        to.value,
        separate_qkv,
        None if visual_attention is None else visual_attention.value,
        layers,
        base,
        vision_tower,
    )
    for note in target.notes:
        print(note)
    print(f"The model is {place}")


def _layer_numbers(text: str | None) -> int | list[int] | None:
    if text is None:
        return None
    try:
        layers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigurationError(
            f"--vision-feature-layer {text!r}: give numbers like -2 or 5,15,23"
        ) from error
    return layers if len(layers) > 1 else layers[0]


@demo.command()
def draw(
    out: Annotated[
        Path,
        typer.Option(
            parser=path,
            callback=checked(partial(check_out, suffixes=PICTURES)),
            help="The picture to write.",
        ),
    ] = Path("demo.png"),
    scene: Annotated[str | None, typer.Option(help="Name of an example scene.")] = None,
) -> None:
    """Draw an example scene with what demo:baseline and demo:llavit make of it."""
    from llavit_lens.commands.demo import draw_demo

    draw_demo(out, scene)
    print(f"The picture is {out.resolve()}")


@demo.command()
def score(
    model: ModelOption = "demo:llavit",
    scenes: Annotated[int, typer.Option(min=2, max=100_000, help="How many new scenes.")] = 300,
    seed: Annotated[int, typer.Option(min=0, max=899_999, help="Which scenes.")] = 12345,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score what the lens reads and the model answers, against the truth of new scenes."""
    from llavit_lens.miniature.benchmark.score import score_model
    from llavit_lens.vlm.load import load

    scores = score_model(load(model), scenes, seed)  # its progress bar goes to stderr
    if as_json:
        print(json.dumps(scores, indent=2))
    else:
        _print_scores(scores, model)


@demo.command()
def train(
    variant: Annotated[Variant, typer.Option(help="Which row of the paper's Tables 1 and 3.")],
    out: Annotated[
        Path,
        typer.Option(
            parser=path, callback=checked(check_out_folder), help="Folder for the checkpoint."
        ),
    ],
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    preset: Annotated[Preset, typer.Option(help="How large.")] = Preset.cpu,
    shared: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            callback=checked(check_out_folder),
            help="Folder of the pretrained tower and LLM that all variants share.",
        ),
    ] = None,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Pretrain tower and LLM too, instead of taking ours (hours)."),
    ] = False,
) -> None:
    """Train a miniature model by the paper's two stages; run again, it goes on where it stopped."""
    from llavit_lens.miniature.recipe.train import train_demo

    folder = train_demo(variant.value, seed, out, preset=preset.value, shared=shared, anew=anew)
    print(f"The model is {folder.resolve()}")


# Columns of the table of layers; the JSON has more.
_COLUMNS = {
    "layer": "layer",
    "hit3": "hit@3",
    "chance3": "chance",
    "name3": "name@3",
    "name_chance3": "chance",
    "background3": "backgr.@3",
    "newline1": "newline",
}


def _print_scores(scores: dict[str, Any], name: str) -> None:
    """The JSON of `score` in short: each layer, the input similarity, the answers."""
    console = Console()
    table = Table(*_COLUMNS.values(), title=escape(f"{name}: true words among the top 3"))
    rows = [{"layer": "input (cosine)", **scores["input_similarity"]}, *scores["layers"]]
    for row in rows:
        best = row["layer"] == scores["best_layer"]["layer"]
        cells = [row[column] for column in _COLUMNS]
        table.add_row(*map(_cell, cells), style="bold" if best else None)
    console.print(table)
    console.print(f"best layer, chosen on other scenes: {scores['best_layer']['layer']}")
    table = Table("", *scores["accuracy"], title="share of questions answered rightly")
    table.add_row("model", *map(_cell, scores["accuracy"].values()))
    table.add_row("by guessing", *map(_cell, scores["guess"].values()))
    console.print(table)


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
