"""A figure as plain values, for its JSON file: all that was read, drawn or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from llavit_lens.studies.paper_figures.contents import (
    FigureImage,
    FigurePatch,
    TopWords,
    model_titles,
)
from llavit_lens.studies.paper_figures.definitions import PaperFigure

_KEPT = ("revision", "n_layers", "prompt", "versions")


def figure_data(
    figure: PaperFigure,
    notes: Sequence[str],
    images: Sequence[FigureImage],
    provenance: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The figure's notes, models (with the titles of their columns), images, patches and words.

    Args:
        provenance: of each model, by its name, as `Trace.provenance` has it.
    """
    titles = model_titles(images)
    return {
        "figure": figure.number,
        "title": figure.title,
        "notes": list(notes),
        "models": [
            {"name": name, "drawn_as": titles[name], **{key: fields.get(key) for key in _KEPT}}
            for name, fields in provenance.items()
        ],
        "pictures": [
            {
                "picture": image.name,
                "size": list(image.layout.image_size),
                "grid": [list(cells) for cells in image.layout.grid],
                "models": list(image.models),
                "patches_chosen": image.rule,
                "patches": [_patch(patch) for patch in image.patches],
            }
            for image in images
        ],
    }


def _patch(patch: FigurePatch) -> dict[str, Any]:
    row, col, tile = patch.cell
    return {
        "number": patch.number,
        "row": row,
        "col": col,
        "tile": tile,
        "box": list(patch.box),
        "relevant_words": None if patch.relevant is None else list(patch.relevant),
        "readings": [_top_words(top) for top in patch.top_words],
    }


def _top_words(top: TopWords) -> dict[str, Any]:
    return {
        "model": top.model,
        "place": top.layer_name,
        "layer": top.layer,
        "measure": top.measure,
        "top": [{**asdict(word), "drawn_as": word.drawn} for word in top.words],
        "drawn_ranks": [word.rank for word in top.drawn],
    }
