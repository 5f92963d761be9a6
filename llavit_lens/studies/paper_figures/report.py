"""What `analyses/figure_1.py` to `figure_6.py` do: read pictures with models, draw, save."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import DEFAULT_PROMPT, is_demo
from llavit_lens.output import make_folder, write_figure
from llavit_lens.studies.paper_figures.cards import draw_cards
from llavit_lens.studies.paper_figures.data import figure_data
from llavit_lens.studies.paper_figures.lists import draw_lists
from llavit_lens.studies.paper_figures.notes import figure_notes
from llavit_lens.studies.paper_figures.patch_choice import BY_HAND, Place
from llavit_lens.studies.paper_figures.readings import (
    PictureReadings,
    Probed,
    check_places,
    probe,
    read_patches,
)
from llavit_lens.studies.paper_figures.specs import FIGURES, FigureSpec
from llavit_lens.studies.paper_figures.subjects import Subject, one_for_each, open_subjects
from llavit_lens.vlm.load import load


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
) -> None:
    """Draw one of the paper's Figures 1, 3, 4, 5 and 6; write it as .png, .pdf and .json.

    Args:
        number: which.
        images: pictures; those of `scenes` stand before them.
        scenes: names of example scenes. Default, if there are no images either: two of them.
        baselines, models: as `load` takes them; one for all pictures or one for each; '' for none.
            Default: demo:baseline, and demo:llavit where the paper shows LLaViT beside it.
        patches: as `parse_places`; one text for all pictures or one for each. Default: by rule.
        relevant: words with commas between that are marked, one text for all `images` or one for
            each. Scenes have their truth.
        prompt: what the models are asked.
        layer: the layer of the logit lens, -1 for the output.
        device, dtype: as `load` takes them.
        out: the folder.

    Raises:
        LlavitLensError: an argument that makes no sense, or a model or picture that cannot be read.
    """
    spec = FIGURES[number]
    make_folder(out)
    subjects = open_subjects(spec, images, scenes, relevant)
    chosen = one_for_each([parse_places(text) for text in patches], subjects, "--patches")
    by_picture = _models_of_pictures(spec, baselines, models, subjects)
    probed: list[dict[str, Probed]] = [{} for _ in subjects]
    provenance = {}
    for name in dict.fromkeys(name for names in by_picture for name in names):
        vlm = load(name, device=device, dtype=dtype)  # one model is in memory at a time
        for subject, names, own in zip(subjects, by_picture, probed, strict=True):
            if name in names:
                trace = vlm.trace(subject.image, prompt or DEFAULT_PROMPT)
                own[name] = probe(trace, spec, layer)
                provenance[own[name].model] = trace.provenance
        del vlm, trace
    pictures: list[PictureReadings] = []
    for subject, names, own, places in zip(subjects, by_picture, probed, chosen, strict=True):
        first = 1 + sum(len(picture.patches) for picture in pictures)
        pictures.append(_read(subject, [own[name] for name in names], places, spec, first))
    known = any(subject.truth for subject in subjects)
    meanings = ["true of the thing or background on the patch"] if known else []
    if any(subject.listed for subject in subjects):
        meanings.append("in the list for the picture, not checked for this patch")
    miniature = any(map(is_demo, provenance))
    notes = figure_notes(spec, pictures, meanings, miniature)
    title = f"Figure {number}. {spec.title}"
    if spec.chosen is None:
        figure = draw_cards(pictures, title, notes)
    else:
        figure = draw_lists(pictures, title, notes, spec)
    write_figure(spec.name, figure, figure_data(spec, notes, pictures, provenance), out)


def parse_places(text: str) -> list[Place]:
    """(row, column, tile) of each patch in text like '3,5 0,2' or, with tiles, '3,5,1 0,2,4'.

    Raises:
        ConfigurationError: the text is something else.
    """
    places: list[Place] = []
    for part in text.split():
        try:
            row, col, *tile = (int(number) for number in part.split(","))
            (tile_number,) = tile or [0]
        except ValueError:
            places = []
            break
        places.append((row, col, tile_number))
    if not places:
        raise ConfigurationError(
            f"--patches {text!r}: give a row and a column for each patch, like '3,5 0,2', or these "
            "and a tile, like '3,5,1'"
        )
    return places


def _models_of_pictures(
    spec: FigureSpec,
    baselines: Sequence[str] | None,
    models: Sequence[str] | None,
    pictures: Sequence[Subject],
) -> list[list[str]]:
    """The names of the models of each picture, the baseline first."""
    if baselines is None:
        baselines = ["demo:baseline"]
    if models is None:
        models = ["demo:llavit"] if spec.compares else []
    pairs = zip(
        one_for_each(baselines, pictures, "--baseline"),
        one_for_each(models, pictures, "--model"),
        strict=True,
    )
    found = [[name for name in dict.fromkeys(pair) if name] for pair in pairs]
    if not all(found):
        raise ConfigurationError("there is no model to read with: give --model or --baseline")
    if len({len(names) for names in found}) > 1:
        raise ConfigurationError("one picture has two models and another one: give pairs for all")
    return found


def _read(
    subject: Subject,
    probed: Sequence[Probed],
    places: list[Place] | None,
    spec: FigureSpec,
    first: int,
) -> PictureReadings:
    """A picture's readings at the patches that are named, or that a rule chooses."""
    layout, rule = probed[0].layout, BY_HAND
    if places is None:
        places, rule = subject.places(layout, probed[0].model)
    check_places(places, probed, subject.name)
    relevant = subject.relevant(places, layout, probed[0].model)
    patches = read_patches(probed, places, relevant, spec, first)
    names = tuple(one.model for one in probed)
    return PictureReadings(subject.name, subject.drawn, layout, names, patches, rule)
