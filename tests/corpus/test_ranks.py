"""Which process this is, as launchers tell it in the environment."""

from __future__ import annotations

import pytest

from llavit_lens.corpus.ranks import Rank, rank_of
from llavit_lens.errors import ConfigurationError

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
SRUN = {
    "SLURM_PROCID": "2",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_LOCALID": "0",
}
MPIRUN = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, (0, 1, 0)),
        (TORCHRUN, (5, 8, 1)),
        (SRUN, (2, 4, 0)),
        (MPIRUN, (1, 2, 1)),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, (1, 2, 0)),
        ({**SRUN, **TORCHRUN}, (5, 8, 1)),  # srun starts one torchrun on each machine
        ({"RANK": "3", "WORLD_SIZE": "4"}, (3, 4, 0)),
        ({"WORLD_SIZE": "1"}, (0, 1, 0)),
        ({"RANK": "3"}, (0, 1, 0)),
        # the script that sbatch runs, once, where srun was forgotten
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}, (0, 1, 0)),
    ],
)
def test_the_rank_that_launchers_tell(
    environment: dict[str, str], rank: tuple[int, int, int]
) -> None:
    found = rank_of(environment)
    assert (found.number, found.world, found.local) == rank


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RANK": "8"}, "RANK=8, WORLD_SIZE=8, LOCAL_RANK=1; a rank is less"),
        ({"LOCAL_RANK": "9"}, "contradicts itself"),
        ({"RANK": ""}, "WORLD_SIZE=8 and no RANK"),
        ({"RANK": "-1"}, "RANK=-1, which is no whole number"),
        ({"RANK": "1" * 5000}, "no whole number of at most 9 digits"),
        ({"RANK": "²"}, "no whole number"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two, which is no whole number"),
        ({"WORLD_SIZE": "0", "RANK": "0", "LOCAL_RANK": "0"}, "contradicts itself"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(
    change: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        rank_of({**TORCHRUN, **change})


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_each_shard_has_one_owner_whatever_is_missing(world: int) -> None:
    ranks = [Rank(number, world) for number in range(world)]
    for shards in (range(20), [3, 4, 11], []):
        assert sorted(shard for rank in ranks for shard in rank.shards(shards)) == list(shards)
    for rank in ranks:
        assert set(rank.shards([3, 4, 11])) <= set(rank.shards(range(20)))


def test_the_gpu_of_a_rank() -> None:
    assert (
        Rank().device(8) == "auto" and Rank(3, 4, 3, "torchrun or accelerate").device(0) == "auto"
    )
    assert Rank(5, 8, 1, "torchrun or accelerate").device(4) == "cuda:1"
    assert Rank(3, 4, 3, "SLURM").device(1) == "cuda:0"  # --gpus-per-task=1
    assert Rank(3, 4, 3, "SLURM").device(4) == "cuda:3"
    with pytest.raises(ConfigurationError, match=r"rank 3 of 4 is number 4 .* shows it 2"):
        Rank(3, 4, 3, "SLURM").device(2)
    with pytest.raises(ConfigurationError, match="one process for each GPU"):
        Rank(1, 2, 1, "torchrun or accelerate").device(1)
