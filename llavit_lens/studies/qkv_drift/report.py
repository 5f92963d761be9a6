"""What `analyses/visual_qkv_drift.py` does: read projections, compare, print, draw, save."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.model.checkpoints.base_model import read_base_model
from llavit_lens.model.checkpoints.detect import is_llava
from llavit_lens.model.checkpoints.qkv_weights import (
    PROJECTIONS,
    Projection,
    has_visual_projections,
    read_projections,
)
from llavit_lens.model.checkpoints.source import open_source
from llavit_lens.model.checkpoints.weights import LazyTensor
from llavit_lens.output import make_folder, print_report_files, write_report
from llavit_lens.printing import print_notes, print_table, progress_bar
from llavit_lens.studies.qkv_drift.figure import draw_qkv_drift
from llavit_lens.studies.qkv_drift.measure import drift, noise_spectrum, spectrum
from llavit_lens.studies.redraw import draw_again
from llavit_lens.vlm.load import checkpoint_folder

_COLUMNS = (
    "model", "pair", "layer", "projection", "head", "relative", "effective_rank", "full_rank",
    "noise_rank",
)  # fmt: skip
_UNRELATED = 0.5  # cosine below which text weights can hardly come from that base


def qkv_drift_report(model: str, base: str | None, directions: int, out: Path | None) -> None:
    """Distance of visual from text projections; with a base LLM, of both from it.

    Weights are read layer by layer, computed with in float64, and never held all at once.

    Args:
        model: a LLaViT with visual QKV, as `load` takes it.
        base: folder or Hub name of the language model that it was trained from.
        directions: how many singular directions count as the top ones; at least 1.
        out: folder for visual_qkv_drift.csv, .png and .pdf.

    Raises:
        LlavitLensError: a checkpoint that cannot be read, has no visual QKV, or does not fit the
            base; or a folder that cannot be written to.
    """
    make_folder(out)
    if directions < 1:
        raise ConfigurationError(f"--directions {directions}: choose 1 or more")
    folder = checkpoint_folder(model)
    if not is_llava(folder):
        raise CheckpointError(f"{model}: is no LLaViT; give one, such as demo:llavit")
    source = open_source(folder)
    if not has_visual_projections(source.tensors):
        raise ConfigurationError(
            f"{model}: its visual tokens have no Q, K and V of their own (separate_visual_qkv is "
            "off), so there is no drift; give a LLaViT that has, such as demo:llavit"
        )
    text_config = source.config.get_text_config()
    starts = None if base is None else read_base_model(base, text_config, source.tensors)
    rows = [
        row
        for layer in progress_bar(range(text_config.num_hidden_layers), f"reading {model}")
        for row in _layer(source.tensors, starts, text_config, layer, directions)
    ]
    table = pd.DataFrame(rows).astype({"head": "Int64", "full_rank": "Int64"})
    table.insert(0, "model", model)
    write_report("visual_qkv_drift", table, draw_qkv_drift(table), out)
    _print(table, model, base, directions)
    print_report_files("visual_qkv_drift", out)


def redraw_qkv_drift(table: Path, out: Path | None) -> None:
    """Draw the figure of a table that `qkv_drift_report` wrote.

    Raises:
        ConfigurationError: as `draw_again`.
    """
    draw_again("visual_qkv_drift", table, _COLUMNS, draw_qkv_drift, out)


def _layer(
    tensors: Mapping[str, LazyTensor],
    starts: Mapping[str, LazyTensor] | None,
    text_config: Any,
    layer: int,
    directions: int,
) -> Iterator[dict[str, Any]]:
    """Rows of a decoder layer, one for each pair, projection and head; head is none for all heads.

    Columns: pair ("visual - text": of visual from text weights, and so on), layer, projection,
    head, relative, cosine, bias (see `Drift`), effective_rank, top, full_rank (see `Spectrum`; of
    all heads together), noise_rank, noise_top (what a change without structure would have).
    """
    text = read_projections(tensors, text_config, layer)
    visual = read_projections(tensors, text_config, layer, "_visual")
    pairs = {"visual - text": (visual, text)}
    if starts is not None:
        base = read_projections(starts, text_config, layer)
        pairs |= {"text - base": (text, base), "visual - base": (visual, base)}
    for pair, (moved, start) in pairs.items():
        for name in PROJECTIONS:
            where = {"pair": pair, "layer": layer, "projection": name}
            yield {**where, "head": None, **_whole(moved[name], start[name], directions)}
            for head in range(len(moved[name].weight)):
                yield {**where, "head": head, **asdict(drift(moved[name], start[name], head))}


def _whole(moved: Projection, start: Projection, directions: int) -> dict[str, Any]:
    heads, width, columns = moved.weight.shape
    noise = noise_spectrum(heads * width, columns, directions)
    return {
        **asdict(drift(moved, start)),
        **asdict(spectrum(moved, start, directions)),
        "noise_rank": noise.effective_rank,
        "noise_top": noise.top,
    }


def _print(table: pd.DataFrame, model: str, base: str | None, directions: int) -> None:
    whole = table[table["head"].isna()]
    for pair, of_pair in whole.groupby("pair", sort=False):
        lines = []
        for layer, rows in of_pair.groupby("layer"):
            by_name = {row.projection: row for row in rows.itertuples()}
            cells = [_cells(by_name[name]) for name in PROJECTIONS]
            lines.append([str(layer), *(cell[i] for i in range(3) for cell in cells)])
        print_table(["layer", *_HEADINGS], lines, f"{model}: {pair}")
    print_notes(
        "dist: Frobenius norm of the change by that of what it is from. rank: effective rank "
        f"of the change by full rank. top: share of its energy in {directions} directions. A "
        f"change without structure: {_noise(whole)}."
    )
    if (whole[whole["pair"].eq("visual - text")]["relative"] == 0).all():
        print_notes("The visual weights are still the copies of the text ones: not trained yet.")
    near = whole[whole["pair"].eq("text - base")]["cosine"]
    if len(near) and near.min() < _UNRELATED:
        print_notes(
            f"The text weights are far from those of {base} (cosine {near.min():.2f}): it is "
            "hardly the language model that this one was trained from."
        )


_HEADINGS = [f"{name} {measure}" for measure in ("dist", "rank", "top") for name in PROJECTIONS]


def _cells(row: Any) -> tuple[str, str, str]:
    if math.isnan(row.effective_rank):
        return f"{row.relative:.3f}", "-", "-"
    rank = row.effective_rank / row.full_rank
    return f"{row.relative:.3f}", f"{rank:.2f}", f"{row.top:.2f}"


def _noise(whole: pd.DataFrame) -> str:
    first = whole.drop_duplicates("projection")
    share = first["noise_rank"] / first["full_rank"]
    return ", ".join(
        f"{name} rank {rank:.2f}, top {top:.2f}"
        for name, rank, top in zip(first["projection"], share, first["noise_top"], strict=True)
    )
