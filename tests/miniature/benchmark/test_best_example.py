"""People see the scene first on which the demo models do best."""

import pytest

from llavit_lens.miniature.benchmark.best_example import ranked_examples
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE, example_names, example_path

AGAIN = "choose it again: python -m llavit_lens.miniature.benchmark.best_example"


@pytest.mark.long
def test_it_is_the_first_of_the_ranking():
    ranks = ranked_examples()
    assert {rank.name for rank in ranks} == set(example_names())
    assert ranks[0].name == FIRST_EXAMPLE, AGAIN
    assert ranks[0].faults == 0 < ranks[1].faults
    assert ranks == sorted(ranks, key=lambda rank: (rank.faults, -rank.hit1))


def test_it_is_what_no_name_means():
    assert example_path() == example_path(FIRST_EXAMPLE)
