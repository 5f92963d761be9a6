"""What `llavit-lens scan` does: read a corpus, and say what was read and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import torch

from llavit_lens.corpus.image_list import ImageList
from llavit_lens.corpus.index import Index, read_index
from llavit_lens.corpus.postings import bring_up_to_date
from llavit_lens.corpus.ranks import rank_of
from llavit_lens.corpus.reading import open_part, read_strings
from llavit_lens.corpus.report import ScanReport
from llavit_lens.corpus.scan import Engine, Lens, scan
from llavit_lens.corpus.schema import PATCHES
from llavit_lens.corpus.shards import complete_shards
from llavit_lens.inputs import DEFAULT_PROMPT
from llavit_lens.output import full_path
from llavit_lens.printing import print_notes, print_remark
from llavit_lens.typed_numbers import parse_layers
from llavit_lens.vlm.program import load

_MOST_BAD = 20  # that are printed


def scan_report(
    images: ImageList,
    model: str,
    out: Path,
    *,
    prompt: str | None,
    layers: str | None,
    k: int,
    words: str | None,
    lens: Lens,
    images_per_shard: int,
    batch_size: int | None,
    engine: Engine = "local",
    workers: int | None = None,
) -> None:
    """Read all images into an index.

    Args:
        images: the list.
        model: as `load` takes it.
        out: the folder of the index.
        prompt: what is asked; None: the usual question.
        layers: as `parse_layers` takes them; None: all.
        k: words per patch and layer.
        words: further words to follow, with commas between; spaces around them do not count, and
            ' dog' is found by 'dog' where that is no token, as in `logit_lens`.
        lens: as `scan` takes it.
        images_per_shard, batch_size, engine, workers: as `scan` takes them.

    Raises:
        LlavitLensError: as `load` and `scan`.
    """
    for remark in images.remarks:
        print_remark(remark)
    report = scan(
        images,
        model if engine == "ray" else load(model, device=_device()),
        out,
        k=k,
        layers=None if layers is None else parse_layers(layers),
        words=_split(words),
        lens=lens,
        prompt=DEFAULT_PROMPT if prompt is None else prompt,
        images_per_shard=images_per_shard,
        batch_size=batch_size,
        engine=engine,
        workers=workers,
    )
    _print_bad(report)
    if not report.missing and rank_of().world == 1:  # else the first search does it
        bring_up_to_date(read_index(report.path))
    _print_summary(report)


def _split(words: str | None) -> list[str] | None:
    return [word for one in (words or "").split(",") if (word := one.strip())] or None


def _device() -> str:
    return rank_of().device(torch.cuda.device_count())


def _print_bad(report: ScanReport) -> None:
    for one in report.bad[:_MOST_BAD]:
        print_remark(f"left out: {one.error}")
    if len(report.bad) > _MOST_BAD:
        print_remark(
            f"left out: {len(report.bad) - _MOST_BAD} more; all are in {report.path / 'images'}"
        )


def _print_summary(report: ScanReport) -> None:
    rate = f", at {report.rate:.3g} images/s" if report.new else ""
    bad = f"; {len(report.bad)} could not be" if report.bad else ""
    coming = f"; {report.missing} are for other processes" if report.missing else ""
    print_notes(f"{report.read} of {report.images} images are read{rate}{bad}{coming}.")
    if report.damaged:
        print_notes(f"Shards that were damaged, and are written anew: {report.damaged}.")
    megabytes = report.bytes_per_image / 1e6
    print(f"The index is {full_path(report.path)} ({megabytes:.2g} MB per image)")
    if not report.read:
        return  # nothing to search yet
    word = word_to_find(read_index(report.path))
    print(f"Search it: llavit-lens find {shlex.quote(word)} {shlex.quote(str(report.path))}")
    print(f"All its words: llavit-lens words {shlex.quote(str(report.path))}")


def word_to_find(index: Index) -> str:
    """A word that a search will find: a tracked one, or the commonest of the first images."""
    if index.settings.tracked:
        return index.settings.tracked[0].strip()
    texts = read_strings(index)
    for shard in complete_shards(index):
        with open_part(index, PATCHES, shard) as file:
            if file.num_row_groups:
                ids = file.read_row_group(0, columns=["ids"])["ids"].combine_chunks().flatten()
                counts = np.bincount(ids.to_numpy()[:: index.settings.k])
                commonest = (texts[token].strip() for token in np.argsort(-counts).tolist())
                return next((text for text in commonest if _is_a_word(text)), "WORD")
    return "WORD"


def _is_a_word(text: str) -> bool:
    return len(text) > 2 and text.isalpha()
