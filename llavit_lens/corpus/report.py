"""What a scan has done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.reading import read_part
from llavit_lens.corpus.schema import IMAGES, PARTS
from llavit_lens.corpus.shard import BadImage
from llavit_lens.corpus.shards import is_whole
from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError, printable


@dataclass(frozen=True)
class ScanReport:
    """What an index holds, and how fast the last run was.

    Attributes:
        path: the folder of the index.
        model: the model's name.
        images: how many images the list has.
        read: how many of them are in the index, with words.
        bad: those that could not be read, and why.
        missing: how many have not had their turn: other processes are at them.
        new: how many images this run went through.
        seconds: how long it took.
        size: of the index's shards, in bytes.
        damaged: how many shards this run wrote anew, because files of theirs did not open.
    """

    path: Path
    model: str
    images: int
    read: int
    bad: tuple[BadImage, ...]
    missing: int
    new: int
    seconds: float
    size: int
    damaged: int = 0

    @property
    def rate(self) -> float:
        """Images per second in this run."""
        return self.new / self.seconds if self.seconds > 0 else 0.0

    @property
    def bytes_per_image(self) -> float:
        """Mean size on disk of an image that was read."""
        return self.size / self.read if self.read else 0.0

    def __repr__(self) -> str:
        bad = f", {len(self.bad)} bad" if self.bad else ""
        missing = f", {self.missing} to come" if self.missing else ""
        rate = f", {self.rate:.3g} images/s" if self.new else ""
        return (
            f"ScanReport({printable(self.model, 60)}: {self.read} of {self.images} images"
            f"{bad}{missing}{rate}, {self.bytes_per_image / 1e6:.2g} MB per image in "
            f"{shown(self.path)})"
        )


def report_of(index: Index, new: int, seconds: float, damaged: int = 0) -> ScanReport:
    """The report of a run over the shards that are complete.

    Args:
        index: on disk.
        new: images that this run went through.
        seconds: how long it took.
        damaged: shards that it wrote anew.

    Raises:
        ConfigurationError: a shard belongs to another index, or its list of images is damaged.
    """
    read = size = there = 0
    bad: list[BadImage] = []
    for shard in range(index.shards):
        if not is_whole(index.path, shard):
            continue
        rows = read_part(index, IMAGES, shard, ["image", "source", "error"]).to_pylist()
        faulty = [BadImage(**row) for row in rows if row["error"] is not None]
        bad += faulty
        there += len(rows)
        read += len(rows) - len(faulty)
        size += sum(index.file(part, shard).stat().st_size for part in PARTS)
    return ScanReport(
        path=index.path,
        model=index.model,
        images=index.settings.images,
        read=read,
        bad=tuple(bad),
        missing=index.settings.images - there,
        new=new,
        seconds=seconds,
        size=size,
        damaged=damaged,
    )


def check_any_read(report: ScanReport) -> None:
    """Raise ConfigurationError if the whole list has had its turn, and no image could be read."""
    if report.read == 0 and report.bad and not report.missing:
        one = "the image" if report.images == 1 else f"none of the {report.images} images"
        cannot = "cannot be read" if report.images == 1 else "can be read; the first"
        raise ConfigurationError(f"{one} {cannot}: {report.bad[0].error}")
