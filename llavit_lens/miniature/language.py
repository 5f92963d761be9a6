"""What people say about a scene: captions in varied order and wording, questions with answers.

Questions come in the four categories of the paper's benchmarks. All of them need the picture: a
question names a place, a category or another thing, never enough to answer from the words alone.
Answers are one word. Everything is lowercase, words and punctuation separated by single spaces.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

from llavit_lens.miniature.concepts import (
    BACKGROUNDS,
    CATEGORIES,
    CONCEPTS,
    NUMBERS,
    SIGN_WORDS,
    TRAITS,
)
from llavit_lens.miniature.scenes import SIZE, Scene, Thing, sample_scene

VISION, OCR, KNOWLEDGE, GENERAL = "vision_centric", "ocr_chart", "knowledge", "general"
CATEGORIES_OF_QUESTIONS = (VISION, OCR, KNOWLEDGE, GENERAL)


class Question(NamedTuple):
    """One question about a scene; `kind` is the template, `category` the benchmark group."""

    category: str
    kind: str
    question: str
    answer: str


# ---- captions --------------------------------------------------------------------------------

DESCRIBE = (
    "describe the picture .",
    "what is in the picture ?",
    "what do you see ?",
    "tell me about this picture .",
    "write a caption .",
)


def caption(scene: Scene, rng: random.Random) -> str:
    """A caption that names every thing, in random order, style and detail."""
    things = list(scene.things)
    rng.shuffle(things)
    style = rng.random()
    if style < 0.2:
        return _tags(scene, things, rng)
    if style < 0.45:
        return _one_sentence(scene, things, rng)
    return _sentences(scene, things, rng)


UNCOUNTED = {"bread", "cheese", "corn", "coffee", "fire", "grapes", "scissors", "glasses"}
UNCOUNTED |= {"food", "furniture", "clothing", "weather"}


def _article(first: str, noun: str | None = None, uncounted: str = "some") -> str:
    """The article of a noun (by default `first` itself) in front of the word `first`."""
    if (noun or first) in UNCOUNTED:
        return uncounted
    return "an" if first[0] in "aeiou" else "a"


def _noun(thing: Thing, rng: random.Random) -> str:
    """A noun phrase for a thing without its place."""
    if thing.kind == "sign":
        word, kind = thing.word, SIGN_WORDS[thing.word]
        return rng.choice(
            [
                f"a sign with the text {word}",
                f"a sign that says {word}",
                f"the {kind} {word} on a sign",
                f"a {kind} sign : {word}",
                f"the text {word}",
            ]
        )
    concept = CONCEPTS[thing.name]
    words = [thing.name]
    if rng.random() < 0.3:
        words.insert(0, concept.color)
    if rng.random() < 0.3:
        words.insert(0, thing.size)
    phrase = f"{_article(words[0], thing.name)} {' '.join(words)}"
    roll = rng.random()
    if roll < 0.12:
        phrase += f" , {_article(concept.category)} {concept.category}"
    elif roll < 0.2:
        phrase += f" ( {concept.category} , {concept.trait} )"
    elif roll < 0.26:
        kind = f"{_article(concept.color, concept.category)} {concept.color} {concept.category}"
        phrase = f"{kind} : {_article(thing.name)} {thing.name}"
    return phrase


def _background(scene: Scene, rng: random.Random) -> str:
    top, bottom = scene.backgrounds
    if top == bottom:
        return rng.choice(
            [f"the background is {top} .", f"everything is on {top} .", f"{top} is all around ."]
        )
    return rng.choice(
        [
            f"the background is {top} above {bottom} .",
            f"there is {top} at the top and {bottom} at the bottom .",
            f"{bottom} lies below the {top} .",
        ]
    )


def _tags(scene: Scene, things: list[Thing], rng: random.Random) -> str:
    """A list of key words, as pictures on the web have them."""
    words: list[str] = []
    for thing in things:
        if thing.kind == "sign":
            words += rng.choice(
                [
                    ["sign", thing.word],
                    ["text", thing.word],
                    ["sign", thing.word, SIGN_WORDS[thing.word]],
                ]
            )
            continue
        concept = CONCEPTS[thing.name]
        extra = rng.sample(
            [concept.category, concept.color, concept.trait], rng.choice([0, 0, 1, 2])
        )
        words += rng.choice([[thing.name, *extra], [*extra, thing.name]])
    grounds = list(dict.fromkeys(scene.backgrounds))
    words = [*grounds, *words] if rng.random() < 0.5 else [*words, *grounds]
    return f"{rng.choice(['tags', 'key words', 'seen here'])} : {' , '.join(words)} ."


def _one_sentence(scene: Scene, things: list[Thing], rng: random.Random) -> str:
    nouns = [_noun(t, rng) for t in things]
    listed = nouns[0] if len(nouns) == 1 else f"{' , '.join(nouns[:-1])} and {nouns[-1]}"
    top, bottom = scene.backgrounds
    ground = top if top == bottom else f"{top} and {bottom}"
    return rng.choice(
        [
            f"{listed} on {ground} .",
            f"a picture of {listed} , with {ground} behind .",
            f"{ground} with {listed} .",
            f"here we have {listed} . behind : {ground} .",
        ]
    )


def _sentences(scene: Scene, things: list[Thing], rng: random.Random) -> str:
    sentences = []
    for thing in things:
        noun, place = _noun(thing, rng), thing.position
        roll = rng.random()
        if roll < 0.35:
            sentences.append(f"{noun} is at the {place} .")
        elif roll < 0.7:
            sentences.append(f"at the {place} there is {noun} .")
        elif roll < 0.85:
            sentences.append(f"{place} : {noun} .")
        else:
            sentences.append(f"there is {noun} .")
    for a, b in _some_pairs(things, rng, 1 if rng.random() < 0.6 else 0):
        sentences.append(f"the {_refer(a)} is {relation(a, b)} the {_refer(b)} .")
    if rng.random() < 0.25:
        n = len(things)
        sentences.append(
            f"there {'is' if n == 1 else 'are'} {NUMBERS[n]} thing{'s' if n > 1 else ''} ."
        )
    sentences.insert(rng.choice([0, len(sentences)]), _background(scene, rng))
    return " ".join(sentences)


def _refer(thing: Thing) -> str:
    return f"{thing.word} sign" if thing.kind == "sign" else thing.name


def _some_pairs(things: list[Thing], rng: random.Random, n: int) -> list[tuple[Thing, Thing]]:
    pairs = [(a, b) for a in things for b in things if a is not b and relation(a, b)]
    return rng.sample(pairs, min(n, len(pairs)))


# ---- relations and questions -----------------------------------------------------------------

INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def relation(a: Thing, b: Thing) -> str | None:
    """How `a` lies to `b`; None where neither direction clearly dominates."""
    dx, dy = a.x - b.x, a.y - b.y
    if max(abs(dx), abs(dy)) < SIZE // 8:
        return None
    if abs(dx) > abs(dy) * 1.3:
        return "left of" if dx < 0 else "right of"
    if abs(dy) > abs(dx) * 1.3:
        return "above" if dy < 0 else "below"
    return None


def questions(scene: Scene, rng: random.Random) -> list[Question]:
    """All kinds of questions about a scene in random order, each with exactly one right answer."""
    asked = [*_vision(scene, rng), *_ocr(scene), *_knowledge(scene, rng), *_general(scene, rng)]
    rng.shuffle(asked)
    return asked


def _alone_at(scene: Scene) -> list[Thing]:
    """Things that are the only one in their ninth of the picture."""
    count = Counter(t.position for t in scene.things)
    return [t for t in scene.things if count[t.position] == 1]


def _only_related(scene: Scene) -> list[tuple[Thing, str, Thing]]:
    """(thing, relation, other) where `thing` is the only one in that relation to `other`."""
    found = []
    for other in scene.things:
        for how in INVERSE:
            there = [t for t in scene.things if t is not other and relation(t, other) == how]
            if len(there) == 1:
                found.append((there[0], how, other))
    return found


def _sample(rng: random.Random, items: list, n: int) -> list:
    return rng.sample(items, min(n, len(items)))


def _vision(scene: Scene, rng: random.Random) -> list[Question]:
    asked = []
    for thing in _sample(rng, list(scene.things), 2):
        asked.append(("position", f"where is the {_refer(thing)} ?", thing.position))
    for thing in _sample(rng, scene.objects, 1):
        asked.append(("size", f"what size is the {thing.name} ?", thing.size))
    for thing in _sample(rng, _alone_at(scene), 2):
        asked.append(("at", f"what is at the {thing.position} ?", thing.name))
    for thing, how, other in _sample(rng, _only_related(scene), 2):
        asked.append(("relation", f"what is {how} the {_refer(other)} ?", thing.name))
    asked.append(("count", "how many things are there ?", NUMBERS[len(scene.things)]))
    return [Question(VISION, *q) for q in asked]


def _ocr(scene: Scene) -> list[Question]:
    asked = []
    signs = scene.signs
    if len(signs) == 1:
        asked.append(("read", "what does the sign say ?", signs[0].word))
        asked.append(("sign_kind", "what kind of word is on the sign ?", SIGN_WORDS[signs[0].word]))
    for sign in signs if len(signs) == 2 else []:
        if sign in _alone_at(scene):
            asked.append(("read_at", f"what does the sign at the {sign.position} say ?", sign.word))
    for thing, how, other in _only_related(scene):
        if thing.kind == "sign":
            asked.append(
                ("read_relation", f"which word is {how} the {_refer(other)} ?", thing.word)
            )
    return [Question(OCR, *q) for q in asked]


def _knowledge(scene: Scene, rng: random.Random) -> list[Question]:
    asked = []
    for thing in _sample(rng, [t for t in _alone_at(scene) if t.kind == "object"], 2):
        concept = CONCEPTS[thing.name]
        asked.append(rng.choice([
            ("kind_at", f"what kind of thing is at the {thing.position} ?", concept.category),
            ("color_at", f"what color is the thing at the {thing.position} ?", concept.color),
            ("trait_at", f"what goes with the thing at the {thing.position} ?", concept.trait),
        ]))  # fmt: skip
    for thing, how, other in _sample(
        rng, [r for r in _only_related(scene) if r[0].kind == "object"], 1
    ):
        concept = CONCEPTS[thing.name]
        asked.append(
            (
                "kind_relation",
                f"what kind of thing is {how} the {_refer(other)} ?",
                concept.category,
            )
        )
    traits = Counter(CONCEPTS[t.name].trait for t in scene.objects)
    for thing in _sample(rng, [t for t in scene.objects if traits[CONCEPTS[t.name].trait] == 1], 1):
        asked.append(
            ("which_trait", f"which thing goes with {CONCEPTS[thing.name].trait} ?", thing.name)
        )
    trait = rng.choice(list(traits)) if traits and rng.random() < 0.5 else rng.choice(TRAITS)
    asked.append(
        ("exist_trait", f"does anything go with {trait} ?", "yes" if trait in traits else "no")
    )
    return [Question(KNOWLEDGE, *q) for q in asked]


def _is_there(noun: str) -> str:
    return f"is there {_article(noun, uncounted='any')} {noun} ?"


def _general(scene: Scene, rng: random.Random) -> list[Question]:
    names = [t.name for t in scene.objects]
    kinds = Counter(CONCEPTS[n].category for n in names)
    name = rng.choice(names) if names and rng.random() < 0.5 else rng.choice(list(CONCEPTS))
    kind = rng.choice(list(kinds)) if kinds and rng.random() < 0.5 else rng.choice(CATEGORIES)
    asked = [
        ("exist", _is_there(name), "yes" if name in names else "no"),
        ("exist_kind", _is_there(kind), "yes" if kind in kinds else "no"),
        ("background", *rng.choice([
            ("what is the background at the top ?", scene.backgrounds[0]),
            ("what is the background at the bottom ?", scene.backgrounds[1]),
        ])),
    ]  # fmt: skip
    for thing in _sample(
        rng, [t for t in scene.objects if kinds[CONCEPTS[t.name].category] == 1], 1
    ):
        asked.append(
            ("which", f"which {CONCEPTS[thing.name].category} is in the picture ?", thing.name)
        )
    return [Question(GENERAL, *q) for q in asked]


def world_words() -> set[str]:
    """Every word that `caption`, `questions` or DESCRIBE can produce.

    Collected from many scenes rather than listed by hand: templates can change freely.
    """
    words = {
        *CONCEPTS,
        *CATEGORIES,
        *TRAITS,
        *BACKGROUNDS,
        *SIGN_WORDS,
        *SIGN_WORDS.values(),
        *NUMBERS,
    }
    words |= {c.color for c in CONCEPTS.values()}
    texts = list(DESCRIBE)
    rng = random.Random("world words")
    for seed in range(2000):
        scene = sample_scene(seed)
        texts.append(caption(scene, rng))
        texts += [f"{q.question} {q.answer}" for q in questions(scene, rng)]
    return words.union(*(text.split() for text in texts))
