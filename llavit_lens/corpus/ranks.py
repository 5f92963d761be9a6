"""Several processes that scan one list: which of them this is, and what is its part.

Launchers tell a process its rank in the environment. More is not needed: each rank writes shards of
its own, so processes never talk to each other, and may start and end at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llavit_lens.errors import ConfigurationError, printable


@dataclass(frozen=True)
class Rank:
    """One of the processes of a scan.

    Attributes:
        number: its rank, from 0.
        world: how many there are.
        local: its rank among those on its machine, from 0.
        launcher: what started them; None for a process alone.
    """

    number: int = 0
    world: int = 1
    local: int = 0
    launcher: str | None = None

    def __str__(self) -> str:
        return f"rank {self.number} of {self.world}"

    def shards(self, shards: Iterable[int]) -> list[int]:
        """Those of some shards that this rank writes.

        A shard belongs to the same rank whatever was written before, so ranks that start late or
        again agree with the others. With another number of ranks all shards find another owner.
        """
        return [shard for shard in shards if shard % self.world == self.number]

    def device(self, gpus: int) -> str:
        """Where this rank runs its model: "cuda:1"; "auto" where there is no choice.

        Args:
            gpus: how many GPUs this process sees.

        Raises:
            ConfigurationError: there are more ranks on this machine than GPUs.
        """
        if self.world == 1 or gpus == 0:
            return "auto"
        if gpus == 1 and self.launcher in _BINDING:  # each task sees its own GPU alone
            return "cuda:0"
        if self.local >= gpus:
            raise ConfigurationError(
                f"{self} is number {self.local + 1} on this machine, which shows it {gpus} GPUs: "
                "start one process for each GPU"
            )
        return f"cuda:{self.local}"


_SLURM, _MPI = "SLURM", "MPI"
_BINDING = (_SLURM, _MPI)

_DIGITS = 9  # of a number of processes, at most

# launcher, its variables of rank, world size and local rank
_VARIABLES = (
    ("torchrun or accelerate", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
    # SLURM_NTASKS is there in a batch script, too, which runs once; a step is what srun starts
    (_SLURM, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    (_MPI, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    (_MPI, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
)


def rank_of(environment: Mapping[str, str] = os.environ) -> Rank:
    """The rank of this process, as torchrun, `accelerate launch`, srun or mpirun tell it.

    The first launcher in this order counts: torchrun is often started by srun, once per machine.

    Raises:
        ConfigurationError: what the environment says makes no sense.
    """
    for launcher, *names in _VARIABLES:
        rank, world, local = (environment.get(name, "").strip() for name in names)
        if not world or (not rank and world == "1"):
            continue
        if not rank:
            raise ConfigurationError(
                f"the environment has {names[1]}={printable(world, 20)} and no {names[0]}: start "
                f"the scan by torchrun, accelerate or srun, or type `unset {names[1]}`"
            )
        number, size, on_machine = map(_number, names, (rank, world, local or "0"))
        if number >= size or on_machine >= size:
            given = f"{names[0]}={number}, {names[1]}={size}, {names[2]}={on_machine}"
            raise ConfigurationError(
                f"the environment contradicts itself: {given}; a rank is less than the number of "
                f"processes. Type `unset {' '.join(names)}` to scan in one process"
            )
        return Rank(number, size, on_machine, launcher)
    return Rank()


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS):
        raise ConfigurationError(
            f"the environment has {name}={printable(value, 20)}, which is no whole number of "
            f"at most {_DIGITS} digits"
        )
    return int(value)
