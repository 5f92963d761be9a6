"""Killed at any moment, a scan loses and doubles nothing: the next run goes on to the same rows."""

from __future__ import annotations

import os
import random
import resource
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from kills import KILLS, files_of, kill_after
from scans import rows_of, write_images
from tiny_vlm import tiny_vlm

from llavit_lens.corpus.index import read_index
from llavit_lens.corpus.scan import scan
from llavit_lens.corpus.schema import PARTS
from llavit_lens.corpus.shards import complete_shards
from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.vlm import VLM

pytestmark = [pytest.mark.long, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("photos"), 14, bad="no image")


def read(photos: Path, vlm: VLM, out: Path) -> None:
    torch.set_num_threads(1)  # a forked child has no other threads of the pool
    scan(photos, vlm, out, k=20, images_per_shard=4, progress=False)


@pytest.mark.parametrize("kills", KILLS)
def test_a_scan(photos: Path, tmp_path: Path, kills: int) -> None:
    vlm = tiny_vlm("llavit")
    began = time.monotonic()
    read(photos, vlm, tmp_path / "whole")
    took = time.monotonic() - began
    chance = random.Random(kills)
    out, killed, rounds = tmp_path / "i", 0, 0
    while killed < kills:
        killed += kill_after(chance.uniform(0, took), partial(read, photos, vlm, out))
        if (out / "index.json").exists():
            index = read_index(out)
            for shard in complete_shards(index):
                for part in PARTS:  # complete means whole
                    whole = tmp_path / "whole" / part / f"{shard:05d}.parquet"
                    assert index.file(part, shard).read_bytes() == whole.read_bytes()
            if chance.random() < 0.2:  # begin anew now and then: all shards get their kills
                out = tmp_path / f"i{(rounds := rounds + 1)}"
    read(photos, vlm, out)
    assert files_of(out) == files_of(tmp_path / "whole")  # and nothing half written beside it
    one, other = rows_of(tmp_path / "whole"), rows_of(out)
    pd.testing.assert_frame_equal(one["images"], other["images"])
    for column in ("image", "layer", "patch", "entropy"):
        pd.testing.assert_series_equal(one["patches"][column], other["patches"][column])
    assert np.array_equal(np.stack(one["patches"]["ids"]), np.stack(other["patches"]["ids"]))


def test_a_disk_that_is_full(photos: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for it, and the largest shard does not fit."""
    vlm = tiny_vlm("llavit")
    read(photos, vlm, tmp_path / "whole")
    sizes = [path.stat().st_size for path in sorted((tmp_path / "whole" / "patches").iterdir())]
    out, limit = tmp_path / "i", max(sizes) - 1
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            read(photos, vlm, out)
        except ConfigurationError as error:
            said = "cannot write" in str(error) and "File too large" in str(error)
            os._exit(0 if said and "\n" not in str(error) else 3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert complete_shards(read_index(out)) == list(range(sizes.index(max(sizes))))
    assert not [*out.rglob(".*")]
    read(photos, vlm, out)
    assert files_of(out) == files_of(tmp_path / "whole")
