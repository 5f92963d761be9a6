"""What `llavit-lens find` does: where in a corpus a word is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llavit_lens import errors
from llavit_lens.corpus.word_index import WordIndex
from llavit_lens.inputs import FIGURES, PAGES, TABLES, check_out
from llavit_lens.output import print_file, write_files
from llavit_lens.printing import print_notes, print_remark, print_table
from llavit_lens.results.hits import Hits, Per
from llavit_lens.token_text import printable

_UNITS = {"patch": "patches", "layer": "patches and layers"}


def find_report(
    word: str,
    index: Path,
    layers: Sequence[int] | None = None,
    min_probability: float = 0.0,
    limit: int = 20,
    per: Per = "patch",
    exact: bool = False,
    min_cosine: float | None = None,
    out: Path | None = None,
) -> None:
    """Print where a word is among the k best, best first.

    Args:
        word, layers, min_probability, limit, per, exact, min_cosine: as `WordIndex.find`.
        index: folder that `scan` wrote.
        out: a table, or a contact sheet of the best hits, to write.

    Raises:
        LlavitLensError: as `WordIndex.find`; or the file cannot be written.
    """
    if out is not None:
        check_out(out, TABLES + FIGURES + PAGES)
    hits = WordIndex(index).find(
        word, layers, min_probability, limit, per=per, exact=exact, min_cosine=min_cosine
    )
    if out is not None and out.suffix.lower() in TABLES:
        write_files({out: hits.table})
    elif out is not None:
        hits.sheet(out)
    if len(hits):
        _print(hits)
    if hits.note:
        print_remark(hits.note)
    if out is not None:
        print_file(out)


def _print(hits: Hits) -> None:
    places = (f"row {hit.row}, col {hit.col}" for hit in hits.table.itertuples())
    tiles = hits.table["tile"].gt(0)
    print_table(
        [hits.value, "word", "layer", "image", "patch"],
        (
            (
                f"{getattr(hit, hits.value):.3f}",
                _said(hits, number),
                str(hit.layer),
                errors.printable(str(hit.source)),
                f"tile {hit.tile}, {place}" if tiles.any() else place,
            )
            for number, (hit, place) in enumerate(zip(hits.table.itertuples(), places, strict=True))
        ),
    )
    shown = f"{len(hits):,} of " if len(hits) < hits.total else ""
    tokens = ", ".join(map(repr, hits.tokens.values()))
    counts = ", ".join(f"{line.layer}: {line.patches:,}" for line in hits.layers.itertuples())
    by_layer = "Patches by layer"
    if hits.pieces is not None:  # which may be at several
        by_layer = "Hits by layer of the lowest piece"
    units = "" if hits.per == "image" else f" {_UNITS[hits.per]}"
    print_notes(
        f"{shown}{hits.total:,}{units} of {hits.n_images:,} images, read by "
        f"{hits.model} ({'pieces' if hits.pieces is not None else 'tokens'} {tokens}).",
        f"{by_layer}: {counts}",
    )


def _said(hits: Hits, number: int) -> str:
    """The token of a hit, or each of its pieces with its value and layer."""
    if hits.pieces is None:
        return printable(hits.table["token"].iloc[number])
    pieces = hits.pieces[hits.pieces["hit"].eq(number)]
    return " + ".join(
        f"{printable(str(piece.token))} ({getattr(piece, hits.value):.3f}, layer {piece.layer})"
        for piece in pieces.itertuples()
    )
