"""Shards on a Ray of this machine: processes that die, and errors that come back."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llavit_lens.corpus.cluster import TRIES, Begin, Written, write_shards
from llavit_lens.errors import ConfigurationError


@pytest.fixture(scope="module")
def ray() -> Any:
    """Two workers, and what they leave behind: nothing."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80 * 2**20,
    )
    yield ray
    ray.shutdown()


def begin_in(folder: Path) -> Begin:
    """Shards that are files; inside, so that Ray sends it by value: tests are in no module."""

    def begin() -> Any:
        (folder / f"process {os.getpid()}").touch()

        def write(shard: int) -> None:
            (folder / f"try {shard} {time.time_ns()}").touch()
            first = len(list(folder.glob(f"try {shard} *"))) == 1
            if shard == 5 or (shard == 1 and first):
                os.kill(os.getpid(), signal.SIGKILL)
            if shard == 3:
                raise ConfigurationError("the disk is full")
            if shard == 6 or (shard == 4 and first):
                raise ValueError("no memory")
            (folder / f"done {shard}").touch()

        return write

    return begin


@pytest.mark.long
def test_processes_that_die_lose_no_shard(ray: Any, tmp_path: Path) -> None:
    told = list(write_shards(begin_in(tmp_path), range(8), workers=2))
    assert sorted(told, key=lambda one: one.shard) == [
        Written(0),
        Written(1),  # its process was killed once
        Written(2),
        Written(3, "the disk is full"),
        Written(4),  # tried again after an error
        Written(5, f"shard 5 was tried {TRIES} times: its process died"),
        Written(6, f"shard 6 was tried {TRIES} times: ValueError: no memory"),
        Written(7),
    ]
    done = {path.name for path in tmp_path.glob("done *")}
    assert done == {f"done {shard}" for shard in (0, 1, 2, 4, 7)}
    assert len(list(tmp_path.glob("try 3 *"))) == 1  # would come out the same
    assert len(list(tmp_path.glob("try 5 *"))) == len(list(tmp_path.glob("try 6 *"))) == TRIES
    assert len(list(tmp_path.glob("process *"))) == 2 + 1 + TRIES  # begun once in each process


@pytest.mark.long
def test_what_is_refused_on_the_cluster_is_one_line_here(ray: Any) -> None:
    def begin() -> Any:
        raise ConfigurationError("the index was begun with another model")

    with pytest.raises(ConfigurationError, match="begun with another model"):
        list(write_shards(begin, range(3), workers=1))


def test_without_ray_the_command_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[cluster\]'"):
        list(write_shards(lambda: print, [0]))


def test_nothing_is_started_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert list(write_shards(lambda: print, [])) == []
