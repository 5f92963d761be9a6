"""Hit rates and their chance level."""

import pytest

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.readability.readability import hit_rate, truth_of_other_pictures


def test_a_hit_is_any_true_word_among_the_first_k():
    read = [["dog", "grass", "red"], ["sky", "a", "b"], ["x", "y", "cat"]]
    truth = [{"grass"}, {"sky"}, {"cat"}]
    assert hit_rate(read, truth, 1) == pytest.approx(1 / 3)
    assert hit_rate(read, truth, 2) == pytest.approx(2 / 3)
    assert hit_rate(read, truth, 3) == 1
    assert hit_rate([], [], 3) is None


def test_chance_takes_the_truth_of_another_picture():
    picture = [0, 0, 0, 1, 2, 2]
    truth = [{f"picture {p}"} for p in picture]
    for seed in range(50):
        other = truth_of_other_pictures(truth, picture, seed)
        assert all(f"picture {p}" not in words for p, words in zip(picture, other, strict=True))
    with pytest.raises(ConfigurationError, match="two pictures"):
        truth_of_other_pictures(truth[:3], picture[:3])


def test_words_that_are_always_there_score_no_better_than_chance():
    truth = [{"thing", f"name {i}"} for i in range(40)]
    read = [["thing", "of", "the"]] * 40
    chance = truth_of_other_pictures(truth, list(range(40)))
    assert hit_rate(read, truth, 3) == hit_rate(read, chance, 3) == 1
