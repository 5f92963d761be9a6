"""Several processes write the index that one process writes, bit for bit."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from scans import write_images
from tiny_vlm import tiny_vlm

import llavit_lens as ll
from llavit_lens.corpus.image_list import Files, ImageList
from llavit_lens.corpus.scan import scan
from llavit_lens.corpus.schema import PARTS
from llavit_lens.corpus.sources import source_of
from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.vlm import VLM

SHARD = 3


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> VLM:
    """A model in a folder: processes of Ray load it there."""
    made, folder = tiny_vlm("llavit"), tmp_path_factory.mktemp("model")
    made.model.save_pretrained(folder)
    made.processor.save_pretrained(folder)
    return ll.load(folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images and one that is none: four shards."""
    return write_images(tmp_path_factory.mktemp("photos"), 10, bad="no image")


@pytest.fixture(scope="module")
def alone(vlm: VLM, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an index that one process has written."""
    out = tmp_path_factory.mktemp("indexes") / "alone"
    scan(photos, vlm, out, images_per_shard=SHARD)
    return files_of(out)


def files_of(index: Path) -> dict[str, bytes]:
    """All that an index holds, by name."""
    parts = [index / part for part in PARTS]
    files = [file for part in parts for file in part.iterdir()]
    return {str(file.relative_to(index)): file.read_bytes() for file in files}


def as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, world: int) -> None:
    for name, value in (("RANK", rank), ("WORLD_SIZE", world), ("LOCAL_RANK", rank)):
        monkeypatch.setenv(name, str(value))


def test_ranks_write_the_files_of_one_process(
    vlm: VLM, photos: Path, alone: dict[str, bytes], tmp_path: Path, monkeypatch: Any
) -> None:
    left = []
    for rank in (2, 0, 1):
        as_rank(monkeypatch, rank, 3)
        left.append(scan(photos, vlm, tmp_path / "index", images_per_shard=SHARD).missing)
    assert left == [8, 3, 0]  # shards of 3, 3, 3 and 2 images; rank 0 has two of them
    assert files_of(tmp_path / "index") == alone


def test_another_number_of_ranks_fills_the_gaps(
    vlm: VLM, photos: Path, alone: dict[str, bytes], tmp_path: Path, monkeypatch: Any
) -> None:
    as_rank(monkeypatch, 1, 3)
    scan(photos, vlm, tmp_path / "index", images_per_shard=SHARD)
    written = {
        name: (tmp_path / "index" / name).stat().st_mtime_ns
        for name in files_of(tmp_path / "index")
    }
    for rank in (0, 1):
        as_rank(monkeypatch, rank, 2)
        scan(photos, vlm, tmp_path / "index", images_per_shard=SHARD)
    assert files_of(tmp_path / "index") == alone
    for name, time in written.items():  # what was there was not written again
        assert (tmp_path / "index" / name).stat().st_mtime_ns == time


def test_what_makes_no_sense_is_refused(vlm: VLM, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="choose 'local' or 'ray'"):
        scan(photos, vlm, tmp_path / "index", engine="spark")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="workers are processes of Ray"):
        scan(photos, vlm, tmp_path / "index", workers=2)
    with pytest.raises(ConfigurationError, match="images_per_shard=0"):
        scan(photos, vlm, tmp_path / "index", engine="ray", images_per_shard=0)


def deadly(images: ImageList, marker: Path) -> ImageList:
    """The same images; whoever reads number 4 first is killed.

    Its class is made here, so that Ray sends it by value: tests are in no module.
    """

    class Deadly(Files):
        def read(self, number: int) -> Path:
            if number == 4 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().read(number)

    assert isinstance(images, Files)
    return Deadly(images.folder, images.names, images.origin)


@pytest.mark.long
def test_ray_writes_the_files_of_one_process_though_one_is_killed(
    vlm: VLM, photos: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    marker, out = tmp_path / "killed", tmp_path / "index"
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        images = deadly(source_of(photos), marker)
        report = scan(images, vlm, out, images_per_shard=SHARD, engine="ray", progress=False)
        assert marker.exists()
        assert (report.read, len(report.bad), report.missing, report.new) == (10, 1, 0, 11)
        assert files_of(out) == alone
        with pytest.raises(ConfigurationError, match="-k 5, not 4"):
            scan(photos, vlm, out, k=4, images_per_shard=SHARD, engine="ray", workers=1)
    finally:
        ray.shutdown()
