"""A caption is judged by its sentences: a true one is all right, and a changed word is found."""

import random
import re

import pytest

from llavit_lens.miniature.world.captions import caption
from llavit_lens.miniature.world.claims import ALSO_CALLED, claims, is_true, unmentioned
from llavit_lens.miniature.world.concepts import (
    BACKGROUNDS,
    CATEGORIES,
    COLORS,
    CONCEPTS,
    NUMBERS,
    POSITIONS,
    SIGN_WORDS,
    TRAITS,
)
from llavit_lens.miniature.world.relations import INVERSE
from llavit_lens.miniature.world.scenes import Scene, Thing, sample_scene

PLACES = [place for row in POSITIONS for place in row]
CLASSES = [
    CONCEPTS, CATEGORIES, COLORS, TRAITS, BACKGROUNDS, SIGN_WORDS, set(SIGN_WORDS.values()),
    ("small", "large"), NUMBERS, PLACES,
]  # fmt: skip
"""Words that may stand in each other's place."""
SCENE = Scene(
    0,
    (
        Thing("object", "dog", 20, 20, 34, 34, "small"),
        Thing("object", "rose", 90, 60, 50, 50, "large"),
        Thing("sign", "sign", 40, 95, 56, 22, "wide", word="go"),
    ),
    ("sky", "grass"),
    56,
)


def test_every_sentence_of_a_true_caption_is_right():
    forms = set()
    for seed in range(1000):
        scene, rng = sample_scene(seed), random.Random(seed)
        text = caption(scene, rng)
        judged = claims(scene, text)
        assert all(claim.right is True for claim in judged), (text, judged)
        assert " ".join(claim.text for claim in judged) == text
        assert unmentioned(scene, text) == []
        forms |= {re.sub(r"\w+", "w", claim.text) for claim in judged}
    assert len(forms) > 100


def as_printed(text: str) -> str:
    """As a model's tokenizer puts words together."""
    return re.sub(r" ([.,:)])|(\() ", r"\1\2", text)


def test_spaces_and_capitals_do_not_count():
    for seed in range(300):
        scene = sample_scene(seed)
        text = as_printed(caption(scene, random.Random(seed))).capitalize()
        assert all(claim.right for claim in claims(scene, text)), text


def true_words(scene: Scene) -> set[str]:
    words = {"white"} if scene.signs else set()  # their boards
    words = words.union(scene.backgrounds, *(thing.words for thing in scene.things))
    return words | {ALSO_CALLED[word] for word in words & ALSO_CALLED.keys()}


def replacements(scene: Scene, words: list[str], place: int) -> list[str]:
    """Words of the same class that make the sentence wrong at this place.

    A word of the scene may make it another true sentence. Sides ("left of") have their own test,
    and in "sky at the top and grass at the bottom" there is nothing else to say.
    """
    word, next_word = words[place], (*words, "")[place + 1]
    if (word, next_word) == ("key", "words") or next_word == "of":
        return []
    if word in PLACES and " at the top and " in " ".join(words):
        return []
    others = {other for kind in CLASSES if word in kind for other in kind}
    return sorted(others - true_words(scene) - {word})


def test_one_changed_word_makes_its_sentence_wrong_and_no_other():
    rng, changed = random.Random(0), 0
    for seed in range(1000):
        scene = sample_scene(seed)
        sentences = [claim.text for claim in claims(scene, caption(scene, random.Random(seed)))]
        number = rng.randrange(len(sentences))
        words = sentences[number].split()
        changeable = [n for n in range(len(words)) if replacements(scene, words, n)]
        if not changeable:
            continue
        place = rng.choice(changeable)
        words[place] = rng.choice(replacements(scene, words, place))
        wrong = " ".join(words)
        text = " ".join([*sentences[:number], wrong, *sentences[number + 1 :]])
        verdicts = [claim.right for claim in claims(scene, text)]
        assert verdicts == [n != number for n in range(len(sentences))], (sentences[number], wrong)
        changed += 1
    assert changed > 900


def test_a_turned_relation_is_wrong():
    for seed in range(500):
        scene = sample_scene(seed)
        for claim in claims(scene, caption(scene, random.Random(seed))):
            match = re.search(r" is (left of|right of|above|below) the ", claim.text)
            if match is not None:
                turned = claim.text.replace(match[1], INVERSE[match[1]])
                assert is_true(scene, claim.text) is True and is_true(scene, turned) is False


@pytest.mark.parametrize(
    ("sentence", "right"),
    [
        ("there is a dog.", True),
        ("There is an image", None),  # of a form that captions have, but no noun of this world
        ("there is a small white dog, an animal.", True),
        ("there is a large dog.", False),
        ("there is a blorp.", None),
        ("the dog is left of the rose.", True),
        ("the dog is above the rose.", True),  # both, as a person sees it
        ("the rose is left of the dog.", False),
        ("the dog is left of the dog.", False),
        ("the dog is left of the cat.", False),
        ("the dog is left of the puppy.", None),
        ("the dog is above the sign.", True),
        ("the dog is below the sign.", False),
        ("the animal is left of the plant.", True),
        ("the dog is above the stop sign.", False),
        ("there is a sign.", True),
        ("there is a white sign.", True),
        ("there is a red sign.", None),
        ("there is a large sign.", None),
        ("there is a go sign.", True),
        ("there is a stop sign.", False),
        ("there is an animal.", True),
        ("there is a large animal.", False),
        ("there is some food.", False),
        ("there is a bird.", None),
        ("there is a flower.", True),
        ("the dog is left of the flower.", True),
        ("there is a tree.", False),
        ("the sign is at the bottom.", True),
        ("at the top there is a sign.", False),
        ("there are 3 things.", True),
        ("there are 2 things.", False),
        ("there are many things.", None),
        ("a dog on sky.", None),  # grass may be behind the other things
        ("a dog on snow.", False),
        ("a dog and a puppy on sky and grass.", None),
        ("a cat and a puppy on sky and grass.", False),
        ("tags: dog, sign, white, small.", None),
        ("the dog is above the go sign.", True),
        ("the dog is at the top-left.", True),
        ("a dog is at the top-left.", True),
        ("top-left : a dog.", True),
        ("at the bottom there is a sign that says stop.", False),
        ("there are three things.", True),
        ("there are two things.", False),
        ("the background is sky.", False),  # that is the half of it
        ("grass lies below the sky.", True),
        ("there is grass at the top and sky at the bottom.", False),
        ("a picture of a dog and a large rose, with sky and grass behind.", True),
        ("an image shows a dog.", None),
        ("It is a nice day.", None),
        ("", None),
        ("tags: dog, white, go, grass.", True),
        ("tags: dog, black.", False),
    ],
)
def test_sentences(sentence: str, right: bool | None):
    assert is_true(SCENE, sentence) is right


def test_what_a_caption_leaves_out():
    assert unmentioned(SCENE, "there is a dog. the background is sky.") == ["rose", "go sign"]
    assert unmentioned(SCENE, "the go sign is below the dog.") == ["rose"]
    assert unmentioned(SCENE, "there is a sign.") == ["dog", "rose"]


def test_near_the_edge_of_a_ninth_both_places_are_right():
    thing = Thing("object", "dog", 40, 20, 34, 34, "small")
    assert thing.position == "top" and not thing.place_is_clear
    assert thing.places == {"top", "top-left"}
    scene = Scene(0, (thing,), ("sky", "sky"), 112)
    assert is_true(scene, "a dog is at the top .") and is_true(scene, "a dog is at the top-left .")
    assert is_true(scene, "a dog is at the left .") is False
    for seed in range(300):
        for each in sample_scene(seed).things:
            assert each.position in each.places
            if each.place_is_clear:
                assert each.places == {each.position}
