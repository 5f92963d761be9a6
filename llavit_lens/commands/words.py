"""What `llavit-lens words` does: the commonest words of a corpus, or of one model and another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llavit_lens import token_text
from llavit_lens.corpus.word_index import WordIndex
from llavit_lens.errors import printable
from llavit_lens.inputs import TABLES, check_out
from llavit_lens.output import print_file, write_files
from llavit_lens.printing import print_notes, print_remark, print_table

if TYPE_CHECKING:
    import pandas as pd


def words_report(
    index: Path, against: Path | None = None, n: int = 5, among: int = 1, out: Path | None = None
) -> None:
    """Print the commonest words of each layer and the share of newlines; or what differs.

    Args:
        index: folder that `scan` wrote.
        against: the index of another model, on the same images.
        n, among: as `WordIndex.commonest` and `WordIndex.differences`.
        out: a table to write.

    Raises:
        LlavitLensError: as `WordIndex`; or the file cannot be written.
    """
    if out is not None:
        check_out(out, TABLES)
    words = WordIndex(index)
    table = words.commonest(n, among=among) if against is None else words.differences(against, n)
    if out is not None:
        write_files({out: table})
    if against is None:
        _print_commonest(words, table, among)
    else:
        _print_differences(words, WordIndex(against), table)
    if out is not None:
        print_file(out)


def _print_commonest(words: WordIndex, table: pd.DataFrame, among: int) -> None:
    shares = words.newlines().set_index("layer")["per_cent"]
    rows = []
    for layer, of_layer in table.groupby("layer"):
        common = "  ".join(
            f"{token_text.printable(str(line.token))} {line.per_cent:.1f}"
            for line in of_layer.itertuples()
        )
        rows.append((str(layer), f"{shares[layer]:.1f}", common))
    which = "the best word" if among == 1 else f"one of the {among} best"
    print_table(["layer", "newline", f"% of patches where it is {which}"], rows, words.model)
    print_notes("newline: % of patches whose best word is a newline.")


def _print_differences(words: WordIndex, other: WordIndex, table: pd.DataFrame) -> None:
    rows = (
        (
            f"{line.layer} and {line.other_layer}",
            token_text.printable(str(line.word)),
            f"{line.per_cent:.1f}",
            f"{line.other_per_cent:.1f}",
            f"{line.difference:+.1f}",
            printable(str(line.example)),
            str(line.example_patch),
        )
        for line in table.itertuples()
    )
    images = f"{table.attrs['images']:,} images that both have"
    if table.empty:
        print_notes(
            f"No difference: on the {images}, {words.model} and {other.model} read each word best "
            "on the same share of patches, at every layer."
        )
    else:
        headings = ["layers", "word", "% here", "% there", "points", "example", "patch"]
        print_table(headings, rows)
        print_notes(
            f"Here: {words.model}. There: {other.model}. % of patches whose best word it is, on "
            f"{images}."
        )
    if table.attrs["unlike"]:
        print_remark(
            f"Left out: {table.attrs['unlike']:,} images that have one name but other pixels."
        )
