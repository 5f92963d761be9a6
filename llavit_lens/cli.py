"""The command `llavit-lens`: its commands and their options.

What needs PyTorch is imported inside the commands, so that help and usage errors come at once.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from llavit_lens.corpus_options import (
    AgainstOption,
    BatchSizeOption,
    EngineName,
    EngineOption,
    HitsOutOption,
    ImagesArgument,
    ImagesFolderOption,
    ImagesPerShardOption,
    IndexArgument,
    IndexOutOption,
    IndexTableOption,
    LayerOption,
    LensName,
    LensOption,
    PerName,
    PerOption,
    ScanLayersOption,
    TrackedOption,
    WorkersOption,
)
from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import FIGURES, check_out, check_out_folder
from llavit_lens.options import (
    BaselineOption,
    CocoImagesOption,
    CocoOption,
    CocoWordsOption,
    Conversion,
    ConversionOption,
    FloorOption,
    ImageArgument,
    KOption,
    LabelOrientation,
    LayersOption,
    ModelOption,
    ModelsOption,
    NewFolderArgument,
    OrientationOption,
    OutsOption,
    PresetName,
    PresetOption,
    ProbeOption,
    ProjectorBaseOption,
    PromptOption,
    SeparateQkvOption,
    SourceArgument,
    TableOption,
    TileOption,
    Variant,
    VisionLayersOption,
    VisionTowerOption,
    VisualAttentionOption,
    WordsOutOption,
    checked,
    path,
    table_alone,
)
from llavit_lens.terminal import run
from llavit_lens.typed_numbers import parse_layers, parse_vision_layers
from llavit_lens.version import __version__
from llavit_lens.waiting import PYTORCH, waiting

app = typer.Typer(
    help="See, in words, what a vision-language model makes of every patch of an image.",
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


def main() -> None:
    """Entry point of `llavit-lens`."""
    run(app)


def _print_version(requested: bool) -> None:
    if requested:
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
    """See, in words, what a vision-language model makes of every patch of an image."""


@app.command()
def lens(
    image: ImageArgument,
    model: ModelOption = "demo:llavit",
    baseline: BaselineOption = None,
    prompt: PromptOption = None,
    layers: LayersOption = None,
    k: KOption = 5,
    out: WordsOutOption = None,
    tile: TileOption = None,
) -> None:
    """Read words off every patch of an image with the logit lens.

    Prints the most frequent words of each layer; --out also draws them or saves them all.
    """
    from llavit_lens.commands.logit_lens import logit_lens_report

    logit_lens_report(image, model, baseline or None, prompt, layers, k, out, tile)


@app.command(name="check-layout")
def check_layout(
    image: ImageArgument,
    model: ModelOption = "demo:llavit",
    tokens: Annotated[
        int, typer.Option(min=1, max=1_000, help="How many patches to paint, one by one.")
    ] = 10,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Which patches.")] = 0,
    on_image: Annotated[
        bool, typer.Option("--on-image", help="Paint on the image, not on a plain color.")
    ] = False,
) -> None:
    """Check that each visual token lies where it is drawn: paint its patch, see what changes.

    Only the size of the image matters, unless --on-image. Ends with code 1 unless all are right.
    """
    from llavit_lens.commands.check_layout import layout_report

    if not layout_report(image, model, tokens, seed, on_image):
        raise typer.Exit(1)


@app.command()
def readability(
    context: typer.Context,
    model: ModelsOption = ["demo:llavit"],  # noqa: B006  # typer copies it
    scenes: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="How many images to read.")
    ] = 100,
    seed: Annotated[
        int, typer.Option(min=0, max=899_999, help="Which scenes, or the order of --coco.")
    ] = 12345,
    coco: CocoOption = None,
    images: CocoImagesOption = None,
    words: CocoWordsOption = None,
    orientation: OrientationOption = None,
    probe: ProbeOption = 400,
    floor: FloorOption = True,
    table: TableOption = None,
    out: OutsOption = None,
) -> None:
    """Measure whether words name what patches show, with chance, ceiling and floor."""
    if table is not None:
        table_alone(context)
    elif coco is None and (images or words or orientation):
        raise ConfigurationError(
            "--images, --words and --orientation belong to --coco annotations.json"
        )
    elif coco is not None and images is None:
        raise ConfigurationError("--coco needs --images, the folder of its images")
    with waiting(PYTORCH):
        from llavit_lens.commands.readability import readability_report, redraw_readability

    if table is not None:
        redraw_readability(table, out or [])
        return
    pixels = _pixels(orientation)
    readability_report(model, scenes, seed, coco, images, words, probe, floor, out or [], pixels)


def _pixels(orientation: LabelOrientation | None) -> Literal["upright", "stored"] | None:
    if orientation is None:
        return None
    return "stored" if orientation is LabelOrientation.stored else "upright"


@app.command()
def scan(
    images: ImagesArgument,
    out: IndexOutOption,
    model: ModelOption = "demo:llavit",
    folder: ImagesFolderOption = None,
    prompt: PromptOption = None,
    layers: ScanLayersOption = None,
    k: KOption = 5,
    words: TrackedOption = None,
    lens: LensOption = LensName.logit,
    images_per_shard: ImagesPerShardOption = 64,
    batch_size: BatchSizeOption = None,
    engine: EngineOption = EngineName.local,
    workers: WorkersOption = None,
) -> None:
    """Read a corpus of images with a lens into an index of Parquet files, to search it.

    After an interruption the same command goes on. Images that cannot be read are listed.
    """
    from llavit_lens.corpus.sources import source_of

    listed = source_of(images, folder=folder)
    with waiting(PYTORCH):
        from llavit_lens.commands.scan import scan_report

    scan_report(
        listed,
        model,
        out,
        prompt=prompt,
        layers=layers,
        k=k,
        words=words,
        lens="logit_lens" if lens is LensName.logit else "input_similarity",
        images_per_shard=images_per_shard,
        batch_size=batch_size,
        engine="ray" if engine is EngineName.ray else "local",
        workers=workers,
    )


@app.command()
def convert(
    src: SourceArgument,
    out: NewFolderArgument,
    to: ConversionOption = Conversion("llavit"),  # noqa: B008  # a member, not a call
    separate_qkv: SeparateQkvOption = None,
    visual_attention: VisualAttentionOption = None,
    vision_feature_layer: VisionLayersOption = None,
    base: ProjectorBaseOption = None,
    vision_tower: VisionTowerOption = None,
) -> None:
    """Convert a LLaVA checkpoint of any format to LLaViT, or to transformers' LLaVA.

    Weights are copied shard by shard; after an interruption, the same command goes on.
    """
    layers = None if vision_feature_layer is None else parse_vision_layers(vision_feature_layer)
    with waiting(PYTORCH):
        from llavit_lens.commands.convert import convert_report

    mode = None if visual_attention is None else visual_attention.value
    convert_report(src, out, to.value, separate_qkv, mode, layers, base, vision_tower)


@app.command()
def find(
    word: Annotated[str, typer.Argument(help="A word, or several in quotes.", show_default=False)],
    index: IndexArgument,
    layer: LayerOption = None,
    min_probability: Annotated[
        float,
        typer.Option("--min-probability", min=0, max=1, help="Leave out hits below this."),
    ] = 0.0,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10**9, help="How many hits at most.")
    ] = 20,
    per: PerOption = PerName.patch,
    exact: Annotated[
        bool, typer.Option("--exact", help="Only the token that is this text, spaces included.")
    ] = False,
    min_cosine: Annotated[
        float | None,
        typer.Option(
            "--min-cosine",
            min=-1,
            max=1,
            help="Leave out hits below this, in an input-similarity index.",
        ),
    ] = None,
    out: HitsOutOption = None,
) -> None:
    """Find where a word is read in a corpus: in which images, on which patch, at which layer.

    Any case counts, with a space or without: dog finds ' Dog'. A word that is no token in any case
    is found where all its pieces are, in any order, with the lowest of their probabilities. Best
    hits come first.
    """
    from llavit_lens.commands.find import find_report

    layers = None if layer is None else parse_layers(layer, "--layer")
    find_report(word, index, layers, min_probability, limit, per.value, exact, min_cosine, out)


@app.command()
def words(
    index: IndexArgument,
    against: AgainstOption = None,
    n: Annotated[
        int, typer.Option("-n", min=1, max=10**9, help="How many words of each layer.")
    ] = 5,
    among: Annotated[
        int,
        typer.Option("--among", min=1, help="Count a word if it is among the N best of a patch."),
    ] = 1,
    out: IndexTableOption = None,
) -> None:
    """Print the commonest words of a corpus by layer, or what two models read differently there."""
    from llavit_lens.commands.words import words_report

    if against is not None and among != 1:
        raise ConfigurationError("--among has no effect beside --against: leave out one of them")
    words_report(index, against, n, among, out)


@demo.command()
def draw(
    out: Annotated[
        Path,
        typer.Option(
            parser=path,
            callback=checked(partial(check_out, suffixes=FIGURES)),
            help="The figure to write.",
        ),
    ] = Path("demo.png"),
    scene: Annotated[str | None, typer.Option(help="Name of an example scene.")] = None,
) -> None:
    """Draw an example scene with what demo:baseline and demo:llavit make of it."""
    with waiting(PYTORCH):
        from llavit_lens.commands.demo import draw_demo

    draw_demo(out, scene)


@demo.command()
def score(
    model: ModelOption = "demo:llavit",
    scenes: Annotated[int, typer.Option(min=2, max=100_000, help="How many new scenes.")] = 300,
    seed: Annotated[int, typer.Option(min=0, max=899_999, help="Which scenes.")] = 12345,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score what the lens reads and the model answers, against the truth of new scenes."""
    with waiting(PYTORCH):
        from llavit_lens.commands.score import score_report

    score_report(model, scenes, seed, as_json)


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
    preset: PresetOption = PresetName.cpu,
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
    with waiting(PYTORCH):
        from llavit_lens.miniature.recipe.train import train_demo

    folder = train_demo(variant.value, seed, out, preset=preset.value, shared=shared, anew=anew)
    print(f"The model is {folder.resolve()}")
