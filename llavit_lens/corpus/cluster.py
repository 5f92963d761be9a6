"""A scan on a Ray cluster: Ray Data hands out shards to processes that hold the model.

For machines of uneven speed, and for those that fail: whoever is free takes the next shard, and a
shard whose process has died is written by another one. The files are those of one process.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from llavit_lens.errors import ConfigurationError, LlavitLensError, install, one_line, printable

TRIES = 3
"""How often a shard is begun before it is given up: what kills its process may do so each time."""

_STORE = 200 * 2**20
"""Bytes of the object store of a local Ray: only numbers of shards and the model go through it."""


Begin = Callable[[], Callable[[int], object]]
"""Loads the model and begins the scan; returns what writes a shard, given its number. It is called
once in each process, so it is sent there: by pickle."""


@dataclass(frozen=True)
class Written:
    """What became of a shard: `error` says why it is not there."""

    shard: int
    error: str | None = None


def write_shards(
    begin: Begin, shards: Sequence[int], workers: int | None = None
) -> Iterator[Written]:
    """Write shards on a cluster, in any order; each is told when it is done.

    It is the cluster that RAY_ADDRESS names or that runs on this machine; without one, a Ray of
    this machine's cores and GPUs, which ends with the iteration.

    Args:
        begin: what each process does first.
        shards: their numbers.
        workers: processes that hold the model, each with a GPU, or else a core, of its own;
            default: one for each.

    Raises:
        ConfigurationError: Ray is not installed, or its processes cannot start.
        LlavitLensError: as `begin`, which runs on the cluster.
    """
    if not shards:
        return
    with _connected() as ray:
        from ray.data import ActorPoolStrategy, from_items

        resources = ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        size = min(workers or gpus or cpus, len(shards))
        tries = ray.remote(num_cpus=0)(_Tries).remote()
        # as many blocks as shards, and no waiting line: the next shard goes to whoever is free
        pool = ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1)
        rows = from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
        written = rows.map(
            cast(Any, _Writer),  # a class: Ray makes one in each process
            fn_constructor_args=(begin, tries),
            compute=pool,
            num_cpus=None if gpus else 1,
            num_gpus=1 if gpus else None,
        )
        try:
            for row in written.iter_rows():
                if row["refused"] is not None:
                    raise ConfigurationError(row["refused"])
                yield Written(row["shard"], row["error"])
        except ray.exceptions.RayError as error:
            last = [line.strip() for line in str(error).splitlines() if line.strip()][-1:]
            raise ConfigurationError(
                f"Ray: the scan has stopped ({''.join(last)[:300]}); its shards are kept: run the "
                "same again"
            ) from error


class _Writer:
    """One process: the model is loaded once, then shard after shard is written."""

    def __init__(self, begin: Begin, tries: Any) -> None:
        self._tries = tries
        self._refused: str | None = None
        try:
            self._write = begin()
        except LlavitLensError as error:  # raised here, it would be tried again without end
            self._refused = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        shard = int(row["shard"])
        return {"shard": shard, "refused": self._refused, "error": self._error_of(shard)}

    def _error_of(self, shard: int) -> str | None:
        import ray

        if self._refused is not None:
            return None
        count, why = ray.get(self._tries.begin.remote(shard))
        if count > TRIES:
            return f"shard {shard} was tried {TRIES} times: {why or 'its process died'}"
        try:
            self._write(shard)
        except LlavitLensError as error:
            return str(error)
        except Exception as error:  # Ray tries again, here or on another machine
            ray.get(self._tries.failed.remote(shard, f"{type(error).__name__}: {one_line(error)}"))
            raise
        return None


class _Tries:
    """Counts how often each shard was begun: processes that die cannot count."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}
        self._why: dict[int, str] = {}

    def begin(self, shard: int) -> tuple[int, str]:
        self._begun[shard] = self._begun.get(shard, 0) + 1
        return self._begun[shard], self._why.get(shard, "")

    def failed(self, shard: int, why: str) -> None:
        self._why[shard] = why


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, connected to a cluster or started here; quiet, and as it was when the block ends."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigurationError(
            f"a scan on a cluster needs Ray Data: {install('cluster')}"
        ) from error
    ours = not ray.is_initialized()
    if ours:
        _start(ray)
    context = ray.data.DataContext.get_current()
    wanted = {
        "enable_progress_bars": False,  # there is one of our own
        "print_on_execution_start": False,
        "actor_task_retry_on_errors": True,
    }
    before = {name: getattr(context, name) for name in wanted}
    logger = logging.getLogger("ray.data")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        for name, value in wanted.items():
            setattr(context, name, value)
        yield ray
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)
        if ours:
            ray.shutdown()


def _start(ray: Any) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _without_backend_lines():
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError as error:
            if address := os.environ.get("RAY_ADDRESS"):
                raise ConfigurationError(
                    f"Ray: no cluster answers at RAY_ADDRESS={printable(address, 60)}; start it "
                    "(ray start --head), or unset the variable"
                ) from error
            ray.init(address="local", include_dashboard=False, object_store_memory=_STORE, **quiet)


@contextmanager
def _without_backend_lines() -> Iterator[None]:
    """Ray's core would print remarks on Ray Data's own actors; it reads this when it starts."""
    name = "RAY_BACKEND_LOG_LEVEL"
    given = name in os.environ
    os.environ.setdefault(name, "fatal")
    try:
        yield
    finally:
        if not given:
            del os.environ[name]
