"""A figure as plain values, for its JSON file: all that is drawn, and what was read besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from llavit_lens.studies.paper_figures.parts import model_titles
from llavit_lens.studies.paper_figures.readings import PatchReadings, PictureReadings, Reading
from llavit_lens.studies.paper_figures.specs import FigureSpec

_KEPT = ("revision", "n_layers", "prompt", "versions")


def figure_data(
    spec: FigureSpec,
    notes: Sequence[str],
    pictures: Sequence[PictureReadings],
    provenance: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The figure's notes, models (with the titles of their columns), pictures, patches and words.

    Args:
        provenance: of each model, by its name, as `Trace.provenance` has it.
    """
    titles = model_titles(pictures)
    return {
        "figure": spec.number,
        "title": spec.title,
        "notes": list(notes),
        "models": [
            {"name": name, "drawn_as": titles[name], **{key: known.get(key) for key in _KEPT}}
            for name, known in provenance.items()
        ],
        "pictures": [
            {
                "picture": picture.name,
                "size": list(picture.layout.image_size),
                "grid": [list(cells) for cells in picture.layout.grid],
                "models": list(picture.models),
                "patches_chosen": picture.rule,
                "patches": [_patch(patch) for patch in picture.patches],
            }
            for picture in pictures
        ],
    }


def _patch(patch: PatchReadings) -> dict[str, Any]:
    row, col, tile = patch.place
    return {
        "number": patch.number,
        "row": row,
        "col": col,
        "tile": tile,
        "box": list(patch.box),
        "relevant_words": None if patch.relevant is None else list(patch.relevant),
        "readings": [_reading(reading) for reading in patch.readings],
    }


def _reading(reading: Reading) -> dict[str, Any]:
    return {
        "model": reading.model,
        "place": reading.place,
        "layer": reading.layer,
        "measure": reading.measure,
        "top": [{**asdict(word), "drawn_as": word.drawn} for word in reading.words],
        "drawn_ranks": [word.rank for word in reading.shown],
    }
