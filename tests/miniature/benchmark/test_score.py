"""The numbers of `demo score`, on made-up words with known answers."""

from types import SimpleNamespace

import numpy as np
import pytest

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.readability.word_tokens import WordTokens
from llavit_lens.lens.token_strings import token_strings
from llavit_lens.miniature.benchmark import score
from llavit_lens.miniature.benchmark.score import truth_of_other_scenes
from llavit_lens.miniature.recipe.presets import PRESETS
from llavit_lens.miniature.recipe.vocabulary import build_tokenizer
from llavit_lens.miniature.world.concepts import BACKGROUNDS, CONCEPTS, SIGN_WORDS
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.scenes import GRID, Scene, Thing, Truth
from llavit_lens.options import PresetName


def scene_with(name: str, word: str) -> Truth:
    """Row 0: the object; row 1: the sign; row 2: mixed; the rest: sky."""
    thing = Thing("object", name, 50, 7, 100, 14, "large")
    sign = Thing("sign", "sign", 50, 21, 56, 22, "wide", word=word)
    labels = np.full((GRID, GRID), -1)
    labels[0], labels[1], labels[2] = 0, 1, -3
    return Truth(Scene(0, (thing, sign), ("sky", "sky"), 112), labels)


TEXTS = ("\n", " stop", "animal", "dog", "sky", "the", "x", "y")


class Tokens:
    """In place of `WordTokens`: a word is said by the token of its text."""

    def any_of(self, words: frozenset[str]) -> frozenset[int]:
        return frozenset(i for i, text in enumerate(TEXTS) if text.strip() in words)


def read_as(rows: dict[int, list[str]], rest: list[str]) -> SimpleNamespace:
    """Words of one layer, alike along each row of the grid."""
    row, col = np.divmod(np.arange(GRID * GRID), GRID)
    ids = np.array([[[TEXTS.index(w) for w in rows.get(int(r), rest)] for r in row]])
    layout = SimpleNamespace(row=row, col=col)
    return SimpleNamespace(strings=dict(enumerate(TEXTS)), ids=ids, layout=layout)


def test_rates_count_the_right_patches():
    patches = score._Patches(Tokens())
    # a dog is an animal, white, a pet; the second scene's words are all wrong but for newlines
    first = read_as({0: ["the", "dog", "x"], 1: [" stop", "x", "y"]}, ["sky", "x", "y"])
    second = read_as({0: ["animal", "x", "y"]}, ["\n", "sky", "x"])
    patches.add(0, scene_with("dog", "stop"), first)
    patches.add(1, scene_with("guitar", "tea"), second)
    (rates,) = patches.score()
    assert rates["name1"] == 0 and rates["name3"] == 0.5  # 'dog' on 8 of 16 object patches
    assert rates["hit1"] == 8 / 32 and rates["hit3"] == 16 / 32  # with ' stop' on 8 sign patches
    assert rates["sign_word1"] == rates["sign_word3"] == 0.5
    assert rates["background1"] == 0.5 and rates["background3"] == 1
    assert rates["newline1"] == 7 * 8 / 128
    assert rates["name_chance3"] == 0  # the words of one scene against the other's truth
    assert 0 < rates["chance3"] < 0.5  # 'animal' in scene 1, where the truth drawn is the dog's


def test_chance_takes_the_truth_of_another_scene():
    scene = [0, 0, 0, 1, 2, 2]
    truth = [f"scene {number}" for number in scene]
    for seed in range(50):
        other = truth_of_other_scenes(truth, scene, seed)
        assert all(f"scene {number}" != fact for number, fact in zip(scene, other, strict=True))
    with pytest.raises(ConfigurationError, match="two scenes"):
        truth_of_other_scenes(truth[:3], scene[:3])


def test_words_that_are_always_there_score_no_better_than_chance():
    patches = score._Patches(Tokens())
    for number, name in enumerate(("dog", "cat")):
        truth = scene_with(name, "stop")
        truth.patch_labels[1] = -3  # no sign
        patches.add(number, truth, read_as({}, ["animal", "x", "y"]))
    (rates,) = patches.score()
    assert rates["hit1"] == rates["chance1"] == 1
    assert rates["name1"] == rates["name_chance1"] == 0


def test_what_no_patch_shows_has_no_rate():
    patches = score._Patches(Tokens())
    for number in range(2):
        truth = scene_with("dog", "stop")
        truth.patch_labels[:2] = -1  # no thing is seen
        patches.add(number, truth, read_as({}, ["sky", "x", "y"]))
    assert patches._rates("hit", patches.top[0], {}) == {"hit1": [None], "hit3": [None]}


def test_the_best_layer_is_chosen_on_scenes_that_are_not_scored(monkeypatch):
    seeds = []

    def measure(vlm, numbers, first_seed, ask=True):
        seeds.append([first_seed + number for number in numbers])
        # layer 1 looks best where it is scored, layer 2 where layers are chosen
        best = 1 if first_seed == held_out_seed(5, 0) else 2
        return [{"layer": i, "hit3": float(i == best)} for i in range(3)], {}, {}

    def progress_bar(steps, doing):
        bars.append(doing)
        return steps

    bars = []
    monkeypatch.setattr(score, "_measure", measure)
    monkeypatch.setattr(score, "progress_bar", progress_bar)
    result = score.score_model(SimpleNamespace(name="m"), 300, 5)
    assert bars == ["scoring m", "choosing its best layer on other scenes"]
    assert result["best_layer"] == {"layer": 2, "hit3": 0.0}
    assert not set(seeds[0]) & set(seeds[1])


def test_one_scene_has_no_chance_level():
    with pytest.raises(ConfigurationError, match="at least 2"):
        score.score_model(SimpleNamespace(name="m"), 1, 0)


def test_the_command_line_offers_what_there_is():
    assert [p.value for p in PresetName] == list(PRESETS)


@pytest.mark.long
def test_a_word_of_the_world_is_said_by_the_tokens_of_its_text_alone():
    """So the numbers of the cards are those of comparing texts."""
    tokenizer = build_tokenizer()
    texts = token_strings(tokenizer)
    facts = frozenset().union(*(concept.words for concept in CONCEPTS.values()))
    words = {*facts, *BACKGROUNDS, *SIGN_WORDS, *SIGN_WORDS.values(), "sign", "text"}
    tokens = WordTokens(tokenizer)
    for word in words:
        assert tokens.ids(word) == {i for i, text in enumerate(texts) if text.strip() == word}
    assert not tokens.left_out and not tokens.by_first_piece
