"""Reads all images of a list with a lens, shard after shard, into an index on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from llavit_lens.corpus.fingerprints import model_fingerprint, processor_fingerprint
from llavit_lens.corpus.image_list import ImageList
from llavit_lens.corpus.index import Index, Settings, begin
from llavit_lens.corpus.progress import Shown, Watch, watched
from llavit_lens.corpus.ranks import rank_of
from llavit_lens.corpus.report import ScanReport, check_any_read, report_of
from llavit_lens.corpus.schema import IMAGES
from llavit_lens.corpus.shard import ImageWords, ShardResult, write_shard
from llavit_lens.corpus.shards import is_whole
from llavit_lens.corpus.sources import source_of
from llavit_lens.corpus.vocabulary import write_vocabulary
from llavit_lens.disk import user_path
from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.images.open import ImageSource, open_oriented
from llavit_lens.inputs import DEFAULT_PROMPT, whole_number
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.results.words import Words
from llavit_lens.vlm.load import load
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.vlm import VLM

Lens = Literal["logit_lens", "input_similarity"]

Engine = Literal["local", "ray"]

IMAGES_PER_SHARD = 64
"""What a crash may cost, and how many images one file of patches/ holds."""

AT_ONCE = 8
"""Images that are in memory together, with their traces, where no batch size is given."""


_Opened = tuple[ImageWords, Image.Image | None]
"""What is known of an image before the lens, and the image, unless it could not be opened."""


@dataclass(frozen=True)
class Scan:
    """A scan of a list of images that has been begun: its state is in files alone.

    Any process that has begun the same scan may write any shard, in any order.

    Attributes:
        images: the list.
        vlm: the model.
        index: on disk.
        batch_size: as `scan` takes it.
    """

    images: ImageList
    vlm: VLM
    index: Index
    batch_size: int | None = None

    def write_shard(self, shard: int, step: Callable[[int], None] | None = None) -> ShardResult:
        """Read the images of a shard and write its files.

        Args:
            shard: its number.
            step: is told how many images were read since it was called last.

        Raises:
            ConfigurationError: it cannot be written.
        """
        return write_shard(self.index, shard, self._read(self.index.images_of(shard), step))

    def _read(self, numbers: range, step: Callable[[int], None] | None) -> Iterator[ImageWords]:
        size = self.batch_size or AT_ONCE
        for first in range(0, len(numbers), size):
            some = numbers[first : first + size]
            yield from self._words_of([self._open(number) for number in some])
            if step is not None:
                step(len(some))

    def _open(self, number: int) -> _Opened:
        source = self.images.names[number]
        try:
            opened = open_oriented(self.images.read(number), name=source)
        except LlavitLensError as error:
            return ImageWords(number, source, error=str(error)), None
        return ImageWords(number, source, orientation=opened.tag), opened.image

    def _words_of(self, opened: Sequence[_Opened]) -> list[ImageWords]:
        good = [image for _, image in opened if image is not None]
        try:
            words = iter(self._lens_of(good))
        except LlavitLensError as error:
            if len(opened) > 1:  # one of them: the others are read without it
                return [one for each in opened for one in self._words_of([each])]
            return [replace(opened[0][0], orientation=None, error=str(error))]
        return [
            about if image is None else replace(about, words=next(words)) for about, image in opened
        ]

    def _lens_of(self, images: Sequence[Image.Image]) -> list[Words]:
        settings = self.index.settings
        if len(images) == 1:  # its errors name no place in a list
            traces = [self.vlm.trace(images[0], settings.prompt)]
        else:
            traces = self.vlm.trace_batch(images, settings.prompt, self.batch_size)
        return [
            read(trace, settings.lens, settings.k, settings.layers, settings.tracked)
            for trace in traces
        ]


def scan(
    images: str | Path | ImageSource | Sequence[ImageSource] | ImageList,
    vlm: VLM | str,
    out: str | Path,
    *,
    folder: str | Path | None = None,
    k: int = 5,
    layers: int | Sequence[int] | None = None,
    words: Sequence[str] | None = None,
    lens: Lens = "logit_lens",
    prompt: str = DEFAULT_PROMPT,
    images_per_shard: int = IMAGES_PER_SHARD,
    batch_size: int | None = None,
    engine: Engine = "local",
    workers: int | None = None,
    progress: bool = True,
) -> ScanReport:
    """Read every image of a list with a lens, into an index: a folder of Parquet files.

    The index is written shard by shard. After a crash, or when it was interrupted, the same call
    goes on: it reads the images of the shards that are missing. An image that cannot be read is
    listed with the reason and passed by. `llavit_lens.corpus.schema` describes the files.

    Where torchrun, `accelerate launch`, srun or mpirun has started several processes, each of them
    writes shards of its own. `engine="ray"` gives shards to the processes of a Ray cluster, or of
    a Ray of this machine. The files are those of one process, bit for bit.

    Args:
        images: a folder; a list of paths (.csv, .jsonl, .parquet); a COCO-style .json; webdataset
            tars; a pattern; or a Python list of images.
            `llavit_lens.corpus.sources.source_of` says more.
        vlm: the model, or its name, as `load` takes it.
        out: the folder of the index; made, if it is not there.
        folder: of the images of a COCO-style file; where relative paths start, for a list.
        k: words per patch and layer.
        layers: one or several, as in `logit_lens`; all by default.
        words: further words to follow through all patches and layers, each one token.
        lens: "logit_lens", or "input_similarity", which has no layers and no words to follow.
        prompt: what the model is asked about each image.
        images_per_shard: images in one file, and the most that a crash may cost.
        batch_size: images in one pass; default: as many as `VLM.trace_batch` chooses, of 8.
        engine: "local": this process, and others that a launcher has started; or "ray".
        workers: how many processes of Ray hold the model; default: one for each GPU of the
            cluster, or else for each core.
        progress: show how far it is, on standard error.

    Raises:
        ConfigurationError: options that make no sense; `out` holds something else, or an index that
            was begun with other settings; it cannot be written; or no image could be read.
        LlavitLensError: there are no such images.
    """
    listed = source_of(images, folder=folder)
    options: dict[str, Any] = {
        "k": k,
        "layers": layers,
        "words": words,
        "lens": lens,
        "prompt": prompt,
        "images_per_shard": at_least_one(images_per_shard, "images_per_shard"),
        "batch_size": batch_size,
    }
    if engine == "ray":
        from llavit_lens.corpus.ray_scan import scan_on_ray  # whose processes come back here

        return scan_on_ray(listed, vlm, out, workers=workers, progress=progress, **options)
    if engine != "local":
        raise ConfigurationError(f"engine={engine!r}: choose 'local' or 'ray'")
    if workers is not None:
        raise ConfigurationError(
            "workers are processes of Ray: give engine='ray', too, or start them by torchrun"
        )
    rank = rank_of()
    if isinstance(vlm, str):
        vlm = load(vlm, device=rank.device(torch.cuda.device_count()))
    begun = begin_scan(listed, vlm, out, **options)
    shards = rank.shards(range(begun.index.shards))
    doing = f"reading with {vlm.name}" if rank.world == 1 else str(rank)
    shown: Shown = "no" if not progress else "bar" if rank.world == 1 else "lines"
    return run_scan(begun, shards, watched(doing, shown))


def run_scan(begun: Scan, shards: Sequence[int], watch: Watch) -> ScanReport:
    """Write those of these shards that are missing or damaged, one after the other.

    Args:
        begun: the scan.
        shards: numbers of all that this process is to see to.
        watch: shows how far it is.

    Raises:
        ConfigurationError: one cannot be written; or no image could be read.
    """
    start = time.monotonic()
    missing = [shard for shard in shards if not is_whole(begun.index.path, shard)]
    damaged = sum(begun.index.file(IMAGES, shard).exists() for shard in missing)
    total, new = (
        sum(len(begun.index.images_of(shard)) for shard in some) for some in (shards, missing)
    )
    with watch(total, total - new) as step:
        for shard in missing:
            begun.write_shard(shard, step)
    report = report_of(begun.index, new, time.monotonic() - start, damaged)
    check_any_read(report)
    return report


def begin_scan(
    images: ImageList,
    vlm: VLM,
    out: str | Path,
    *,
    k: int = 5,
    layers: int | Sequence[int] | None = None,
    words: Sequence[str] | None = None,
    lens: Lens = "logit_lens",
    prompt: str = DEFAULT_PROMPT,
    images_per_shard: int = IMAGES_PER_SHARD,
    batch_size: int | None = None,
) -> Scan:
    """Begin an index, or go on with one that was begun with the same settings.

    One blank image is read, so that options that make no sense are refused before anything is
    written. All processes of a scan call this, at any time.

    Args: as `scan`.

    Raises:
        ConfigurationError: as `scan`.
    """
    per_shard = at_least_one(images_per_shard, "images_per_shard")
    if batch_size is not None:
        at_least_one(batch_size, "batch_size")
    if lens not in ("logit_lens", "input_similarity"):
        raise ConfigurationError(f"lens={lens!r}: choose 'logit_lens' or 'input_similarity'")
    tried = read(vlm.trace(Image.new("RGB", (224, 224), "gray"), prompt), lens, k, layers, words)
    provenance = {name: it for name, it in tried.provenance.items() if name != "image_sha256"}
    settings = Settings(
        weights=model_fingerprint(vlm.model),
        processor=processor_fingerprint(vlm.processor, vlm.processor_options),
        dtype=str(vlm.dtype).removeprefix("torch."),
        vocabulary=provenance["vocabulary"],
        lens=lens,
        layers=tried.layers,
        k=tried.k,
        prompt=prompt,
        tracked=tried.tracked.words if tried.tracked else [],
        tracked_ids=tried.tracked.ids.tolist() if tried.tracked else [],
        images=len(images),
        names=images.fingerprint,
        images_per_shard=per_shard,
    )
    index = begin(Index(user_path(out), settings, vlm.name, images.origin, provenance))
    write_vocabulary(index, vlm.tokenizer)
    return Scan(images, vlm, index, batch_size)


def read(
    trace: Trace,
    lens: str,
    k: int,
    layers: int | Sequence[int] | None,
    tracked: Sequence[str] | None,
) -> Words:
    """The words of one image.

    Raises:
        ConfigurationError: as the lens; options that it does not have.
    """
    if lens == "logit_lens":
        return logit_lens(trace, k, layers, tracked or [], leaders=False)
    if tracked:
        raise ConfigurationError(
            "tracked words belong to the logit lens; leave them out for the input similarity"
        )
    if layers is not None and np.atleast_1d(layers).tolist() != [0]:
        raise ConfigurationError("the input similarity reads layer 0 alone; leave layers out")
    return input_similarity(trace, k)


def at_least_one(value: Any, name: str) -> int:
    """The whole number. Raises ConfigurationError for anything else, and for 0 or less."""
    number = whole_number(value, name)
    if number < 1:
        raise ConfigurationError(f"{name}={number}: give 1 or more")
    return number
