"""What `analyses/figure_1.py` to `figure_6.py` do: read images with models, draw, save."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.numbered import Mark
from llavit_lens.inputs import DEFAULT_PROMPT, is_demo
from llavit_lens.output import make_folder, write_figure
from llavit_lens.studies.paper_figures.caption import figure_notes
from llavit_lens.studies.paper_figures.cards import draw_cards
from llavit_lens.studies.paper_figures.contents import FigureImage
from llavit_lens.studies.paper_figures.data import figure_data
from llavit_lens.studies.paper_figures.definitions import FIGURES, PaperFigure
from llavit_lens.studies.paper_figures.figure_images import FigureInput, one_for_each, open_images
from llavit_lens.studies.paper_figures.lists import draw_lists
from llavit_lens.studies.paper_figures.model_words import (
    ModelWords,
    check_cells,
    read_model,
    read_patches,
)
from llavit_lens.studies.paper_figures.patch_choice import BY_HAND, Cell
from llavit_lens.vlm.program import load


def figure_report(
    number: int,
    images: Sequence[Path] = (),
    scenes: Sequence[str] = (),
    baselines: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    patches: Sequence[str] = (),
    relevant: Sequence[str] = (),
    prompt: str | None = None,
    layer: int = -1,
    device: str = "auto",
    dtype: str = "auto",
    out: Path = Path(),
    *,
    paper_layout: bool = False,
) -> None:
    """Draw one of the paper's Figures 1, 3, 4, 5 and 6; write it as .png, .pdf and .json.

    Args:
        number: which.
        images: files; the example scenes of `scenes` stand before them.
        scenes: names of example scenes. Default, if there are no images either: two of them.
        baselines, models: as `load` takes them; one for all images or one for each; '' for none.
            Default: demo:baseline, and demo:llavit where the paper shows LLaViT beside it.
        patches: as `parse_patches`; one text for all images or one for each. Default: by rule.
        relevant: words with commas between that are marked, one text for all `images` or one for
            each. Scenes have their truth.
        prompt: the question to the models.
        layer: the layer of the logit lens, -1 for the output.
        device, dtype: as `load` takes them.
        out: the folder.
        paper_layout: with the paper's number and its way to mark relevant words.

    Raises:
        LlavitLensError: an argument that makes no sense, or a model or image that cannot be read.
    """
    definition = FIGURES[number]
    make_folder(out)
    inputs = open_images(definition, images, scenes, relevant)
    cells = one_for_each([parse_patches(text) for text in patches], inputs, "--patches")
    names = _models_of_images(definition, baselines, models, inputs)
    read: list[dict[str, ModelWords]] = [{} for _ in inputs]
    provenance = {}
    for name in dict.fromkeys(name for pair in names for name in pair):
        vlm = load(name, device=device, dtype=dtype)  # one model is in memory at a time
        for image, pair, words in zip(inputs, names, read, strict=True):
            if name in pair:
                trace = vlm.trace(image.image, prompt or DEFAULT_PROMPT)
                words[name] = read_model(trace, definition, layer)
                provenance[words[name].model] = trace.provenance
        del vlm, trace
    in_order = [[words[name] for name in pair] for pair, words in zip(names, read, strict=True)]
    contents = _contents(definition, inputs, in_order, cells)
    miniature = any(map(is_demo, provenance))
    title = definition.title
    mark: Mark = "outline"
    if paper_layout:
        title = f"Figure {number}. {title}"
        mark = "bold" if definition.bold else "yellow"
    meanings = _meanings(inputs)
    notes = figure_notes(definition, contents, meanings, mark, miniature)
    draw = draw_cards if definition.words_drawn is None else draw_lists
    figure = draw(contents, title, " ".join(notes), mark, ", or ".join(meanings))
    write_figure(definition.name, figure, figure_data(definition, notes, contents, provenance), out)


def parse_patches(text: str) -> list[Cell]:
    """(row, column, tile) of each patch in text like '3,5 0,2' or, with tiles, '3,5,1 0,2,4'.

    Without a tile it is that of the whole image: None.

    Raises:
        ConfigurationError: the text is something else.
    """
    cells: list[Cell] = []
    for part in text.split():
        try:
            row, col, *tile = (int(number) for number in part.split(","))
            (tile_number,) = tile if tile else (None,)
        except ValueError:
            cells = []
            break
        cells.append((row, col, tile_number))
    if not cells:
        raise ConfigurationError(
            f"--patches {text!r}: give a row and a column for each patch, like '3,5 0,2', or these "
            "and a tile, like '3,5,1'"
        )
    return cells


def _models_of_images(
    definition: PaperFigure,
    baselines: Sequence[str] | None,
    models: Sequence[str] | None,
    images: Sequence[FigureInput],
) -> list[list[str]]:
    """The names of the models of each image, the baseline first."""
    if baselines is None:
        baselines = ["demo:baseline"]
    if models is None:
        models = ["demo:llavit"] if definition.compares else []
    pairs = zip(
        one_for_each(baselines, images, "--baseline"),
        one_for_each(models, images, "--model"),
        strict=True,
    )
    names = [[name for name in dict.fromkeys(pair) if name] for pair in pairs]
    if not all(names):
        raise ConfigurationError("there is no model to read with: give --model or --baseline")
    if len({len(pair) for pair in names}) > 1:
        raise ConfigurationError("one image has two models and another has one: give pairs for all")
    return names


def _contents(
    definition: PaperFigure,
    inputs: Sequence[FigureInput],
    read: Sequence[Sequence[ModelWords]],
    cells: Sequence[list[Cell] | None],
) -> list[FigureImage]:
    """Each image with its words at the patches that are named, or that a rule chooses."""
    contents: list[FigureImage] = []
    for image, models, named in zip(inputs, read, cells, strict=True):
        layout, model = models[0].layout, models[0].model
        by_rule = image.choose_cells(layout, model) if named is None else (named, BY_HAND)
        image_cells, rule = by_rule
        check_cells(image_cells, models, image.name)
        relevant = image.relevant(image_cells, layout, model)
        first = 1 + sum(len(earlier.patches) for earlier in contents)
        patches = read_patches(models, image_cells, relevant, definition, first)
        names = tuple(words.model for words in models)
        contents.append(FigureImage(image.name, image.drawn, layout, names, patches, rule))
    return contents


def _meanings(inputs: Sequence[FigureInput]) -> list[str]:
    """What a marked word may be."""
    meanings = []
    if any(image.truth for image in inputs):
        meanings.append("true of the thing or background on the patch")
    if any(image.listed for image in inputs):
        meanings.append("in the list for the image, not checked for this patch")
    return meanings
