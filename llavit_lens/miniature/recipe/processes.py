"""Trainings in processes of their own, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread

import torch

from llavit_lens.errors import ConfigurationError

# glibc gives large blocks back to the system after every step and takes fresh pages for the next;
# keeping them makes a training step on a CPU several times faster on some machines.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**30),
    "MALLOC_ARENA_MAX": "1",
}


def in_processes(jobs: list[tuple[Callable, tuple]]) -> None:
    """Run jobs side by side, each in a fresh process with its share of the cores."""
    if not jobs:
        return
    for name, value in ALLOCATOR.items():
        os.environ.setdefault(name, value)
    cores = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    threads = max(1, cores // len(jobs))
    with ProcessPoolExecutor(
        len(jobs),
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(threads,),
    ) as pool:
        try:
            for future in [pool.submit(job, *arguments) for job, arguments in jobs]:
                future.result()
        except BrokenProcessPool as error:
            raise ConfigurationError(
                "a training process was ended from outside, perhaps for lack of memory; "
                "run the same command again to go on"
            ) from error


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A command that is killed must not leave a training that runs on unseen."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
