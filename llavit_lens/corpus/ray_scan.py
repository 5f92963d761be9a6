"""A scan on a Ray cluster, from here: what is missing is handed out, and the end is reported."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from llavit_lens.corpus.cluster import write_shards
from llavit_lens.corpus.fingerprints import model_fingerprint
from llavit_lens.corpus.image_list import ImageList
from llavit_lens.corpus.index import read_index
from llavit_lens.corpus.progress import watched
from llavit_lens.corpus.report import ScanReport, check_any_read, report_of
from llavit_lens.corpus.scan import Scan, begin_scan
from llavit_lens.corpus.schema import IMAGES, shard_file
from llavit_lens.corpus.shards import is_whole
from llavit_lens.disk import shown, user_path
from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.program import load
from llavit_lens.vlm.vlm import VLM


@dataclass(frozen=True)
class Job:
    """What each process of the cluster begins with; called, it begins.

    A model in memory is loaded again by its name, because one that has run cannot be sent: hooks
    of transformers' own stay on it.

    Attributes:
        images: the list; its files lie where all machines see them.
        model: its name.
        out: the folder of the index, which all machines see.
        options: of `begin_scan`.
        loading: further arguments of `load`.
        processor_options: as `VLM` has them.
        weights: the `model_fingerprint` that it must have; None where nobody knows.
    """

    images: ImageList
    model: str
    out: Path
    options: Mapping[str, Any]
    loading: Mapping[str, Any] = field(default_factory=dict)
    processor_options: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None

    def __call__(self) -> Callable[[int], object]:
        """Load the model, and begin the index or go on with it.

        Returns:
            What writes a shard, unless it is complete.

        Raises:
            LlavitLensError: as `load` and `begin_scan`; or the name gives another model.
        """
        vlm = load(self.model, **self.loading)
        vlm.processor_options = dict(self.processor_options)
        if self.weights not in (None, model_fingerprint(vlm.model)):
            raise ConfigurationError(
                f"{shown(self.model)}: loads a model that is not the one in memory; save that one "
                "in a folder, and give the folder's name"
            )
        begun = begin_scan(self.images, vlm, self.out, **self.options)
        return partial(_write, begun)


def _write(begun: Scan, shard: int) -> None:
    if not is_whole(begun.index.path, shard):
        begun.write_shard(shard)


def scan_on_ray(
    images: ImageList,
    model: str | VLM,
    out: str | Path,
    *,
    workers: int | None = None,
    progress: bool = True,
    images_per_shard: int,
    **options: Any,
) -> ScanReport:
    """Write the missing shards of an index on a Ray cluster: the same files as one process.

    Args:
        images, out, progress, images_per_shard, options: as `scan` takes them.
        model: its name, or the model, whose name must give the same one on all machines.
        workers: as `write_shards` takes it.

    Raises:
        ConfigurationError: as `scan` and `write_shards`; or shards could not be written, and why.
    """
    start = time.monotonic()
    folder = Path(os.path.abspath(user_path(out, what="the index")))  # processes work elsewhere
    job = _job(images, model, folder, {"images_per_shard": images_per_shard, **options})
    sizes = [
        min(images_per_shard, len(images) - first)
        for first in range(0, len(images), images_per_shard)
    ]
    missing = [shard for shard in range(len(sizes)) if not is_whole(folder, shard)]
    damaged = sum(shard_file(folder, IMAGES, shard).exists() for shard in missing)
    new, failed = 0, []
    before = len(images) - sum(sizes[shard] for shard in missing)
    watch = watched(f"reading with {shown(job.model)} on Ray", "bar" if progress else "no")
    with watch(len(images), before) as step:
        # where none is missing, one process still looks whether it is the same scan
        for written in write_shards(job, missing or [0], workers):
            if written.error is not None:
                failed.append(written)
            elif missing:
                new += sizes[written.shard]
                step(sizes[written.shard])
    if failed:
        raise ConfigurationError(
            f"{shown(out)}: {len(failed)} of {len(sizes)} shards could not be written; the first: "
            f"{failed[0].error}. Run the same again: it goes on with them"
        )
    report = report_of(read_index(folder), new, time.monotonic() - start, damaged)
    check_any_read(report)
    return report


def _job(images: ImageList, model: str | VLM, out: Path, options: Mapping[str, Any]) -> Job:
    name = model if isinstance(model, str) else model.name
    if os.path.isdir(name):
        name = os.path.abspath(name)
    if isinstance(model, str):
        return Job(images, name, out, options)
    loading = {"dtype": model.dtype, "revision": model.revision}
    return Job(
        images,
        name,
        out,
        options,
        {option: value for option, value in loading.items() if value is not None},
        model.processor_options,
        model_fingerprint(model.model),
    )
